"""Pipelined multiplier without multiplier blocks."""

from dataclasses import dataclass, replace

from amaranth import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LogicMultiplier"]

FIRST, FAN_IN = 2, 4  # rows added in the first cycle, where they are made too, and in others


@dataclass(frozen=True)
class _Row:
    """``value * 2**weight``, to be added or, if ``negative``, subtracted."""

    value: Value
    weight: int
    negative: bool = False


def tree(rows):
    """The sum of rows in rising order, of which only the last may be negative."""
    if len(rows) == 1:
        return rows[0]
    half = (len(rows) + 1) // 2
    low, high = tree(rows[:half]), tree(rows[half:])
    shifted = high.value.shift_left(high.weight - low.weight)
    return _Row(low.value - shifted if high.negative else low.value + shifted, low.weight)


class LogicMultiplier(wiring.Component):
    """Signed product, ``o = a * b``, of adders alone: synthesis finds no multiplication in it.

    There is a row of ``b`` for each bit of ``a``, so ``a`` should be the narrower operand. Two
    rows, then up to four sums, are added in a cycle. Latency is :attr:`latency` cycles, throughput
    one product a cycle; the operands should come from registers.
    """

    def __init__(self, a_width: int, b_width: int):
        for name, width in (("a_width", a_width), ("b_width", b_width)):
            if width < 2:
                raise ValueError(f"{name} must be at least 2, not {width!r}")
        super().__init__({
            "a": In(signed(a_width)),
            "b": In(signed(b_width)),
            "o": Out(signed(a_width + b_width)),
        })  # fmt: skip

    @property
    def latency(self) -> int:
        levels = 1
        while FIRST * FAN_IN ** (levels - 1) < len(self.a):
            levels += 1
        return levels

    def elaborate(self, platform):
        m = Module()
        # A row for each bit; that of the sign, the last, is subtracted when it meets another.
        none = Const(0, self.b.shape())
        rows = [_Row(Mux(bit, self.b, none), n) for n, bit in enumerate(self.a)]
        rows[-1] = replace(rows[-1], negative=True)
        for level in range(self.latency):
            size = FAN_IN if level else FIRST
            groups = [rows[n : n + size] for n in range(0, len(rows), size)]
            rows = []
            for n, group in enumerate(groups):
                total = tree(group)
                register = Signal(total.value.shape(), name=f"sum_{level}_{n}", reset_less=True)
                m.d.sync += register.eq(total.value)
                rows.append(replace(total, value=register))
        m.d.comb += self.o.eq(rows[0].value)
        return m
