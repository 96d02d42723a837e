"""The systolic engine."""

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bus import WriteBus
from ..config import Config, bits_for
from ..descriptor import descriptor_layout
from ..isa import Op
from ..vector.beat import beat_layout
from .accumulators import SUM_FIELDS, Accumulators
from .array import SystolicArray, factor_layout, shared_layout
from .delay import DelayLine
from .feeder import FEEDER_FIELDS, Feeder
from .lines import LINE_FIELDS, LineStream
from .pe import Shared
from .tiles import TILE_FIELDS, TileStore

__all__ = ["ENGINE_FIELDS", "SystolicEngine"]

ENGINE_FIELDS = tuple(sorted({"op", *FEEDER_FIELDS, *SUM_FIELDS, *TILE_FIELDS, *LINE_FIELDS}))


class SystolicEngine(wiring.Component):
    """Convolutions on a systolic array of ``act_word`` rows and ``columns`` columns.

    ``CONV`` and, with ``line_depth``, ``DEPTHWISE`` layers as :mod:`prunus.hw.isa` defines them.

    The first vector of a ``CONV`` layer enters the array 21 cycles after ``start`` (more than 18
    rows: 3 more than there are rows). Then it takes ``max(T, act_word)`` cycles for each tile of T
    pixels, each block and each of the block's tiles of weights; it waits where the drain of the
    block before the last, of up to 2 T cycles, has not ended by then. ``done`` follows ``2 T +
    act_word + columns`` and about 12 cycles behind the last vector.

    Parameters
    ----------
    shared : Sequence[Shared]
        The array's: products that its multipliers make by turns.

    Members
    -------
    bus : In(WriteBus)
        Fills the weight memory while no layer runs; a write is in place 2 cycles later.
    start : In(1)
        Begin a layer; only while ``done``.
    layer : In(descriptor_layout(ENGINE_FIELDS))
        Stable from ``start`` until ``done``.
    r_addr, r_next, r_ahead, r_offset, r_en, r_data
        Activation memory, as :class:`.feeder.Feeder` has it.
    sums : Out
        ``valid``, and the accumulators ``p`` (beat_layout), without the bias; never stalled.
    done : Out(1)
        Low from the cycle after ``start`` until the last beat has been presented.
    computed : Out(1)
        A cycle for each ``start``: the last vector enters the array.
    turn, x, y, clear, added
        The array's, where it has some to share. ``turn`` must be low from ``start`` on.
    """

    def __init__(self, config: Config, *, shared: Sequence[Shared] = ()):
        if not config.columns:
            raise ValueError("columns must be positive for a systolic array, not 0")
        self.config = config
        self.shared = tuple(shared)
        by_turns = {
            "turn": In(1),
            "x": In(factor_layout(self.shared, 0)),
            "y": In(factor_layout(self.shared, 1)),
            "clear": In(len(self.shared)),
            "added": Out(shared_layout(self.shared)),
        }
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "layer": In(descriptor_layout(ENGINE_FIELDS)),
            "r_addr": Out(bits_for(config.act_depth - 1)),
            "r_next": Out(bits_for(config.act_depth - 1)),
            "r_ahead": Out(config.act_word),
            "r_offset": Out(bits_for(config.act_word - 1)),
            "r_en": Out(1),
            "r_data": In(8 * config.act_word),
            "sums": Out(wiring.Signature({"valid": Out(1), "p": Out(beat_layout(config))})),
            "done": Out(1, init=1),
            "computed": Out(1),
            **(by_turns if shared else {}),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lined = config.line_depth > 0
        m.submodules.array = array = SystolicArray(
            config.act_word,
            config.columns,
            depthwise=lined,
            taps=config.line_taps if lined else 0,
            shared=self.shared,
        )
        m.submodules.tiles = tiles = TileStore(
            config, reload=array.RELOAD, settle=array.SETTLE, ahead=Feeder.AHEAD
        )
        m.submodules.feeder = feeder = Feeder(config)
        m.submodules.accumulators = accumulators = Accumulators(
            config, latency=array.latency, sum_width=array.sum_width
        )
        start = Signal()  # of a convolution
        m.d.comb += [
            tiles.bus.valid.eq(self.bus.valid),
            tiles.bus.target.eq(self.bus.target),
            tiles.bus.unit.eq(self.bus.unit),
            tiles.bus.address.eq(self.bus.address),
            tiles.bus.data.eq(self.bus.data),
            tiles.start.eq(self.start),
            feeder.start.eq(start),
            accumulators.start.eq(start),
            array.w_valid.eq(tiles.w_valid),
            array.w_data.eq(tiles.w_data),
            feeder.r_data.eq(self.r_data),
            feeder.weights.eq(tiles.ready),
            feeder.bank.eq(accumulators.free),
            array.a.eq(feeder.a),
            accumulators.tag.eq(feeder.tag),
            accumulators.sums.eq(array.o),
            accumulators.claim.eq(feeder.claim),
        ]
        for part in (tiles, feeder, accumulators):
            m.d.comb += [
                part.layer[name].eq(self.layer[name]) for name in part.layer.shape().members
            ]

        if self.shared:
            m.d.comb += [
                array.turn.eq(self.turn),
                array.x.eq(self.x),
                array.y.eq(self.y),
                array.clear.eq(self.clear),
                self.added.eq(array.added),
            ]

        valid = Signal()
        beat = Signal(self.sums.p.shape(), reset_less=True)
        m.d.comb += [self.sums.valid.eq(valid), self.sums.p.eq(beat)]
        if lined:
            self._lines(m, array, tiles, feeder, accumulators, start, valid, beat)
        else:
            m.d.comb += [
                start.eq(self.start),
                tiles.early.eq(1),
                tiles.take.eq(feeder.take),
                tiles.again.eq(feeder.again),
                array.swap.eq(feeder.tag.swap),
                self.r_addr.eq(feeder.r_addr),
                self.r_next.eq(feeder.r_next),
                self.r_ahead.eq(feeder.r_ahead),
                self.r_offset.eq(feeder.r_offset),
                self.r_en.eq(feeder.r_en),
                self.computed.eq(feeder.tag.valid & feeder.tag.final),
            ]
            m.d.sync += [
                valid.eq(accumulators.valid),
                beat.eq(accumulators.beat),
                self.done.eq(accumulators.done & ~self.start),
            ]
        return m

    def _lines(self, m, array, tiles, feeder, accumulators, start, valid, beat):
        """Depthwise layers: sums are whole when they leave the array; their tags wait for them."""
        m.submodules.lines = lines = LineStream(self.config)
        depthwise = Signal()
        still = Signal()  # the same, from a register near the array
        running = Signal()
        left = Signal(range(array.latency + 2), reset_less=True)  # cycles until the last beat
        place = data.StructLayout({
            name: member.shape for name, member in lines.tag.shape() if name != "valid"
        })  # fmt: skip
        m.submodules.delay = delay = DelayLine(place, array.latency)
        tagged = Signal(array.latency)
        m.d.comb += [
            depthwise.eq(self.layer.op == Op.DEPTHWISE),
            start.eq(self.start & ~depthwise),
            lines.start.eq(self.start & depthwise),
            *(lines.layer[name].eq(self.layer[name]) for name in lines.layer.shape().members),
            lines.r_data.eq(self.r_data),
            lines.tile_ready.eq(tiles.ready),
            tiles.early.eq(~depthwise),
            tiles.single.eq(depthwise),
            tiles.take.eq(feeder.take | lines.tile_take),
            tiles.again.eq(feeder.take & feeder.again),
            array.depthwise.eq(still),
            array.swap.eq(feeder.tag.swap | lines.tile_take),
            array.lines.eq(lines.lines),
            delay.set.eq(self.start),
            delay.length.eq(array.latency),
            *(delay.i[name].eq(lines.tag[name]) for name in place.members),
            self.r_addr.eq(Mux(still, lines.r_addr, feeder.r_addr)),
            self.r_next.eq(feeder.r_next),
            self.r_ahead.eq(feeder.r_ahead & ~still.replicate(len(self.r_ahead))),
            self.r_offset.eq(Mux(still, 0, feeder.r_offset)),
            self.r_en.eq(feeder.r_en | lines.r_en),
            self.computed.eq((feeder.tag.valid & feeder.tag.final) | (running & lines.done)),
        ]
        m.d.sync += [
            still.eq(depthwise),
            running.eq(~lines.done),
            tagged.eq(Cat(lines.tag.valid, tagged)),
            valid.eq(accumulators.valid | tagged[-1]),
            beat.eq(accumulators.beat),
            self.done.eq(accumulators.done & lines.done & (left == 0) & ~self.start),
        ]
        with m.If(~lines.done):
            m.d.sync += left.eq(array.latency + 1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(still):
            m.d.sync += [beat.sums[n].eq(array.o[n]) for n in range(self.config.lanes)]
            m.d.sync += [beat[name].eq(delay.o[name]) for name in place.members]
