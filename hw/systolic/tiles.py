"""The weights of the systolic array."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bus import Target, WriteBus
from ..config import Config
from ..deep_bank import DeepBank
from ..descriptor import descriptor_layout

__all__ = ["TILE_FIELDS", "TileStore"]

TILE_FIELDS = ("weight_base", "rows")


class TileStore(wiring.Component):
    """Holds weights and loads the array's shadow registers, one tile ahead of the one in use.

    A tile is ``rows`` words from the layer's address on; tiles follow each other until one is
    taken with ``again``: behind it the first one's turn comes again. The shadow chain gets
    ``act_word`` beats a tile, the first for the last row; rows from ``rows`` on are zeros.

    ``ready`` says that a tile that is taken now will be in place when the array swaps: in the same
    cycle or, in an ``early`` layer, ``ahead`` cycles later. Then tiles can be taken every
    :attr:`early_period` cycles, else every :attr:`period` cycles. The first can be taken
    :attr:`first` cycles after ``start``, or :attr:`early_first`.

    Parameters
    ----------
    reload, settle : int
        The array's: cycles from a swap to the first beat, and from the last beat to the swap.
    ahead : int
        Cycles from ``take`` to the swap in an ``early`` layer.

    Members
    -------
    bus : In(WriteBus)
        Fills the memory while no layer runs; a write is in place 2 cycles later.
    start : In(1)
        Begin with the layer's first tile, whatever goes on.
    layer : In(descriptor_layout(TILE_FIELDS))
        Stable from ``start`` on.
    early, single : In(1)
        Stable from ``start`` on. ``single``: the second output of a column has no weights.
    ready : Out(1)
        Low from the cycle after ``take`` until the next tile can be taken.
    take : In(1)
        Only while ``ready``.
    again : In(1)
        What is taken is the last tile before the first.
    w_valid, w_data : Out
        The array's shadow chain.
    """

    READ = 4  # cycles from the decision to read a word until it is presented

    def __init__(self, config: Config, *, reload: int, settle: int, ahead: int):
        if reload + ahead < self.READ:
            raise ValueError(f"ahead must be at least {self.READ - reload}, not {ahead!r}")
        self.config = config
        self._delay = max(reload - self.READ, 0)
        self._early_delay = reload + ahead - self.READ
        loading = config.act_word - 1 + settle
        self.first = self.READ + loading
        self.early_first = max(self.first - ahead, 2)
        self.period = max(reload, self.READ) + loading
        self.early_period = max(reload + loading, config.act_word)
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "layer": In(descriptor_layout(TILE_FIELDS)),
            "early": In(1),
            "single": In(1),
            "ready": Out(1),
            "take": In(1),
            "again": In(1),
            "w_valid": Out(1),
            "w_data": Out(data.ArrayLayout(signed(8), config.tile_outputs)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        outputs = config.tile_outputs
        size = config.act_word
        m.submodules.words = words = DeepBank(
            width=8 * outputs, depth=config.tile_depth, parts=outputs, exclusive=True
        )

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # Writes come from far away.
        write = Signal(outputs)
        write_addr = register("write_addr", words.w_addr.shape())
        write_data = register("write_data", 8)
        chosen = self.bus.valid & (self.bus.target == Target.TILE)
        m.d.sync += [
            write.eq(Cat(chosen & (self.bus.unit == n) for n in range(outputs))),
            write_addr.eq(self.bus.address),
            write_data.eq(self.bus.data),
        ]
        m.d.comb += [
            words.w_en.eq(write),
            words.w_addr.eq(write_addr),
            words.w_data.eq(write_data.replicate(outputs)),
        ]

        # When a tile may be taken.
        wait = register("wait", range(max(self.period, self.first)))
        with m.If(self.start):
            m.d.sync += wait.eq(Mux(self.early, self.early_first, self.first) - 2)
        with m.Elif(self.take):
            m.d.sync += wait.eq(Mux(self.early, self.early_period, self.period) - 2)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        m.d.sync += self.ready.eq((wait == 0) & ~self.start & ~self.take)

        # When to load the next: where it is early, the array still has to swap.
        taken = [Cat(self.take, self.again)]
        for n in range(self._early_delay):
            taken.append(Signal(2, name=f"taken_{n}"))
            with m.If(self.start):
                m.d.sync += taken[-1].eq(0)
            with m.Else():
                m.d.sync += taken[-1].eq(taken[-2])
        load, again = Signal(), Signal()
        m.d.comb += Cat(load, again).eq(
            Mux(self.early, taken[self._early_delay], taken[self._delay])
        )

        # Which word is read: down from the last row, then up to the last row of the next tile.
        reading = Signal()
        row = register("row", range(size))
        addr = register("addr", words.r_addr.shape())
        step = register("step", words.r_addr.shape())
        m.d.sync += step.eq(self.layer.rows + (size - 1))
        with m.If(self.start | load):
            m.d.sync += [reading.eq(1), row.eq(size - 1)]
        with m.Elif(reading):
            m.d.sync += [reading.eq(row != 0), row.eq(row - 1)]
        with m.If(self.start | (load & again)):
            m.d.sync += addr.eq(self.layer.weight_base + (size - 1))
        with m.Elif(reading):
            with m.If(row == 0):
                m.d.sync += addr.eq(addr + step)
            with m.Else():
                m.d.sync += addr.eq(addr - 1)
        m.d.comb += [words.r_addr.eq(addr), words.r_en.eq(reading)]

        # The word that was read, without what is not stored.
        read, found, valid = Signal(), Signal(), Signal()
        is_empty, empty = register("is_empty", 1), register("empty", 1)
        shown = register("shown", self.w_data.shape())
        m.d.sync += [
            read.eq(reading & ~self.start),
            found.eq(read & ~self.start),
            valid.eq(found & ~self.start),
            is_empty.eq(row >= self.layer.rows),
            empty.eq(is_empty),
        ]
        word = data.View(self.w_data.shape(), words.r_data)
        for n in range(outputs):
            with m.If(empty | self.single if n >= config.columns else empty):
                m.d.sync += shown[n].eq(0)
            with m.Else():
                m.d.sync += shown[n].eq(word[n])
        m.d.comb += [self.w_valid.eq(valid), self.w_data.eq(shown)]
        return m
