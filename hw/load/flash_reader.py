"""A reader of SPI flash memories."""

import math

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FlashReader", "flash_timing"]

WAKE_UP = 0xAB  # release from deep power-down
READ = 0x03
FAST_READ = 0x0B  # for clocks that READ is too slow for: eight more cycles in front of the data
HALF_PERIOD_NS = 30  # clock out of the part, data out of the flash and back into it
WAKE_NS = 40_000  # the slowest flash data sheet found asks for 35


def flash_timing(clk_hz: float) -> dict[str, int]:
    """``half_period`` and ``wake_cycles`` of a reader at that clock.

    >>> flash_timing(24e6)
    {'half_period': 1, 'wake_cycles': 960}
    """
    return {
        "half_period": math.ceil(HALF_PERIOD_NS * clk_hz / 1e9),
        "wake_cycles": math.ceil(WAKE_NS * clk_hz / 1e9),
    }


class FlashReader(wiring.Component):
    """Streams the bytes of an SPI flash from ``offset`` on, from reset until ``stop``.

    The flash is woken first: configuration may leave it in deep power-down. Then one read goes on
    for ever; the SPI clock rests while a byte waits for its reader. A byte takes
    ``16 * half_period`` cycles and at least one more.

    Parameters
    ----------
    offset : int
        Address of the first byte, 0 .. 2**24-1.
    half_period : int
        Cycles of half an SPI clock, which idles low (mode 0).
    wake_cycles : int
        Cycles that the flash gets to wake up; see :func:`flash_timing` for both.
    command : int
        0x03, or 0x0B with a byte between address and data.

    Members
    -------
    stop : In(1)
        Ends the read for good.
    o : Out(stream.Signature(8))
    cs, clk, copi, cipo : Out(1), In(1)
        The flash; ``cs`` is high while it is selected.
    """

    stop: In(1)
    o: Out(stream.Signature(8))
    cs: Out(1)
    clk: Out(1)
    copi: Out(1)
    cipo: In(1)

    def __init__(self, offset: int, *, half_period: int, wake_cycles: int, command: int = READ):
        if not 0 <= offset < 1 << 24:
            raise ValueError(f"offset must be 0 to 2**24-1, not {offset!r}")
        for name, value in (("half_period", half_period), ("wake_cycles", wake_cycles)):
            if value < 1:
                raise ValueError(f"{name} must be positive, not {value!r}")
        if command not in (READ, FAST_READ):
            raise ValueError(f"command must be 0x03 or 0x0B, not {command!r}")
        self._half_period = half_period
        # Pauses are counted in SPI clocks.
        self._wake_clocks = -(-wake_cycles // (2 * half_period))
        self._header = command << 24 | offset
        self._header_bits = 32
        if command == FAST_READ:
            self._header <<= 8
            self._header_bits += 8
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        # The clock's phase goes on while the flash is not selected: pauses are counted with it.
        phase = Signal()
        go = Signal()
        step = Signal()
        rise = Signal()
        fall = Signal()
        if self._half_period == 1:
            m.d.comb += step.eq(go)
        else:
            timer = Signal(range(self._half_period))
            m.d.comb += step.eq(go & (timer == 0))
            with m.If(go):
                m.d.sync += timer.eq(timer - 1)
            with m.If(step):
                m.d.sync += timer.eq(self._half_period - 1)
        m.d.comb += [rise.eq(step & ~phase), fall.eq(step & phase)]
        # Pins but for `copi`, which is looked at on the clock's rise, come from registers.
        with m.If(step):
            m.d.sync += [phase.eq(~phase), self.clk.eq(rise & self.cs)]

        left = Signal(range(max(self._wake_clocks, self._header_bits)))  # clocks, after this one
        last = Signal()
        bits = Signal(8, reset_less=True)
        m.d.comb += [last.eq(fall & (left == 0)), self.o.payload.eq(bits)]
        with m.If(fall):
            m.d.sync += left.eq(left - 1)

        def begin(clocks, *, select):
            m.d.sync += [left.eq(clocks - 1), self.cs.eq(select)]

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("START"):
                begin(8, select=1)
                m.next = "WAKE"
            with m.State("WAKE"):
                m.d.comb += [go.eq(1), self.copi.eq(Const(WAKE_UP, 8).bit_select(left[:3], 1))]
                with m.If(last):
                    begin(self._wake_clocks, select=0)
                    m.next = "PAUSE"
            with m.State("PAUSE"):
                m.d.comb += go.eq(1)
                with m.If(last):
                    begin(self._header_bits, select=1)
                    m.next = "HEADER"
            with m.State("HEADER"):
                header = Const(self._header, 1 << len(left[:6]))
                m.d.comb += [go.eq(1), self.copi.eq(header.bit_select(left[:6], 1))]
                with m.If(last):
                    begin(8, select=1)
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += go.eq(~self.o.valid)
                with m.If(rise):
                    m.d.sync += bits.eq(Cat(self.cipo, bits))
                with m.If(last):
                    begin(8, select=1)
                    m.d.sync += self.o.valid.eq(1)
                with m.If(self.stop):
                    m.d.sync += [self.cs.eq(0), self.clk.eq(0)]
                    m.next = "END"
            with m.State("END"):
                pass
        return m
