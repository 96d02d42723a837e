"""PLLs: dividers for a requested clock, and the primitives that use them.

Limits are those of the ECP5 family data sheet (FPGA-DS-02012, sysCLOCK PLL timing) and of the
iCE40 UltraPlus data sheet (FPGA-DS-02008, PLL timing).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol, TypeVar

from amaranth import Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Dividers", "Ecp5Dividers", "Ecp5Pll", "Ice40Dividers", "Ice40Pll", "check",
           "ecp5_dividers", "ice40_dividers", "nearest"]  # fmt: skip

MHZ = 1_000_000
TOLERANCE = Fraction(1, 100)


@dataclass(frozen=True, slots=True)
class Ecp5Dividers:
    """``output = input / reference * multiply / output``; the VCO runs at ``output`` times that."""

    reference: int  # 1..128
    multiply: int  # 1..128, in the feedback path
    output: int  # 1..128

    INPUT: ClassVar[tuple[float, float]] = (8 * MHZ, 400 * MHZ)
    OUTPUT: ClassVar[tuple[float, float]] = (3.125 * MHZ, 400 * MHZ)
    PFD: ClassVar[tuple[float, float]] = (10 * MHZ, 400 * MHZ)
    VCO: ClassVar[tuple[float, float]] = (400 * MHZ, 800 * MHZ)

    def pfd_hz(self, input_hz: int) -> Fraction:
        """Frequency that the phase detector compares."""
        return Fraction(input_hz, self.reference)

    def vco_hz(self, input_hz: int) -> Fraction:
        return self.pfd_hz(input_hz) * self.multiply

    def output_hz(self, input_hz: int) -> Fraction:
        return self.vco_hz(input_hz) / self.output


@dataclass(frozen=True, slots=True)
class Ice40Dividers:
    """``output = input / (divr + 1) * (divf + 1) / 2**divq``, feedback path SIMPLE."""

    divr: int  # 0..15
    divf: int  # 0..127
    divq: int  # 1..6

    INPUT: ClassVar[tuple[float, float]] = (10 * MHZ, 133 * MHZ)
    OUTPUT: ClassVar[tuple[float, float]] = (16 * MHZ, 275 * MHZ)
    PFD: ClassVar[tuple[float, float]] = (10 * MHZ, 133 * MHZ)
    VCO: ClassVar[tuple[float, float]] = (533 * MHZ, 1066 * MHZ)

    def pfd_hz(self, input_hz: int) -> Fraction:
        """Frequency that the phase detector compares."""
        return Fraction(input_hz, self.divr + 1)

    def vco_hz(self, input_hz: int) -> Fraction:
        return self.pfd_hz(input_hz) * (self.divf + 1)

    def output_hz(self, input_hz: int) -> Fraction:
        return self.vco_hz(input_hz) / (1 << self.divq)

    def filter_range(self, input_hz: int) -> int:
        """FILTER_RANGE, chosen by the phase detector's frequency as icepll does."""
        edges = (17, 26, 44, 66, 101)
        return 1 + sum(self.pfd_hz(input_hz) >= edge * MHZ for edge in edges)


class Dividers(Protocol):
    """What the dividers of every kind of PLL tell."""

    INPUT: ClassVar[tuple[float, float]]
    OUTPUT: ClassVar[tuple[float, float]]
    PFD: ClassVar[tuple[float, float]]
    VCO: ClassVar[tuple[float, float]]

    def pfd_hz(self, input_hz: int) -> Fraction: ...
    def vco_hz(self, input_hz: int) -> Fraction: ...
    def output_hz(self, input_hz: int) -> Fraction: ...


D = TypeVar("D", bound=Dividers)


def _within(value: Fraction | int, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def check(kind: type[Dividers], input_hz: int, output_hz: int) -> None:
    """Refuse clocks that a kind of PLL does not take or make."""
    for name, value, limits in (
        ("input_hz", input_hz, kind.INPUT),
        ("clock_hz", output_hz, kind.OUTPUT),
    ):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, not {value!r}")
        if not _within(value, limits):
            low, high = (f"{limit / MHZ:g}" for limit in limits)
            raise ValueError(f"{name} must be {low} to {high} MHz, not {value / MHZ:g} MHz")


def nearest(kind: type[D], candidates: list[D], input_hz: int, output_hz: int) -> D:
    """The candidate closest in frequency; then with the fastest phase detector, which gives the
    least jitter; then with the VCO closest to the middle of its range."""
    middle = sum(kind.VCO) / 2
    best = min(
        (c for c in candidates if _within(c.pfd_hz(input_hz), kind.PFD)
         and _within(c.vco_hz(input_hz), kind.VCO)
         and _within(c.output_hz(input_hz), kind.OUTPUT)),
        key=lambda c: (abs(c.output_hz(input_hz) - output_hz), -c.pfd_hz(input_hz),
                       abs(c.vco_hz(input_hz) - middle)),
    )  # fmt: skip
    made = best.output_hz(input_hz)
    if abs(made - output_hz) > TOLERANCE * output_hz:
        raise ValueError(
            f"clock_hz must be within 1 % of what the PLL makes of {input_hz / MHZ:g} MHz "
            f"(nearest {float(made) / MHZ:.3f} MHz), not {output_hz / MHZ:g} MHz"
        )
    return best


def ecp5_dividers(input_hz: int, output_hz: int) -> Ecp5Dividers:
    """Dividers of the EHXPLLL whose output is nearest to ``output_hz``, at most 1 % away."""
    check(Ecp5Dividers, input_hz, output_hz)
    candidates = []
    for reference in range(1, min(128, int(input_hz // Ecp5Dividers.PFD[0])) + 1):
        for multiply in range(1, 129):
            vco = Fraction(input_hz * multiply, reference)
            if _within(vco, Ecp5Dividers.VCO):
                divide = int(vco / output_hz)
                candidates += [Ecp5Dividers(reference, multiply, d)
                               for d in (divide, divide + 1) if 1 <= d <= 128]  # fmt: skip
    return nearest(Ecp5Dividers, candidates, input_hz, output_hz)


def ice40_dividers(input_hz: int, output_hz: int) -> Ice40Dividers:
    """Dividers of the SB_PLL40 whose output is nearest to ``output_hz``, at most 1 % away."""
    check(Ice40Dividers, input_hz, output_hz)
    candidates = [
        Ice40Dividers(divr, divf, divq)
        for divr in range(min(16, int(input_hz // Ice40Dividers.PFD[0])))
        for divf in range(128)
        for divq in range(1, 7)
    ]
    return nearest(Ice40Dividers, candidates, input_hz, output_hz)


class Ecp5Pll(wiring.Component):
    """EHXPLLL: ``o`` is made from the clock ``i``; ``locked`` is asynchronous to both.

    CLKOP closes the loop and CLKOS is the output, so that the two may have different dividers.
    """

    i: In(1)
    o: Out(1)
    locked: Out(1)

    def __init__(self, dividers: Ecp5Dividers):
        self._dividers = dividers
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        feedback = Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_FEEDBK_PATH="CLKOP",
            p_CLKI_DIV=self._dividers.reference,
            p_CLKFB_DIV=1,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=self._dividers.multiply,
            p_CLKOP_CPHASE=self._dividers.multiply - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=self._dividers.output,
            p_CLKOS_CPHASE=self._dividers.output - 1,
            p_CLKOS_FPHASE=0,
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            i_CLKI=self.i,
            i_CLKFB=feedback,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1),
            i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=feedback,
            o_CLKOS=self.o,
            o_LOCK=self.locked,
        )
        return m


class Ice40Pll(wiring.Component):
    """SB_PLL40_CORE: ``o`` is made from the clock ``i``; ``locked`` is asynchronous to both.

    With ``pad``, SB_PLL40_PAD: from that pin, which nothing else may use.
    """

    i: In(1)
    o: Out(1)
    locked: Out(1)

    def __init__(self, dividers: Ice40Dividers, input_hz: int, *, pad=None):
        self._dividers = dividers
        self._filter_range = dividers.filter_range(input_hz)
        self._pad = pad
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        source = {"i_REFERENCECLK": self.i} if self._pad is None else {
            "i_PACKAGEPIN": self._pad.io}  # fmt: skip
        m.submodules.pll = Instance(
            "SB_PLL40_CORE" if self._pad is None else "SB_PLL40_PAD",
            **source,
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(self._dividers.divr, 4),
            p_DIVF=Const(self._dividers.divf, 7),
            p_DIVQ=Const(self._dividers.divq, 3),
            p_FILTER_RANGE=Const(self._filter_range, 3),
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=self.o,
            o_LOCK=self.locked,
        )
        return m
