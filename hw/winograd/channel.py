"""One output channel of a Winograd unit."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .geometry import Geometry
from .products import grid, product_layout

__all__ = ["OutputChannel"]


def add_or_subtract(m, a, b, subtract, width):
    """``a - b`` or ``a + b`` in ``width`` bits, with one carry chain."""
    x, y = Signal(signed(width), name="x"), Signal(signed(width), name="y")
    m.d.comb += [x.eq(a), y.eq(b)]
    total = Cat(1, x) + Cat(subtract, y ^ subtract.replicate(width))
    return total[1 : width + 1]


class OutputChannel(wiring.Component):
    """Sums up products, transforms the sums back and divides: ``outputs ** 2`` pixels of a channel.

    With ``take`` the sums of a pass are complete with the products of the cycle: they are put
    aside. The results follow ``begin``, which comes in the cycle after the last of the passes: one
    a cycle, line by line, the first ``geometry.inverse_latency`` cycles later. What was put aside
    may change again, and ``begin`` come again, after ``outputs ** 2`` cycles.

    Every value is kept modulo the power of two that the results need.

    Members
    -------
    p : In(product_layout)
    clear : In(1)
        Sums begin anew in the next cycle.
    take : In(passes)
    begin : In(1)
    o : Out(signed(result_bits))
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__({
            "p": In(product_layout(geometry)),
            "clear": In(1),
            "take": In(geometry.passes),
            "begin": In(1),
            "o": Out(signed(geometry.result_bits)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        geometry, scheme = self.geometry, self.geometry.scheme
        size, outputs = geometry.size, geometry.outputs
        width = geometry.result_bits + scheme.shift

        def register(name, bits=width):
            return Signal(signed(bits), name=name, reset_less=True)

        # Sums, and where they wait.
        aside = {}
        for a, b in grid(geometry):
            total = register(f"total_{a}_{b}", geometry.sum_bits(a, b))
            added = Signal.like(total, name=f"added_{a}_{b}")
            m.d.comb += added.eq(total + self.p[f"at_{a}_{b}"])
            with m.If(self.clear):
                m.d.sync += total.eq(0)
            with m.Else():
                m.d.sync += total.eq(added)
            for n in range(geometry.passes):
                row = n * geometry.rows + a
                bits = scheme.sum_bits(row, b, geometry.channels)
                aside[row, b] = register(f"aside_{row}_{b}", bits)
                with m.If(self.take[n]):
                    m.d.sync += aside[row, b].eq(added)

        # For each line of results, pairs of columns one after the other: the first and the last,
        # then those that are added and subtracted.
        pairs = [(0, size - 1), *((first, first + 1) for first, _ in scheme.pairs)]
        running = Signal()
        line = Signal(range(outputs))
        pair = Signal(range(outputs))
        last_pair, last_line = pair == outputs - 1, line == outputs - 1
        with m.If(self.begin | running):
            m.d.sync += [running.eq(~(last_pair & last_line)), pair.eq(pair + 1)]
            with m.If(last_pair):
                m.d.sync += [pair.eq(0), line.eq(line + 1)]
                with m.If(last_line):
                    m.d.sync += line.eq(0)

        def follow(value, stages, name):
            """The value, and what it was 1 .. stages cycles before."""
            values = [value]
            for n in range(1, stages + 1):
                values.append(Signal.like(value, name=f"s{n}_{name}", reset_less=True))
                m.d.sync += values[n].eq(values[n - 1])
            return values

        lines, numbers = follow(line, 2, "line"), follow(pair, 6, "pair")

        # Stages 1 to 4: the two columns, each times a line of A^T.
        column_sums = []
        for side in range(2):
            column = []
            for a in range(size):
                bits = max(len(aside[a, pair_columns[side]]) for pair_columns in pairs)
                column.append(register(f"s1_{side}_{a}", bits))
                with m.Switch(numbers[0]):
                    for n, pair_columns in enumerate(pairs):
                        with m.Case(n) if n < len(pairs) - 1 else m.Default():
                            m.d.sync += column[a].eq(aside[a, pair_columns[side]])
            odd, first_line, last_line = (
                lines[1][0],
                lines[1] == 0,
                lines[1] == outputs - 1,
            )
            edge = Signal(signed(width), name=f"edge_{side}")
            s2_edge = register(f"s2_{side}_edge", width - min(scheme.edges))
            with m.If(first_line):
                m.d.comb += edge.eq(column[0])
            with m.If(last_line):
                m.d.comb += edge.eq(column[-1])
            m.d.sync += s2_edge.eq(_times(edge, scheme.edge))
            s3_fixed = register(f"s3_{side}_fixed")
            parts = [Mux(lines[2] == 0, *(s2_edge.shift_left(n) for n in scheme.edges))]
            moved = []
            for a, shifts in scheme.pairs:
                s2 = register(f"s2_{side}_{a}", width - min(shifts))
                m.d.sync += s2.eq(add_or_subtract(m, column[a], column[a + 1], odd, len(s2)))
                if len(set(shifts)) == 1:
                    parts.append(s2.shift_left(shifts[0]))
                    continue
                moved.append(register(f"s3_{side}_{a}"))
                with m.Switch(lines[2]):
                    for n, shift in enumerate(shifts):
                        with m.Case(n):
                            m.d.sync += moved[-1].eq(s2.shift_left(shift))
            assert len(parts) == 2 and len(moved) <= 1, "two values are added in a cycle"
            m.d.sync += s3_fixed.eq(parts[0] + parts[1])
            s4 = register(f"s4_{side}")
            m.d.sync += s4.eq(s3_fixed + moved[0] if moved else s3_fixed)
            column_sums.append(s4)

        # Stage 5: their sum and difference; of the first pair, each times the edge's factor, which
        # is 1 or 3.
        near, far = column_sums
        at_edge = numbers[4] == 0
        s5_sum, s5_difference = register("s5_sum"), register("s5_difference")

        def more(value):
            return value.shift_left(1) if scheme.edge == 3 else 0

        m.d.sync += [
            s5_sum.eq(near + Mux(at_edge, more(near), far)),
            s5_difference.eq(
                add_or_subtract(m, Mux(at_edge, more(far), near), far, ~at_edge, width)
            ),
        ]

        # Stage 6: the results of a line. Behind its last pair they are complete.
        results = [register(f"s6_{j}") for j in range(outputs)]
        for j, result in enumerate(results):
            base = s5_difference if j % 2 else s5_sum
            term = Signal(signed(width), name=f"term_{j}")
            with m.Switch(numbers[5]):
                with m.Case(0):
                    if j in (0, outputs - 1):
                        m.d.comb += term.eq(base.shift_left(scheme.edges[0 if j == 0 else 1]))
                for n, (_, shifts) in enumerate(scheme.pairs):
                    with m.Case(n + 1):
                        m.d.comb += term.eq(base.shift_left(shifts[j]))
            m.d.sync += result.eq(Mux(numbers[5] == 0, 0, result) + term)

        # Then one after the other, divided.
        bits = geometry.result_bits
        queue = [register(f"queue_{j}", bits) for j in range(outputs)]
        complete = numbers[6] == len(pairs) - 1
        for j, place in enumerate(queue):
            after = queue[j + 1] if j + 1 < outputs else place
            m.d.sync += place.eq(Mux(complete, results[j][scheme.shift :], after))
        quotient = queue[0]
        for n, power in enumerate(geometry.powers):
            following = register(f"quotient_{n}", bits)
            moved = quotient.shift_left(power)
            m.d.sync += following.eq(quotient + moved if n else quotient - moved)
            quotient = following
        m.d.comb += self.o.eq(quotient)
        return m


def _times(value, factor):
    """``value`` times 1 or 3."""
    return value + value.shift_left(1) if factor == 3 else value
