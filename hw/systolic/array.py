"""The systolic array."""

from collections.abc import Sequence

from amaranth import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .dual import WEIGHTS, pack, splits
from .pe import Shared, SystolicPe

__all__ = ["SystolicArray", "factor_layout", "shared_layout"]


def factor_layout(shared: Sequence[Shared], which: int) -> data.StructLayout:
    """First or second factors of the products that are made by turns, ``at_n`` that of the nth."""
    return data.StructLayout({f"at_{n}": signed(other[which]) for n, other in enumerate(shared)})


def shared_layout(shared: Sequence[Shared]) -> data.StructLayout:
    """The sums of these products."""
    return data.StructLayout({f"at_{n}": other.layout for n, other in enumerate(shared)})


class SystolicArray(wiring.Component):
    """Vectors of int8 times a matrix of int8 that stays in place: weight-stationary GEMM.

    The sums of the vector presented in cycle t are on ``o`` in cycle t + :attr:`latency`; output n
    below ``columns`` comes from the first weight of column n, output ``columns + n`` from its
    second. A vector may come in every cycle; nothing ever stalls.

    Weights wait in a shadow register behind those in use. ``rows`` beats fill a tile, with gaps at
    will, the first for the last row; ``swap`` says that from this cycle's vector on they are used;
    without new weights it changes nothing. The first beat may come no sooner than :data:`RELOAD`
    cycles after the last swap, a swap no sooner than :data:`SETTLE` cycles after the last beat: a
    tile may follow another every ``rows`` cycles. This is because both move through the array like
    a wave, as activations do: a row and a column a cycle.

    With ``depthwise`` high, a column has a channel of its own. Output t (first weights) is the sum
    over ``r < 3 * taps`` of ``w[r] * lines[r // taps]``, the line's value that is presented r
    cycles after t; ``swap`` counts as before. ``depthwise`` is to hold still from ``2 * columns``
    cycles before the first vector, or line, until the last output.

    Parameters
    ----------
    rows, columns : int
        Multiplier blocks; each makes two products a cycle.
    depthwise : bool
        Build the way in for the lines.
    taps : int
        Rows that each of the three lines feeds.
    shared : Sequence[Shared]
        Other products, that PEs make and sum up by turns, row after row; at most as many as there
        are PEs.

    Members
    -------
    a : In(ArrayLayout(signed(8), rows))
    swap : In(1)
    w_valid : In(1)
    w_data : In(ArrayLayout(signed(8), 2 * columns))
        First weights of all columns, then the second ones: -127..127 (the first: -128 as well).
    lines : In(ArrayLayout(ArrayLayout(signed(8), columns), 3))
    depthwise : In(1)
    turn : In(1); x, y : In(factor_layout); clear : In(len(shared)); added : Out(shared_layout)
        Only with ``shared``: where ``turn`` has been high for ``rows + columns`` cycles, products
        of factors follow these 5 cycles later, and are summed up: see :class:`.pe.SystolicPe`.
        The other sums mean nothing then, and weights have to come anew.
    o : Out(ArrayLayout(signed(sum_width), 2 * columns))
    """

    RELOAD = 0
    SETTLE = 1

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        depthwise: bool = False,
        taps: int = 0,
        shared: Sequence[Shared] = (),
    ):
        if rows < 2:
            raise ValueError(f"rows must be at least 2, not {rows!r}")
        if columns < 1:
            raise ValueError(f"columns must be positive, not {columns!r}")
        if depthwise and not 1 <= taps <= rows // 3:
            raise ValueError(f"taps must be 1 to {rows // 3}, a third of the rows, not {taps!r}")
        if len(shared) > rows * columns:
            raise ValueError(f"shared must be at most {rows * columns}, not {len(shared)}")
        self.rows, self.columns = rows, columns
        self.shared = tuple(shared)
        self.line_fed, self.taps = depthwise, taps
        self.sum_width = 16 + (rows - 1).bit_length()
        self.latency = self.latency_of(rows, columns)
        ports = {
            "a": In(data.ArrayLayout(signed(8), rows)),
            "swap": In(1),
            "w_valid": In(1),
            "w_data": In(data.ArrayLayout(signed(8), 2 * columns)),
            "o": Out(data.ArrayLayout(signed(self.sum_width), 2 * columns)),
        }
        if depthwise:
            ports |= {
                "lines": In(data.ArrayLayout(data.ArrayLayout(signed(8), columns), 3)),
                "depthwise": In(1),
            }
        if shared:
            ports |= {
                "turn": In(1),
                "x": In(factor_layout(shared, 0)),
                "y": In(factor_layout(shared, 1)),
                "clear": In(len(shared)),
                "added": Out(shared_layout(shared)),
            }
        super().__init__(ports)

    @staticmethod
    def latency_of(rows: int, columns: int) -> int:
        """The latency of an array of that size."""
        return rows + columns + SystolicPe.LATENCY

    def elaborate(self, platform):
        m = Module()
        split = splits(platform)
        a = self._skewed_rows(m)
        w, w_en, swap = self._weights(m)
        lines = self._skewed_lines(m) if self.line_fed else []
        turns = self._turns(m) if self.shared else []
        for column in range(self.columns):
            w_above, sums_above = w[column], None
            for row in range(self.rows):
                fed = self.line_fed and row < 3 * self.taps
                n = row * self.columns + column
                shared = self.shared[n] if n < len(self.shared) else None
                pe = SystolicPe(row, split=split, line=fed, shared=shared)
                m.submodules[f"pe_{row}_{column}"] = pe
                m.d.comb += [
                    pe.a.eq(a[row]),
                    pe.swap.eq(swap[row]),
                    pe.w_en.eq(w_en[row]),
                    pe.w.eq(w_above),
                ]
                if row:
                    m.d.comb += pe.sums.eq(sums_above)
                if fed:
                    m.d.comb += pe.line.eq(lines[column][row // self.taps])
                if shared:
                    m.d.comb += [
                        pe.turn.eq(turns[row]),
                        pe.x.eq(self.x[f"at_{n}"]),
                        pe.y.eq(self.y[f"at_{n}"]),
                        pe.clear.eq(self.clear[n]),
                        self.added[f"at_{n}"].eq(pe.added),
                    ]
                    turns[row] = pe.turn_right
                a[row], swap[row], w_en[row] = pe.a_right, pe.swap_right, pe.w_en_right
                w_above, sums_above = pe.w_down, pe.sums_down
            sums = self._resolved(m, sums_above, split, f"sums_{column}")
            for n, total in enumerate(sums):
                late = _delayed(m, total, self.columns - 1 - column, f"o_{column}_{n}")
                m.d.comb += self.o[n * self.columns + column].eq(late)
        return m

    def _skewed_rows(self, m):
        """Activations for the first column: row r, r cycles later.

        In a depthwise layer they are zeros, and otherwise the lines are: a PE need not select.
        """
        a = []
        depthwise = self.depthwise if self.line_fed else Const(0)
        for row in range(self.rows):
            a.append(Mux(depthwise, 0, _delayed(m, self.a[row], row, f"a_{row}")))
            if self.line_fed:
                depthwise = _delayed(m, depthwise, 1, f"depthwise_row_{row}")
        return a

    def _weights(self, m):
        """What goes into the top of each column; where the first column takes a beat, and swaps.

        A beat goes down a row a cycle as far as the row that it is meant for, which keeps it.
        Column c is c cycles later. A row swaps only what it was given: said for each, this keeps
        synthesis from making one register of those that act at the same time, far apart.
        """
        columns = self.columns
        w = []
        for column in range(columns):
            pair = [_delayed(m, self.w_data[n * columns + column], column, f"w{n}_{column}")
                    for n in range(2)]  # fmt: skip
            packed = Signal(WEIGHTS, name=f"w_{column}", reset_less=True)
            m.d.sync += [packed[name].eq(value) for name, value in pack(*pair).items()]
            w.append(packed)
        last = Signal(range(self.rows), init=self.rows - 1)  # the row that the next beat is for
        with m.If(self.w_valid):
            m.d.sync += last.eq(Mux(last == 0, self.rows - 1, last - 1))
        enables, swaps = [], []
        enable, swap = self.w_valid, self.swap
        for row in range(self.rows):
            fresh = Signal(name=f"fresh_{row}")
            with m.If(enable & (last == row)):
                m.d.sync += fresh.eq(1)
            with m.Elif(swap):
                m.d.sync += fresh.eq(0)
            enables.append(enable)
            swaps.append(swap & fresh)
            if row < self.rows - 1:
                passes = enable & (last != row)
                enable = _delayed(m, passes, 1, f"w_en_{row}", reset_less=False)
                last = _delayed(m, last, 1, f"w_last_{row}")
                swap = _delayed(m, swap, 1, f"swap_{row}", reset_less=False)
        return w, enables, swaps

    def _skewed_lines(self, m):
        """The lines as each column sees them, column c, c + 1 cycles later."""
        lines = []
        depthwise = self.depthwise
        for column in range(self.columns):
            seen = []
            for n in range(3):
                value = _delayed(m, self.lines[n][column], column, f"line_{n}_{column}")
                value = Mux(depthwise, value, 0)
                seen.append(_delayed(m, value, 1, f"line_{n}_{column}_last"))
            lines.append(seen)
            depthwise = _delayed(m, depthwise, 1, f"depthwise_column_{column}")
        return lines

    def _turns(self, m):
        """``turn`` for the first column, row after row: it moves like a wave, as ``swap`` does."""
        turns = []
        turn = self.turn
        for row in range(self.rows):
            turn = _delayed(m, turn, 1, f"turn_{row}")
            turns.append(turn)
        return turns

    def _resolved(self, m, sums, split, name):
        """The two sums of a column, 2 cycles after they left it."""
        totals = [Signal(signed(self.sum_width), name=f"{name}_{n}", reset_less=True)
                  for n in range(2)]  # fmt: skip
        if not split:
            for total, field in zip(totals, ("p0", "p1"), strict=True):
                m.d.sync += total.eq(_delayed(m, sums[field], 1, f"{name}_{field}"))
            return totals
        low = _delayed(m, sums.low, 1, f"{name}_low")
        far = _delayed(m, sums.far, 1, f"{name}_far")
        m.d.sync += [
            totals[0].eq((sums.high << 10) + low),
            totals[1].eq(far - sums.high),
        ]
        return totals


def _delayed(m, value, cycles, name, reset_less=True):
    """The value, that many cycles later."""
    for n in range(cycles):
        last = Signal(Value.cast(value).shape(), name=f"{name}_{n}", reset_less=reset_less)
        m.d.sync += last.eq(value)
        value = last
    return value
