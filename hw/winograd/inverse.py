"""The inverse transform of a Winograd unit."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..systolic.dual import LOW_BITS
from .geometry import Geometry
from .products import shared_size

__all__ = ["InverseTransform", "add_or_subtract", "sum_layout"]


def sum_layout(geometry: Geometry, a: int, b: int):
    """The sum of point (a, b): of the bits that its place needs, in two parts where a systolic
    array makes some, ``low + (far << LOW_BITS)``."""
    if geometry.shares:
        return shared_size(geometry, a, b).layout
    return signed(geometry.point_bits(a, b))


def add_or_subtract(m, a, b, subtract, width):
    """``a - b`` or ``a + b`` in ``width`` bits, with one carry chain."""
    x, y = Signal(signed(width), name="x"), Signal(signed(width), name="y")
    m.d.comb += [x.eq(a), y.eq(b)]
    total = Cat(1, x) + Cat(subtract, y ^ subtract.replicate(width))
    return total[1 : width + 1]


class InverseTransform(wiring.Component):
    """``A^T sums A``, divided exactly: ``outputs ** 2`` results, one by one, line by line.

    The sums must hold still from ``begin`` on for ``geometry.turn`` cycles, in which results come
    out at an even pace, the first ``geometry.inverse_latency`` cycles after ``begin``. Every value
    is kept modulo the power of two that the results need.

    For each line of results, pairs of columns of the sums follow each other: the first and the
    last, then those that are added and subtracted. Each column is multiplied by a line of A^T; all
    at once have two such circuits, small units one that does both columns of a pair.

    Members
    -------
    sums : In(StructLayout)
        ``at_a_b``, as :func:`sum_layout` has it.
    begin : In(1)
    o : Out(signed(result_bits))
        Equal to :func:`prunus.sim.winograd.divide_exactly` of ``inverse_transform``.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        size = geometry.size
        super().__init__({
            "sums": In(data.StructLayout({
                f"at_{a}_{b}": sum_layout(geometry, a, b)
                for a in range(size)
                for b in range(size)
            })),
            "begin": In(1),
            "o": Out(signed(geometry.result_bits)),
        })  # fmt: skip

    def _register(self, name, bits=None):
        bits = bits or self.geometry.result_bits + self.geometry.scheme.shift
        return Signal(signed(bits), name=name, reset_less=True)

    def elaborate(self, platform):
        m = Module()
        geometry, scheme = self.geometry, self.geometry.scheme
        size, outputs, register = geometry.size, geometry.outputs, self._register
        pairs = [(0, size - 1), *((first, first + 1) for first, _ in scheme.pairs)]

        # Which line, which pair, and where one circuit does both, which column of it.
        running = Signal()
        line, pair = Signal(range(outputs)), Signal(range(outputs))
        second = Signal() if geometry.pace == 2 else Const(1)
        last_pair = (pair == outputs - 1) & second
        with m.If(self.begin | running):
            m.d.sync += running.eq(~(last_pair & (line == outputs - 1)))
            if geometry.pace == 2:
                m.d.sync += second.eq(~second)
            with m.If(second):
                m.d.sync += pair.eq(pair + 1)
            with m.If(last_pair):
                m.d.sync += [pair.eq(0), line.eq(line + 1)]
                with m.If(line == outputs - 1):
                    m.d.sync += line.eq(0)

        def follow(value, stages, name):
            """The value, and what it was 1 .. stages cycles before."""
            values = [value]
            for n in range(1, stages + 1):
                values.append(Signal.like(value, name=f"s{n}_{name}", reset_less=True))
                m.d.sync += values[n].eq(values[n - 1])
            return values

        joining = 1 if geometry.shares else 0  # the parts of a sum
        more = joining + geometry.pace - 1  # cycles until the second column comes
        lines = follow(line, 2 + joining, "line")[joining:]
        numbers = follow(pair, 6 + more, "pair")
        seconds = [Const(1)] * 7
        if geometry.pace == 2:
            seconds = follow(second, 6, "second")

        # Stages 1 to 4: the two columns, each times a line of A^T.
        if geometry.pace == 2:
            both = Cat(second, pair)
            columns = [column for pair_columns in pairs for column in pair_columns]
            far = self._column(m, 0, both, columns, lines)
            near = register("s5_near")
            m.d.sync += near.eq(far)
        else:
            near, far = (
                self._column(m, side, pair, [columns[side] for columns in pairs], lines)
                for side in range(2)
            )

        # Stage 5: their sum and difference; of the first pair, each times the edge's factor, which
        # is 1 or 3.
        at_edge = numbers[4 + more] == 0
        total, difference = register("total"), register("difference")

        def twice(value):
            return value.shift_left(1) if scheme.edge == 3 else 0

        minuend = Mux(at_edge, twice(far), near)
        m.d.sync += [
            total.eq(near + Mux(at_edge, twice(near), far)),
            difference.eq(add_or_subtract(m, minuend, far, ~at_edge, len(difference))),
        ]

        # Stage 6: the results of a line. Behind its last pair they are complete.
        number = numbers[5 + more]
        results = [register(f"result_{j}") for j in range(outputs)]
        for j, result in enumerate(results):
            base = difference if j % 2 else total
            term = Signal(result.shape(), name=f"term_{j}")
            with m.Switch(number):
                with m.Case(0):
                    if j in (0, outputs - 1):
                        m.d.comb += term.eq(base.shift_left(scheme.edges[0 if j == 0 else 1]))
                for n, (_, shifts) in enumerate(scheme.pairs):
                    with m.Case(n + 1):
                        m.d.comb += term.eq(base.shift_left(shifts[j]))
            with m.If(seconds[5]):
                m.d.sync += result.eq(Mux(number == 0, 0, result) + term)

        # Then one after the other, divided.
        bits = geometry.result_bits
        queue = [register(f"queue_{j}", bits) for j in range(outputs)]
        load = (numbers[6 + more] == len(pairs) - 1) & seconds[6]
        shift = Const(1)
        if geometry.pace == 2:
            shift = Signal()
            m.d.sync += shift.eq(~shift & ~load)
        with m.If(load):
            m.d.sync += [a.eq(b[scheme.shift :]) for a, b in zip(queue, results, strict=True)]
        with m.Elif(shift):
            m.d.sync += [a.eq(b) for a, b in zip(queue, queue[1:], strict=False)]
        quotient = queue[0]
        for n, power in enumerate(geometry.powers):
            following = register(f"quotient_{n}", bits)
            moved = quotient.shift_left(power)
            m.d.sync += following.eq(quotient + moved if n else quotient - moved)
            quotient = following
        m.d.comb += self.o.eq(quotient)
        return m

    def _column(self, m, side, select, columns, lines):
        """A column of the sums, chosen from some, times a line of A^T: four stages.

        ``lines`` are the numbers of the line, now and 1 and 2 cycles before.
        """
        scheme, size, register = self.geometry.scheme, self.geometry.size, self._register
        width = self.geometry.result_bits + scheme.shift

        def chosen(values, name):
            one = max((value.shape() for value in values), key=lambda shape: shape.width)
            one = Signal(one, name=name, reset_less=True)
            with m.Switch(select):
                for n, value in enumerate(values):
                    with m.Case(n) if n < len(values) - 1 else m.Default():
                        m.d.sync += one.eq(value)
            return one

        column = []
        for a in range(size):
            values = [self.sums[f"at_{a}_{b}"] for b in columns]
            name = f"s1_{side}_{a}"
            if not self.geometry.shares:
                column.append(chosen(values, name))
                continue
            low = chosen([value.low for value in values], f"{name}_low")
            far = chosen([value.far for value in values], f"{name}_far")
            column.append(register(name, LOW_BITS + len(far)))
            m.d.sync += column[a].eq((far << LOW_BITS) + low)

        first = lines[1] == 0
        last = lines[1] == self.geometry.outputs - 1
        edge = Signal(signed(width), name=f"edge_{side}")
        with m.If(first):
            m.d.comb += edge.eq(column[0])
        with m.If(last):
            m.d.comb += edge.eq(column[-1])
        s2_edge = register(f"s2_{side}_edge", width - min(scheme.edges))
        m.d.sync += s2_edge.eq(edge + edge.shift_left(1) if scheme.edge == 3 else edge)
        fixed = Mux(lines[2] == 0, *(s2_edge.shift_left(n) for n in scheme.edges))
        moved = Const(0)
        for a, shifts in scheme.pairs:
            s2 = register(f"s2_{side}_{a}", width - min(shifts))
            m.d.sync += s2.eq(add_or_subtract(m, column[a], column[a + 1], lines[1][0], len(s2)))
            if len(set(shifts)) == 1:
                fixed = fixed + s2.shift_left(shifts[0])
            else:
                moved = register(f"s3_{side}_{a}")
                with m.Switch(lines[2]):
                    for n, shift in enumerate(shifts):
                        with m.Case(n):
                            m.d.sync += moved.eq(s2.shift_left(shift))
        s3_fixed, s4 = register(f"s3_{side}_fixed"), register(f"s4_{side}")
        m.d.sync += [s3_fixed.eq(fixed), s4.eq(s3_fixed + moved)]
        return s4
