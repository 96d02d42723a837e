"""Where a design's clock comes from: a pin or the part's own oscillator, and a PLL behind it."""

import contextlib
from typing import Any

from amaranth import Const, Instance, Module
from amaranth.lib import io, wiring
from amaranth.lib.wiring import Out

from .board import HFOSC, Board
from .pll import Ecp5Pll, Ice40Pll, ecp5_dividers, ice40_dividers
from .pll_gowin import GowinPll, gowin_dividers

__all__ = ["BoardClock", "below", "dividers", "hfosc_divider", "made_hz"]

_DIVIDERS: dict[str, Any] = {
    "ecp5": ecp5_dividers,
    "ice40": ice40_dividers,
    "gowin": gowin_dividers,
}


def hfosc_divider(output_hz: int, input_hz: int) -> int:
    """The parameter CLKHF_DIV that makes ``output_hz`` of the 48 MHz of an SB_HFOSC.

    >>> hfosc_divider(24_000_000, 48_000_000)
    1
    """
    made = [input_hz >> divider for divider in range(4)]
    if output_hz not in made:
        clocks = ", ".join(f"{hz / 1e6:g}" for hz in made)
        raise ValueError(
            f"clock_hz must be one of {clocks} MHz, which the part's own oscillator makes, "
            f"not {output_hz / 1e6:g} MHz"
        )
    return made.index(output_hz)


def dividers(board: Board, clock_hz: int) -> Any:
    """What makes ``clock_hz`` of a board's oscillator: a PLL's dividers; None where nothing has to;
    a number for an SB_HFOSC."""
    if board.oscillator == HFOSC:
        return hfosc_divider(clock_hz, board.oscillator_hz)
    if clock_hz == board.oscillator_hz:
        return None
    return _DIVIDERS[board.family](board.oscillator_hz, clock_hz)


def made_hz(board: Board, clock_hz: int) -> int:
    """The clock that is really made where ``clock_hz`` is asked for."""
    found = dividers(board, clock_hz)
    if found is None or board.oscillator == HFOSC:
        return clock_hz
    return int(round(found.output_hz(board.oscillator_hz)))


def below(board: Board, limit_hz: float) -> int | None:
    """The fastest clock of whole megahertz, up to a limit, that can be made; None: none can."""
    for mhz in range(int(limit_hz / 1e6), 0, -1):
        with contextlib.suppress(ValueError):
            dividers(board, mhz * 1_000_000)
            return mhz * 1_000_000
    return None


class BoardClock(wiring.Component):
    """The clock ``o`` of a board, at about ``clock_hz``; ``locked`` is asynchronous to it."""

    o: Out(1)
    locked: Out(1)

    def __init__(self, board: Board, clock_hz: int):
        self._board = board
        self._dividers = dividers(board, clock_hz)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        board = self._board
        if board.oscillator == HFOSC:
            m.submodules.oscillator = Instance(
                "SB_HFOSC",
                p_CLKHF_DIV=f"0b{self._dividers:02b}",
                i_CLKHFEN=Const(1),
                i_CLKHFPU=Const(1),
                o_CLKHF=self.o,
            )
            m.d.comb += self.locked.eq(1)
            return m
        pad = platform.request(board.oscillator, dir="-")
        if self._dividers is not None and board.family == "ice40" and board.pll_pad:
            m.submodules.pll = pll = Ice40Pll(self._dividers, board.oscillator_hz, pad=pad)
            m.d.comb += [self.o.eq(pll.o), self.locked.eq(pll.locked)]
            return m
        m.submodules.oscillator = oscillator = io.Buffer("i", pad)
        if self._dividers is None:
            m.d.comb += [self.o.eq(oscillator.i), self.locked.eq(1)]
            return m
        made: Any = {
            "ecp5": lambda: Ecp5Pll(self._dividers),
            "ice40": lambda: Ice40Pll(self._dividers, board.oscillator_hz),
            "gowin": lambda: GowinPll(self._dividers, board.oscillator_hz),
        }[board.family]()
        m.submodules.pll = made
        m.d.comb += [
            made.i.eq(oscillator.i),
            self.o.eq(made.o),
            self.locked.eq(made.locked),
        ]
        return m
