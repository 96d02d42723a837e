"""A delay line."""

from amaranth import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..config import bits_for

__all__ = ["DelayLine"]


class DelayLine(wiring.Component):
    """Gives back a payload ``length`` cycles after it was presented, one in every cycle.

    Block RAM holds the payloads, one a row, and a register stands right behind it; both count in
    the length. The first ``length`` payloads after ``set`` are those of before, in any order.

    Parameters
    ----------
    shape
        Of a payload.
    depth : int
        Largest length; the smallest is :attr:`SHORTEST`.

    Members
    -------
    set : In(1)
        Take the length that is presented with it, from the next cycle on.
    length : In(range(depth + 1))
    i, o : In(shape), Out(shape)
        ``o`` at cycle t is ``i`` at cycle ``t - length``.
    """

    SHORTEST = 3  # a row is written, then read, then registered

    def __init__(self, shape, depth: int):
        if depth < self.SHORTEST:
            raise ValueError(f"depth must be at least {self.SHORTEST}, not {depth!r}")
        # A row is read depth - 2 cycles after it was written at the latest, and must not be
        # written in that cycle.
        self._address = bits_for(depth - 2)
        self._shape = shape
        super().__init__(
            {
                "set": In(1),
                "length": In(range(depth + 1)),
                "i": In(shape),
                "o": Out(shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self._shape).width
        m.submodules.ring = ring = Bank(width=width, depth=1 << self._address)
        written = Signal(self._address)
        read = Signal(self._address, init=1)  # never the row that is written
        row = Signal(width, reset_less=True)
        m.d.comb += [
            ring.w_addr.eq(written),
            ring.w_en.eq(1),
            ring.w_data.eq(self.i),
            ring.r_addr.eq(read),
            ring.r_en.eq(1),
            self.o.eq(row),
        ]
        m.d.sync += [written.eq(written + 1), read.eq(read + 1), row.eq(ring.r_data)]
        with m.If(self.set):
            m.d.sync += read.eq(written - self.length + self.SHORTEST)
        return m
