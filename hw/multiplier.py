"""Pipelined multiplier."""

from amaranth import ClockSignal, Const, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.vendor import LatticeECP5Platform, LatticeICE40Platform

from .mult18x18d import mult18x18d

__all__ = ["Multiplier"]


class Multiplier(wiring.Component):
    """Signed product, ``o = a * b``, for the multiplier blocks of an FPGA.

    Latency is :data:`LATENCY` = 2 cycles (operand registers, product register); throughput is one
    product a cycle. The registers have no reset, so that they can be those inside the block:
    Yosys does not move them there on an ECP5, and ties some to constants on an iCE40, so on these
    parts the block is instantiated. Operands too wide for a block are left to synthesis.
    """

    LATENCY = 2

    def __init__(self, a_width: int, b_width: int):
        for name, width in (("a_width", a_width), ("b_width", b_width)):
            if width < 2:
                raise ValueError(f"{name} must be at least 2, not {width!r}")
        super().__init__({
            "a": In(signed(a_width)),
            "b": In(signed(b_width)),
            "o": Out(signed(a_width + b_width)),
        })  # fmt: skip

    def elaborate(self, platform):
        widest = max(len(self.a), len(self.b))
        if isinstance(platform, LatticeECP5Platform) and widest <= 18:
            return self._ecp5()
        if isinstance(platform, LatticeICE40Platform) and widest <= 16:
            return self._ice40()
        m = Module()
        a = Signal.like(self.a, reset_less=True)
        b = Signal.like(self.b, reset_less=True)
        product = Signal.like(self.o, reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
        m.d.comb += self.o.eq(product)
        return m

    def _operands(self, m, width):
        """The operands, extended to the block's width."""
        extended = Signal(signed(width), name="a_block"), Signal(signed(width), name="b_block")
        m.d.comb += [extended[0].eq(self.a), extended[1].eq(self.b)]
        return extended

    def _ecp5(self):
        m = Module()
        m.d.comb += self.o.eq(mult18x18d(m, *self._operands(m, 18), pipeline=False))
        return m

    def _ice40(self):
        """SB_MAC16. Source: Lattice FPGA-TN-02007, DSP function usage guide for iCE40."""
        m = Module()
        a, b = self._operands(m, 16)
        product = Signal(32)
        zeros = (
            *("AHOLD", "BHOLD", "CHOLD", "DHOLD", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT"),
            *("OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "OHOLDTOP", "OHOLDBOT"),
            *("CI", "ACCUMCI", "SIGNEXTIN"),
        )
        m.submodules.block = Instance(
            "SB_MAC16",
            p_A_REG=Const(1, 1),
            p_B_REG=Const(1, 1),
            p_PIPELINE_16x16_MULT_REG2=Const(1, 1),
            p_TOPOUTPUT_SELECT=Const(3, 2),
            p_BOTOUTPUT_SELECT=Const(3, 2),
            p_A_SIGNED=Const(1, 1),
            p_B_SIGNED=Const(1, 1),
            i_CLK=ClockSignal(),
            i_CE=Const(1),
            i_A=a,
            i_B=b,
            i_C=Const(0, 16),
            i_D=Const(0, 16),
            **{f"i_{name}": Const(0) for name in zeros},
            o_O=product,
        )
        m.d.comb += self.o.eq(product)
        return m
