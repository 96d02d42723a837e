"""The inverse transform of a Winograd unit that makes one row of the transform domain at a time."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from .geometry import Geometry
from .inverse import add_or_subtract

__all__ = ["SerialInverseTransform"]


class SerialInverseTransform(wiring.Component):
    """``A^T sums A``, divided exactly, from one row of the sums after the other.

    With ``take`` a row is there: row 0, then 1, ..., ``geometry.turn`` cycles from each other at
    least, as are the last and the next row 0. The results follow the last, line by line, one a
    cycle, the first ``geometry.inverse_latency`` cycles after the cycle behind that ``take``. Every
    value is kept modulo the power of two that the results need.

    Only one row is held. It is multiplied by A, a term a cycle; each of the ``outputs`` values that
    come of it, times a column of A^T, is added to a column of results in a memory, an element a
    cycle. The results are read while row 0 of the next comes: it and row 1 begin anew.

    Members
    -------
    sums : In(StructLayout)
        ``at_b``: of a row, in the bits that the widest of a column needs.
    take : In(1)
    ahead : Out(1)
        The first result is there :data:`AHEAD` cycles later.
    o : Out(signed(result_bits))
        Equal to :func:`prunus.sim.winograd.divide_exactly` of ``inverse_transform``.
    """

    AHEAD = 2

    def __init__(self, geometry: Geometry):
        if not geometry.serial:
            raise ValueError(f"passes must be {geometry.size}, not {geometry.passes!r}")
        self.geometry = geometry
        super().__init__({
            "sums": In(data.StructLayout({
                f"at_{b}": signed(geometry.sum_bits(0, b)) for b in range(geometry.size)
            })),
            "take": In(1),
            "ahead": Out(1),
            "o": Out(signed(geometry.result_bits)),
        })  # fmt: skip

    def _register(self, name, bits=None):
        bits = bits or self.geometry.result_bits + self.geometry.scheme.shift
        return Signal(signed(bits), name=name, reset_less=True)

    def _counter(self, m, begin, name):
        """Counts ``turn`` cycles behind ``begin``: the low and the high digit, and whether it does.

        Digits are to the base of ``outputs``.
        """
        turn, bits = self.geometry.turn, self.geometry.outputs.bit_length() - 1
        count = Signal(range(turn + 1), init=turn, name=name)
        with m.If(begin):
            m.d.sync += count.eq(0)
        with m.Elif(~count[-1]):
            m.d.sync += count.eq(count + 1)
        return count[:bits], count[bits:-1], ~count[-1]

    def elaborate(self, platform):
        m = Module()
        geometry, scheme, register = self.geometry, self.geometry.scheme, self._register
        size, outputs, bits = geometry.size, geometry.outputs, geometry.result_bits

        # The row times A: a value is complete in the cycle behind its last term.
        term, number, running = self._counter(m, self.take, "slot")
        total = self._values(m, term, number)
        complete = Signal()
        m.d.comb += complete.eq(running & (number == 0) & (term == outputs - 1))

        # Which result is asked for: for each value a column, line by line. A row at an edge has
        # a part in one line only; three times a value is added as once and twice.
        line, column, adding = self._counter(m, complete, "place")
        row = Signal(size, init=1 << (size - 1))
        with m.If(complete):
            m.d.sync += row.eq(row.rotate_left(1))
        at_edge = row[0] | row[-1]
        first, second = (1, 2) if scheme.edge == 3 else (0, 0)
        asked = Signal(2 * len(line))
        m.d.comb += asked.eq(
            Cat(column, Mux(row[0], 0, Mux(row[-1], outputs - 1, line))[: len(line)])
        )

        # The value times a factor for the line: as it is, or twice as much from line to line.
        growing = [a for b, shifts in scheme.pairs if shifts[1] > shifts[0] for a in (b, b + 1)]
        moved = {0: scheme.edges[0] - first, size - 1: scheme.edges[1] - first}
        moved |= {a: shifts[0] for b, shifts in scheme.pairs for a in (b, b + 1)}
        if scheme.edge == 3:
            growing += [0, size - 1]
        few, many = min(moved.values()), max(moved.values())
        assert set(moved.values()) == {few, many}

        def chosen(rows):
            return Cat(row[a] for a in rows).any()

        value = register("value")
        with m.If(line == 0):
            m.d.sync += value.eq(total)
        if growing:
            with m.Elif(chosen(growing)):
                m.d.sync += value.eq(value.shift_left(1))
        s1_many, s1_subtract, s1_again, s1_anew = (
            Signal(name=f"s1_{name}") for name in ("many", "subtract", "again", "anew")
        )
        m.d.sync += [
            s1_many.eq(chosen(a for a, shift in moved.items() if shift == many)),
            s1_subtract.eq(chosen(b + 1 for b, _ in scheme.pairs) & line[0]),
            s1_anew.eq(row[0] | (row[1] & (line != 0))),
        ]
        if first != second:
            m.d.sync += s1_again.eq(at_edge & (line == second))

        # Added, and written.
        m.submodules.results = results = Bank(width=len(total), depth=outputs**2)
        result, before = register("result"), Signal(signed(len(total)))
        with m.If(s1_again):
            m.d.comb += before.eq(result)
        with m.Elif(~s1_anew):
            m.d.comb += before.eq(results.r_data)
        product = value.shift_left(few)
        if few != many:
            product = Mux(s1_many, value.shift_left(many), product)
        m.d.sync += result.eq(add_or_subtract(m, before, product, s1_subtract, len(result)))
        writes, places = [adding & (~at_edge | (line == second))], [asked]
        for n in (1, 2):
            writes.append(Signal(name=f"s{n}_write"))
            places.append(Signal(asked.shape(), name=f"s{n}_asked", reset_less=True))
            m.d.sync += [writes[n].eq(writes[n - 1]), places[n].eq(places[n - 1])]

        # From the cycle on in which nothing more is asked for: line by line, divided.
        end = Signal()
        m.d.comb += end.eq(row[-1] & adding & Cat(line, column).all())
        out_column, out_line, leaving = self._counter(m, end, "out")
        m.d.comb += [
            results.r_addr.eq(Mux(leaving, Cat(out_column, out_line), asked)),
            results.r_en.eq(adding | leaving),
            results.w_addr.eq(places[2]),
            results.w_en.eq(writes[2]),
            results.w_data.eq(result),
        ]
        quotient, ahead = results.r_data[scheme.shift :].as_signed(), end
        for n, power in enumerate(geometry.powers):
            following, late = register(f"quotient_{n}", bits), Signal(name=f"ahead_{n}")
            more = quotient.shift_left(power)
            m.d.sync += [following.eq(quotient + more if n else quotient - more), late.eq(ahead)]
            quotient, ahead = following, late
        m.d.comb += [self.o.eq(quotient), self.ahead.eq(ahead)]
        return m

    def _values(self, m, term, number):
        """The row times A: of each of ``outputs`` values a term a cycle, two from each pair of
        sums, and with the first that of an edge."""
        scheme, register = self.geometry.scheme, self._register
        outputs, last = scheme.outputs, scheme.size - 1
        width = self.geometry.result_bits + scheme.shift
        sums = [self.sums[f"at_{b}"] for b in range(scheme.size)]
        # Two take turns; where factors grow, they are multiplied by the growth every time.
        pairs = []
        for n, (b, shifts) in enumerate(scheme.pairs):
            growth = shifts[1] - shifts[0]
            assert shifts == tuple(shifts[0] + j * growth for j in range(outputs))
            now, then = (
                register(f"sum_{a}", width if growth else len(sums[a])) for a in (b, b + 1)
            )
            with m.If(self.take):
                m.d.sync += [now.eq(sums[b]), then.eq(sums[b + 1])]
            with m.Elif(term[1:] == n):
                m.d.sync += [now.eq(then), then.eq(now.shift_left(growth))]
            pairs.append(now.shift_left(shifts[0]))
        low, high = scheme.edges
        edge, other = register("edge", width - low), register(f"sum_{last}", len(sums[last]))
        with m.If(self.take):
            m.d.sync += [edge.eq(sums[0]), other.eq(sums[last])]
        with m.Elif(term == 0):
            m.d.sync += edge.eq(other.shift_left(high - low))
        times = Signal(edge.shape())
        m.d.comb += times.eq(edge + edge.shift_left(1) if scheme.edge == 3 else edge)

        total, before = register("total"), Signal(signed(width), name="total_before")
        with m.If(term != 0):
            m.d.comb += before.eq(total)
        with m.Elif((number == 0) | (number == outputs - 1)):
            m.d.comb += before.eq(times.shift_left(low))
        added = pairs[0] if len(pairs) == 1 else Mux(term[1], pairs[1], pairs[0])
        subtract = number[0] & term[0]
        m.d.sync += total.eq(add_or_subtract(m, before, added, subtract, width))
        return total
