"""The Winograd engine."""

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus import WriteBus
from ..config import Config, bits_for
from ..descriptor import descriptor_layout
from ..systolic.array import factor_layout, shared_layout
from ..vector.beat import beat_layout
from .channel import OutputChannel
from .emitter import EMITTER_FIELDS, Emitter
from .filters import FilterStore
from .geometry import Geometry
from .patches import PATCH_FIELDS, PatchMemory
from .pool import ProductPool, shared_sizes
from .products import ProductArray
from .reader import READER_FIELDS, PatchReader
from .walker import WALKER_FIELDS, Walker

__all__ = ["WINOGRAD_FIELDS", "WinogradEngine"]

AGES = 6  # of what a channel is told: so long in advance it is known
WINOGRAD_FIELDS = tuple(sorted({*READER_FIELDS, *PATCH_FIELDS, *WALKER_FIELDS, *EMITTER_FIELDS}))


class WinogradEngine(wiring.Component):
    """3x3 convolutions of stride 1 with a quarter of the multiplications, or 4/9 of them.

    The output is cut into tiles of ``outputs ** 2`` pixels. A tile's inputs are read once, while
    the tile before is worked on. Then for each group of ``filters`` output channels, each pass and
    each input channel, in that order, there is a cycle of products. So a layer takes about
    ``tiles * groups * passes * channels`` cycles, unless it has so few channels that the results of
    a group, one every ``geometry.pace`` cycles, the inverse transform or the inputs of a tile take
    longer; ``Geometry.cycles`` says it exactly. Equal to
    :func:`prunus.sim.winograd.winograd_conv_2d`.

    Weights: a word for each input channel, for each group of filters.

    Parameters
    ----------
    shared : Sequence[tuple[int, int, int]]
        Products (filter, row, column) that a systolic array makes and sums up by turns, where the
        geometry ``shares``. Without any, the multipliers are inside.
    refilled : bool
        See :class:`.filters.FilterStore`.

    Members
    -------
    bus : In(WriteBus)
        Fills the weight memory; a write is in place 2 cycles later. Without ``refilled``, no layer
        may run.
    start : In(1)
        Begin a layer; only while ``done``.
    layer : In(descriptor_layout(WINOGRAD_FIELDS))
        Stable from ``start`` until ``done``. Fields that mean something else here: ``in_base`` is
        the word of the padding's corner (modulo the memory), ``line_bytes`` and ``tap_x`` the words
        from an input line, and from a pixel, to the next, ``segments`` the words of a pixel,
        ``rows`` the number of input channels, ``blocks`` that of groups of filters, ``columns``
        that of output lines, ``step_x`` the words from an output line to the next; ``pad_x`` is in
        pixels.
    room : In(1)
        A group of filters may begin: there is room for its beats.
    r_addr, r_en, r_data
        Activation memory: ``r_data`` arrives ``config.read_latency`` cycles after ``r_en``.
    sums : Out
        ``valid``, and the accumulators ``p`` (beat_layout), without the bias; never stalled.
    done : Out(1)
        Low from the cycle after ``start`` until the last beat has been presented.
    computed : Out(1)
        A cycle for each ``start``: all products are summed up.
    x, y, clear : Out; added : In
        The array's, where it makes some products.
    """

    def __init__(
        self,
        config: Config,
        geometry: Geometry,
        *,
        shared: Sequence[tuple[int, int, int]] = (),
        refilled: bool = False,
    ):
        geometry.check(config)
        if bool(shared) != geometry.shares:
            raise ValueError("shared must name products if, and only if, the geometry shares")
        self.config = config
        self.geometry = geometry
        self.shared = tuple(shared)
        self.refilled = refilled
        ports = {
            "bus": In(WriteBus(config)),
            "start": In(1),
            "layer": In(descriptor_layout(WINOGRAD_FIELDS)),
            "room": In(1, init=1),
            "r_addr": Out(bits_for(config.act_depth - 1)),
            "r_en": Out(1),
            "r_data": In(8 * config.act_word),
            "sums": Out(wiring.Signature({"valid": Out(1), "p": Out(beat_layout(config))})),
            "done": Out(1, init=1),
            "computed": Out(1),
        }
        if shared:
            sizes = shared_sizes(geometry, shared)
            ports |= {
                "x": Out(factor_layout(sizes, 0)),
                "y": Out(factor_layout(sizes, 1)),
                "clear": Out(len(shared)),
                "added": In(shared_layout(sizes)),
            }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config, geometry = self.config, self.geometry
        m.submodules.reader = reader = PatchReader(config, geometry)
        m.submodules.patches = patches = PatchMemory(config, geometry)
        m.submodules.filters = filters = FilterStore(
            config, geometry, first_unit=config.tile_outputs, refilled=self.refilled
        )
        m.submodules.walker = walker = Walker(geometry)
        m.submodules.emitter = emitter = Emitter(config, geometry)
        for part in (reader, patches, walker, emitter):
            m.d.comb += part.start.eq(self.start)
            m.d.comb += [
                part.layer[name].eq(self.layer[name]) for name in part.layer.shape().members
            ]

        # A half of the patch memory is claimed by the reader, filled, and walked.
        claimed = Signal(range(3))
        m.d.comb += [
            reader.free.eq(claimed != 2),
            filters.bus.valid.eq(self.bus.valid),
            filters.bus.target.eq(self.bus.target),
            filters.bus.unit.eq(self.bus.unit),
            filters.bus.address.eq(self.bus.address),
            filters.bus.data.eq(self.bus.data),
            self.r_addr.eq(reader.r_addr),
            self.r_en.eq(reader.r_en),
            patches.word.eq(self.r_data),
            patches.begin.eq(reader.begin),
            patches.inside.eq(reader.inside),
            walker.filled.eq(patches.filled),
            walker.room.eq(self.room),
        ]
        with m.If(self.start):
            m.d.sync += claimed.eq(0)
        with m.Else():
            m.d.sync += claimed.eq(claimed + reader.claim - walker.release)

        # Inputs come out of their memory sooner than kernels: they are asked for later.
        tags = [walker.tag]
        for n in range(1, filters.LATENCY + geometry.product_latency + 1):
            tags.append(Signal.like(walker.tag, name=f"s{n}_tag"))
            m.d.sync += tags[n].eq(tags[n - 1])
        later = tags[filters.LATENCY - patches.LATENCY]
        m.d.comb += [
            filters.r_addr.eq(walker.weight),
            filters.r_en.eq(walker.tag.valid),
            filters.pass_.eq(walker.tag.pass_),
            patches.r_half.eq(later.half),
            patches.r_pass.eq(later.pass_),
            patches.r_channel.eq(later.channel),
            patches.r_en.eq(later.valid),
        ]

        if self.shared:
            array = ProductPool(geometry, self.shared)
            m.d.comb += [self.x.eq(array.x), self.y.eq(array.y)]
        else:
            array = ProductArray(geometry)
        m.submodules.array = array
        m.d.comb += [array.v.eq(patches.v), array.u.eq(filters.u)]

        # What the channels are told. These signals go to many registers each, across the part: they
        # come from registers themselves, of which each channel has some of its own, made from tags
        # of different ages or upside down, as synthesis would make one of equal ones.
        def ends(tag):
            return tag.valid & tag.last

        def aged(value, age, name, inverted=False):
            value = ~value if inverted else value
            for n in range(age):
                later = Signal(Value.cast(value).shape(), name=f"{name}_{n}")
                m.d.sync += later.eq(value)
                value = later
            return ~value if inverted else value

        # The array's sums must not begin anew in another engine's layer.
        running = Signal()
        m.d.sync += running.eq(~emitter.done)
        begins = []
        for k in range(geometry.filters):
            elsewhere = {(a, b): n for n, (of, a, b) in enumerate(self.shared) if of == k}
            channel = OutputChannel(geometry, elsewhere)
            m.submodules[f"channel_{k}"] = channel
            for (a, b), n in elsewhere.items():
                copy = a * geometry.copies // geometry.rows
                m.d.comb += [
                    getattr(channel, f"at_{a}_{b}").eq(self.added[f"at_{n}"]),
                    self.clear[n].eq(channel.clear[copy]),
                ]
            for n in range(geometry.copies):
                number = k * geometry.copies + n
                age, inverted = number // 2 % AGES + 1, number % 2 == 1
                if geometry.serial:  # which counts what it takes, from reset on
                    age, inverted = number % AGES + 1, False
                before = tags[-1 - age]
                passes = Cat(before.pass_ == turn for turn in range(geometry.held))
                clear, take = ~before.valid | before.last, ends(before)
                if not geometry.serial:
                    take = Mux(take, passes, 0)
                if self.shared:
                    clear &= running
                m.d.comb += [
                    channel.clear[n].eq(aged(clear, age, f"clear_{k}_{n}", inverted)),
                    channel.take[n].eq(aged(take, age, f"take_{k}_{n}", inverted)),
                ]
            if geometry.serial:
                begins.append(channel.ahead)
            else:
                age = k % AGES + 1
                last_pass = tags[-age].pass_ == geometry.passes - 1
                begins.append(aged(ends(tags[-age]) & last_pass, age, f"begin_{k}"))
                m.d.comb += channel.begin.eq(begins[k])
            if channel.own:
                p = getattr(array, f"p_{k}") if self.shared else array.p[k]
                m.d.comb += channel.p.eq(p)
            m.d.comb += emitter.pixels[k].eq(channel.o)
        begin = begins[0]
        if not geometry.serial:
            waiting = Signal(geometry.inverse_latency - emitter.AHEAD)
            m.d.sync += waiting.eq(Cat(begin, waiting))
            with m.If(self.start):
                m.d.sync += waiting.eq(0)
            begin = waiting[-1]
        m.d.comb += [
            emitter.begin.eq(begin),
            self.computed.eq(emitter.final),
            self.sums.valid.eq(emitter.sums.valid),
            self.sums.p.eq(emitter.sums.p),
            self.done.eq(emitter.done),
        ]
        return m
