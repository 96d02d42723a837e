"""A multiplier of two wide numbers."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.vendor import LatticeECP5Platform

from .mult18x18d import mult18x18d

__all__ = ["WideMultiplier"]


class WideMultiplier(wiring.Component):
    """Signed product of up to 18 x 18 bits in one block of an ECP5, for fast clocks.

    Latency is :data:`LATENCY` = 5 cycles, that of :class:`.systolic.dual.DualMultiplier`: all of
    the block's registers, and one of the fabric in front of it and behind, for a block is often
    far away. Throughput is a product a cycle.
    """

    LATENCY = 5

    def __init__(self, a_width: int, b_width: int):
        for name, width in (("a_width", a_width), ("b_width", b_width)):
            if not 2 <= width <= 18:
                raise ValueError(f"{name} must be 2 to 18, not {width!r}")
        super().__init__({
            "a": In(signed(a_width)),
            "b": In(signed(b_width)),
            "o": Out(signed(a_width + b_width)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        a = Signal.like(self.a, reset_less=True)
        b = Signal.like(self.b, reset_less=True)
        o = Signal.like(self.o, reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b)]
        m.d.comb += self.o.eq(o)
        if isinstance(platform, LatticeECP5Platform):
            wide = [Signal(signed(18), name=f"{name}_block") for name in "ab"]
            m.d.comb += [wide[0].eq(a), wide[1].eq(b)]
            m.d.sync += o.eq(mult18x18d(m, *wide))
            return m
        for stage in range(2, self.LATENCY):
            a_last, b_last = a, b
            if stage == 2:
                a, b = Signal.like(a, name="s2_a"), Signal.like(b, name="s2_b")
                m.d.sync += [a.eq(a_last), b.eq(b_last)]
                product = a * b
            else:
                product_q = Signal.like(o, name=f"s{stage}_product")
                m.d.sync += product_q.eq(product)
                product = product_q
        m.d.sync += o.eq(product)
        return m
