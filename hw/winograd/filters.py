"""The kernels of a Winograd unit."""

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..bus import Target, WriteBus
from ..config import Config
from .geometry import Geometry
from .products import grid, kernel_layout
from .scheme import bits_of
from .transforms import choose, kernel_transform

__all__ = ["FilterStore"]


class FilterStore(wiring.Component):
    """Holds int8 kernels and transforms those of a word, ``filters`` of them, in every cycle.

    Byte ``9 * k + 3 * y + x`` of a word is the weight of filter k at line y, column x. Latency is
    :data:`LATENCY` cycles from ``r_en`` to ``u``, for the rows of products of that ``pass_``.

    Parameters
    ----------
    first_unit : int
        The unit of the write bus that is byte 0.
    refilled : bool
        Words that are not read may be written while a layer runs.

    Members
    -------
    bus : In(WriteBus)
        Fills the memory; a write is in place 2 cycles later. Without ``refilled``, no layer may
        run.
    r_addr, r_en, pass_ : In
    u : Out(ArrayLayout(kernel_layout, filters))
    """

    LATENCY = 4

    def __init__(
        self, config: Config, geometry: Geometry, *, first_unit: int, refilled: bool = False
    ):
        self.config = config
        self.geometry = geometry
        self.first_unit = first_unit
        self.refilled = refilled
        super().__init__({
            "bus": In(WriteBus(config)),
            "r_addr": In(range(geometry.weight_depth)),
            "r_en": In(1),
            "pass_": In(range(max(2, geometry.passes))),
            "u": Out(data.ArrayLayout(kernel_layout(geometry), geometry.filters)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        geometry, scheme = self.geometry, self.geometry.scheme
        size = 9 * geometry.filters
        m.submodules.words = words = Bank(
            width=8 * size, depth=geometry.weight_depth, parts=size, exclusive=not self.refilled
        )

        # Writes come from far away.
        write = Signal(size)
        write_addr = Signal(words.w_addr.shape(), reset_less=True)
        write_data = Signal(8, reset_less=True)
        chosen = self.bus.valid & (self.bus.target == Target.TILE)
        m.d.sync += [
            write.eq(Cat(chosen & (self.bus.unit == self.first_unit + n) for n in range(size))),
            write_addr.eq(self.bus.address),
            write_data.eq(self.bus.data),
        ]
        m.d.comb += [
            words.w_en.eq(write),
            words.w_addr.eq(write_addr),
            words.w_data.eq(write_data.replicate(size)),
            words.r_addr.eq(self.r_addr),
            words.r_en.eq(self.r_en),
        ]

        passes = [self.pass_]
        for n in range(1, 3):
            passes.append(Signal.like(self.pass_, name=f"s{n}_pass", reset_less=True))
            m.d.sync += passes[n].eq(passes[n - 1])
        word = data.ArrayLayout(data.ArrayLayout(signed(8), 9), geometry.filters)
        s2_word = Signal(word, reset_less=True)
        m.d.sync += s2_word.eq(words.r_data)
        columns_range = max(abs(sum(map(abs, row))) for row in scheme.kernel) * 128
        shape = signed(bits_of((-columns_range, columns_range - 1)))
        for k in range(geometry.filters):
            # Down each column, then along each line.
            columns = []
            for x in range(3):
                kernel = [s2_word[k][3 * y + x] for y in range(3)]
                transformed = kernel_transform(scheme, kernel)
                taken = []
                for a in range(geometry.rows):
                    chosen_row = Signal(shape, name=f"row_{k}_{a}_{x}")
                    choose(m, chosen_row, passes[2], transformed[a :: geometry.rows])
                    s3 = Signal(shape, name=f"s3_{k}_{a}_{x}", reset_less=True)
                    m.d.sync += s3.eq(chosen_row)
                    taken.append(s3)
                columns.append(taken)
            s4_u = Signal(kernel_layout(geometry), name=f"s4_u_{k}", reset_less=True)
            for a in range(geometry.rows):
                line = kernel_transform(scheme, [column[a] for column in columns])
                m.d.sync += [s4_u[f"at_{a}_{b}"].eq(value) for b, value in enumerate(line)]
            m.d.comb += self.u[k].eq(s4_u)
        assert len(s4_u.shape().members) == len(grid(geometry))
        return m
