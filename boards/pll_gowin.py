"""The PLL of a Gowin GW1NR-9C: dividers for a requested clock, and the primitive.

Limits are those of the GW1NR data sheet (DS117, PLL parameters) for speed grade C6/I5.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from amaranth import Const, Instance, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .pll import MHZ, check, nearest

__all__ = ["GowinDividers", "GowinPll", "gowin_dividers"]

VCO_DIVIDERS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)


@dataclass(frozen=True, slots=True)
class GowinDividers:
    """``output = input / reference * multiply``; the VCO runs at ``vco`` times that."""

    reference: int  # 1..64
    multiply: int  # 1..64
    vco: int  # of VCO_DIVIDERS

    INPUT: ClassVar[tuple[float, float]] = (3 * MHZ, 400 * MHZ)
    OUTPUT: ClassVar[tuple[float, float]] = (3.125 * MHZ, 600 * MHZ)
    PFD: ClassVar[tuple[float, float]] = (3 * MHZ, 400 * MHZ)
    VCO: ClassVar[tuple[float, float]] = (400 * MHZ, 1200 * MHZ)

    def pfd_hz(self, input_hz: int) -> Fraction:
        """Frequency that the phase detector compares."""
        return Fraction(input_hz, self.reference)

    def vco_hz(self, input_hz: int) -> Fraction:
        return self.output_hz(input_hz) * self.vco

    def output_hz(self, input_hz: int) -> Fraction:
        return self.pfd_hz(input_hz) * self.multiply


def gowin_dividers(input_hz: int, output_hz: int) -> GowinDividers:
    """Dividers of the rPLL whose output is nearest to ``output_hz``, at most 1 % away."""
    check(GowinDividers, input_hz, output_hz)
    candidates = [
        GowinDividers(reference, multiply, vco)
        for reference in range(1, min(64, int(input_hz // GowinDividers.PFD[0])) + 1)
        for multiply in range(1, 65)
        for vco in VCO_DIVIDERS
    ]
    return nearest(GowinDividers, candidates, input_hz, output_hz)


class GowinPll(wiring.Component):
    """rPLL: ``o`` is made from the clock ``i``; ``locked`` is asynchronous to both."""

    i: In(1)
    o: Out(1)
    locked: Out(1)

    def __init__(self, dividers: GowinDividers, input_hz: int):
        self._dividers = dividers
        self._input_hz = input_hz
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        zeros = {f"i_{name}": Const(0, width) for name, width in (
            ("RESET", 1), ("RESET_P", 1), ("CLKFB", 1), ("FBDSEL", 6), ("IDSEL", 6),
            ("ODSEL", 6), ("PSDA", 4), ("DUTYDA", 4), ("FDLY", 4))}  # fmt: skip
        m.submodules.pll = Instance(
            "rPLL",
            p_DEVICE="GW1NR-9C",
            p_FCLKIN=f"{self._input_hz / MHZ:g}",
            p_DYN_IDIV_SEL="false",
            p_DYN_FBDIV_SEL="false",
            p_DYN_ODIV_SEL="false",
            p_IDIV_SEL=self._dividers.reference - 1,
            p_FBDIV_SEL=self._dividers.multiply - 1,
            p_ODIV_SEL=self._dividers.vco,
            p_PSDA_SEL="0000",
            p_DUTYDA_SEL="1000",
            p_DYN_DA_EN="false",
            p_CLKOUT_FT_DIR=Const(1, 1),
            p_CLKOUTP_FT_DIR=Const(1, 1),
            p_CLKOUT_DLY_STEP=0,
            p_CLKOUTP_DLY_STEP=0,
            p_CLKFB_SEL="internal",
            p_CLKOUT_BYPASS="false",
            p_CLKOUTP_BYPASS="false",
            p_CLKOUTD_BYPASS="false",
            p_DYN_SDIV_SEL=2,
            p_CLKOUTD_SRC="CLKOUT",
            p_CLKOUTD3_SRC="CLKOUT",
            i_CLKIN=self.i,
            **zeros,
            o_CLKOUT=self.o,
            o_LOCK=self.locked,
        )
        return m
