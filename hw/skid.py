"""Skid buffer."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SkidBuffer"]


class SkidBuffer(wiring.Component):
    """Cuts a stream in both directions: neither ``i.ready`` nor ``o`` depends on logic outside.

    Latency is 1 cycle, throughput a payload a cycle. Payload registers have no reset.

    Members
    -------
    i, o : In, Out(stream)
    """

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        shown = Signal.like(self.i.payload, name="shown", reset_less=True)
        aside = Signal.like(self.i.payload, name="aside", reset_less=True)
        shown_valid, aside_valid = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~aside_valid),
            self.o.valid.eq(shown_valid),
            self.o.payload.eq(shown),
        ]
        with m.If(~aside_valid):
            m.d.sync += aside.eq(self.i.payload)
        with m.If(self.o.ready | ~shown_valid):
            m.d.sync += [shown_valid.eq(self.i.valid | aside_valid), aside_valid.eq(0)]
            with m.If(aside_valid):
                m.d.sync += shown.eq(aside)
            with m.Else():
                m.d.sync += shown.eq(self.i.payload)
        with m.Elif(self.i.valid):
            m.d.sync += aside_valid.eq(1)
        return m
