"""Sixteen products a cycle, from eight multiplier blocks of an iCE40."""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.vendor import LatticeICE40Platform

__all__ = ["OUTPUTS", "ROWS", "MacArray"]

ROWS, OUTPUTS = 4, 4


class MacArray(wiring.Component):
    """Four bytes by a matrix of weights, ``o[n] = sum(a[r] * w[r][n])``, as two sums of two rows.

    Latency is :data:`LATENCY` = 3 cycles, throughput four sums a cycle. Rows 2 k and 2 k + 1 are
    added up in 16 bits: no two of their weights for the same output may both be -128.

    A block of an iCE40 multiplies 8 by 8 bits twice; its operand registers hold the weights, and
    its adders, which take the products of the block before through C and D, add up two rows.

    Members
    -------
    a : In
        The bytes.
    load, w : In
        Row r takes its four weights where bit r is high: they meet the ``a`` of the same cycle.
    o : Out
        For each output the sums of rows 0 and 1, and of rows 2 and 3.
    """

    LATENCY = 3

    def __init__(self):
        super().__init__({
            "a": In(data.ArrayLayout(signed(8), ROWS)),
            "load": In(ROWS),
            "w": In(data.ArrayLayout(signed(8), OUTPUTS)),
            "o": Out(data.ArrayLayout(data.ArrayLayout(signed(16), ROWS // 2), OUTPUTS)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        if isinstance(platform, LatticeICE40Platform):
            self._ice40(m)
            return m
        before: list[Signal] = []
        for row in range(ROWS):
            a = Signal(signed(8), name=f"a_{row}", reset_less=True)
            m.d.sync += a.eq(self.a[row])
            products = []
            for n in range(OUTPUTS):
                w = Signal(signed(8), name=f"w_{row}_{n}", reset_less=True)
                product = Signal(signed(16), name=f"product_{row}_{n}", reset_less=True)
                with m.If(self.load[row]):
                    m.d.sync += w.eq(self.w[n])
                m.d.sync += product.eq(a * w)
                products.append(product)
            if row % 2:
                for n, (low, high) in enumerate(zip(before, products, strict=True)):
                    m.d.sync += self.o[n][row // 2].eq(low + high)
            before = products
        return m

    def _ice40(self, m):
        """SB_MAC16 as two 8x8. Source: Lattice FPGA-TN-02007, DSP function usage guide for iCE40.

        Of an even row the products come out; an odd row's block adds them to its own.
        """
        zeros = (
            *("AHOLD", "CHOLD", "DHOLD", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT"),
            *("OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "OHOLDTOP", "OHOLDBOT"),
            *("CI", "ACCUMCI", "SIGNEXTIN"),
        )
        for pair in range(OUTPUTS // 2):
            first, second = 2 * pair, 2 * pair + 1
            before = Const(0, 32)
            for row in range(ROWS):
                adds = row % 2
                parameters = {}
                for half in ("TOP", "BOT"):
                    parameters |= {
                        f"p_{half}_8x8_MULT_REG": Const(1, 1),
                        f"p_{half}OUTPUT_SELECT": Const(1 if adds else 2, 2),
                        f"p_{half}ADDSUB_LOWERINPUT": Const(1, 2),
                        f"p_{half}ADDSUB_UPPERINPUT": Const(1, 1),
                    }
                made = Signal(32, name=f"made_{row}_{pair}")
                m.submodules[f"block_{row}_{pair}"] = Instance(
                    "SB_MAC16",
                    **parameters,
                    p_A_REG=Const(1, 1),
                    p_B_REG=Const(1, 1),
                    p_MODE_8x8=Const(1, 1),
                    p_A_SIGNED=Const(1, 1),
                    p_B_SIGNED=Const(1, 1),
                    i_CLK=ClockSignal(),
                    i_CE=Const(1),
                    i_A=Cat(self.a[row], self.a[row]),
                    i_B=Cat(self.w[first], self.w[second]),
                    i_BHOLD=~self.load[row],
                    i_C=before[16:] if adds else Const(0, 16),
                    i_D=before[:16] if adds else Const(0, 16),
                    **{f"i_{name}": Const(0) for name in zeros},
                    o_O=made,
                )
                if adds:
                    m.d.comb += [
                        self.o[first][row // 2].eq(made[:16].as_signed()),
                        self.o[second][row // 2].eq(made[16:].as_signed()),
                    ]
                before = made
