"""Bits of a section, from bytes."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BitReader"]

LENGTH_BITS = 24


class BitReader(wiring.Component):
    """A window on the next bits of a section of known length.

    Takes at most one byte a cycle and never one behind the section's last. Bits behind the end
    can be looked at, their value is undefined; consuming one is an ``overrun``, so a section that
    is too short ends in an error and cannot hang.

    A byte can be seen in the second cycle after its transfer. Sustains `width` bits consumed every
    other cycle, where bytes arrive as fast.

    Parameters
    ----------
    width : int
        Bits of the window, 8..16: the most that can be consumed in a cycle.

    Members
    -------
    i : In(stream)
        Bytes, the first bit in the most significant place.
    open : In(1)
        Begin a section of ``length`` bytes; only when the last one has ``ended``. What the window
        still has of it is forgotten.
    skip : In(1)
        Accept the rest of the section, and forget it. Until ``open`` it must stay high.
    ended : Out(1)
        All bytes of the section were accepted.
    empty : Out(1)
        No bit of the section is left, in the window either.
    window, ready : Out
        The next bits, the first in the most significant place, if ``ready``.
    consume, amount : In
        Go on by so many bits; only while ``ready``.
    overrun : Out(1)
        Pulse, one cycle after ``consume``: the section does not have so many bits.
    """

    def __init__(self, width: int):
        if not 8 <= width <= 16:
            raise ValueError(f"width must be 8 to 16, not {width!r}")
        self.width = width
        super().__init__({
            "i": In(stream.Signature(8)),
            "open": In(1),
            "length": In(LENGTH_BITS),
            "skip": In(1),
            "ended": Out(1),
            "empty": Out(1),
            "window": Out(width),
            "ready": Out(1),
            "consume": In(1),
            "amount": In(range(width + 1)),
            "overrun": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        # Bytes under the window at any offset in the first, and one ahead of them.
        needed = (7 + self.width + 7) // 8
        furthest = 7 + self.width
        size = needed + 1
        held = [Signal(8, name=f"held_{n}", reset_less=True) for n in range(size)]
        count = Signal(range(size + 1))
        # Where the window begins. What was consumed is added here, whole bytes are dropped in the
        # next cycle, and then the window is right again: each of these steps is short.
        position = Signal(range(furthest + 1))
        offset = position[:3]
        drop = position[3:]
        kept = Signal.like(count)

        # Bytes to come, negative: the sign says whether there are any. It is loaded with one too
        # few and put right in the next cycle, which saves a second adder.
        to_come = Signal(LENGTH_BITS + 1)
        opening = Signal()
        transfer = self.i.valid & self.i.ready
        m.d.comb += [
            self.ended.eq(~to_come[-1]),
            self.i.ready.eq(to_come[-1] & ~opening & (self.skip | (count < size))),
        ]
        m.d.sync += opening.eq(self.open)
        with m.If(self.open):
            m.d.sync += to_come.eq(Cat(~self.length, 1))
        with m.Elif(opening | transfer):
            m.d.sync += to_come.eq(to_come + 1)

        # The window, by a shifter that keeps only what its next stages can reach.
        bits = Cat(*reversed(held[:needed]))
        for stage in reversed(range(len(offset))):
            reach = self.width + (1 << stage) - 1
            bits = Mux(offset[stage], bits[: -(1 << stage)][-reach:], bits[-reach:])
        m.d.comb += [
            kept.eq(count - drop),
            self.window.eq(bits),
            self.empty.eq(self.ended & (kept == 0)),
            self.overrun.eq(position > count << 3),
        ]
        m.d.sync += [position.eq(offset + Mux(self.consume, self.amount, 0))]
        m.d.sync += count.eq(kept + transfer)
        # From a register, as much hangs on it.
        enough = (kept >= needed) | self.ended
        m.d.sync += self.ready.eq(enough & ~self.consume & ~self.open & ~self.skip)
        with m.Switch(drop):
            for dropped in range(furthest // 8 + 1):
                with m.Case(dropped):
                    for n in range(len(held) - dropped):
                        m.d.sync += held[n].eq(held[n + dropped])
        with m.Switch(kept):
            for n, byte in enumerate(held):
                with m.Case(n):
                    m.d.sync += byte.eq(self.i.payload)
        with m.If(self.open | self.skip):
            m.d.sync += [count.eq(0), position.eq(0)]
        return m
