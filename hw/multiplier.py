"""Pipelined multiplier."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Multiplier"]


class Multiplier(wiring.Component):
    """Signed product, ``o = a * b``, for the multiplier blocks of an FPGA.

    Latency is :data:`LATENCY` = 2 cycles (operand registers, product register); throughput is one
    product a cycle. The registers have no reset, so that they can go into the block.
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
        m = Module()
        a = Signal.like(self.a, reset_less=True)
        b = Signal.like(self.b, reset_less=True)
        product = Signal.like(self.o, reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
        m.d.comb += self.o.eq(product)
        return m
