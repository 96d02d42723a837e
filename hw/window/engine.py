"""Pools, copies, functions that are tables, sums of tensors."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bus import WriteBus
from ..config import Config, bits_for
from ..descriptor import TABLE_FIELDS, descriptor_layout
from ..isa import Mode
from ..vector.beat import beat_layout
from .beats import Beats
from .tables import COMPUTED_BITS, Tables
from .taps import Taps

__all__ = ["WindowEngine"]

TAP_SUM_BITS = 24  # of 2**16 int8


class WindowEngine(wiring.Component):
    """Runs the ``WINDOW`` layers of :mod:`prunus.hw.isa`, and ``TABLE`` commands beside others.

    A tap is read a cycle: the sums of a pixel leave, ``lanes`` a cycle, while the next pixel's
    taps are read. A layer takes ``blocks * out_pixels * max(taps, beats)`` cycles, the beats of
    the last pixel, and :meth:`overhead`, from ``start`` until ``done`` is high again. A pixel has
    ``Config.groups`` beats, in the last block as many as there are channels for.

    Equal to: the largest (MAX) and the sum (SUM) of :func:`prunus.sim.ops_conv.windows`, the sum
    inside :func:`prunus.sim.ops_join.add` (ADD), an entry of a table (LUT).

    Parameters
    ----------
    config : Config
        Without tables, neither ADD nor LUT runs and ``TABLE`` does nothing; ADD needs the adder.

    Members
    -------
    bus : In(WriteBus)
        Fills the slots of the tables.
    start : In(1)
        Begin a ``WINDOW`` layer; only while ``done``. It waits by itself until tables that it
        needs are filled.
    table_start, table_layer : In
        Begin a ``TABLE`` command, whose fields are sampled in that cycle; only while not
        ``table_busy``, and not while a layer looks up that half.
    layer : In
        Stable from ``start`` until ``done``. ``blocks`` words hold ``outputs`` channels; a window
        has at most 2**16 taps.
    r_addr, r_en, r_data
        Activation memory: data arrives ``config.read_latency`` cycles after ``r_en`` and stays
        until the next does.
    sums : Out(valid, p: beat_layout)
        The sums; never stalled.
    done : Out(1)
        Low from the cycle after ``start`` until the last sums have been presented.
    computed : Out(1)
        A pulse for each layer: its last sums are complete.
    table_busy : Out(1)
        High from the cycle after ``table_start`` until the tables are filled.
    """

    FIELDS = (*Taps.FIELDS, *Beats.FIELDS, "half", "in_zero")

    def __init__(self, config: Config):
        if not config.window:
            raise ValueError("window must be True in config, not False")
        self.config = config
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "table_start": In(1),
            "table_layer": In(descriptor_layout(TABLE_FIELDS)),
            "layer": In(descriptor_layout(self.FIELDS)),
            "r_addr": Out(bits_for(config.act_depth - 1)),
            "r_en": Out(1),
            "r_data": In(8 * config.act_word),
            "sums": Out(wiring.Signature({"valid": Out(1), "p": Out(beat_layout(config))})),
            "done": Out(1, init=1),
            "computed": Out(1),
            "table_busy": Out(1),
        })  # fmt: skip

    def overhead(self, mode: Mode) -> int:
        """Cycles of a layer, ``start`` to ``done``, but for its taps and the last pixel's beats."""
        looked_up = Tables.LATENCY * (mode in (Mode.ADD, Mode.LUT))
        return Taps.LATENCY + 4 + self.config.read_latency + looked_up

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        word = config.act_word
        look_up = layer.mode[1]  # ADD, LUT
        with_tables = bool(config.adder or config.tables)

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # Read.
        m.submodules.taps = taps = Taps(config)
        m.d.comb += [
            taps.start.eq(self.start),
            taps.hold.eq(look_up & self.table_busy),
            self.r_addr.eq(taps.o.address),
            self.r_en.eq(taps.valid & taps.o.inside),
        ]
        for name in Taps.FIELDS:
            m.d.comb += taps.layer[name].eq(layer[name])

        # What follows a tap on its way: whether there is one, and its place.
        place_layout = data.StructLayout(
            {"valid": 1, "source": 1, "first": 1, "last": 1, "last_pixel": 1, "last_block": 1}
        )

        def follow(before, name):
            place = Signal(place_layout, name=name)
            m.d.sync += place.eq(before)
            return place

        place = Signal(place_layout)
        m.d.comb += place.valid.eq(taps.valid)
        for name in ("source", "first", "last", "last_pixel", "last_block"):
            m.d.comb += place[name].eq(taps.o[name])
        inside = taps.o.inside
        for n in range(self.config.read_latency):
            inside_before, inside = inside, register(f"r{n}_inside", 1)
            m.d.sync += inside.eq(inside_before)
            place = follow(place, f"r{n}_place")
        s2_inside = register("s2_inside", 1)

        # The memory's word, and behind it the zero point where there is none.
        s2_word = register("s2_word", data.ArrayLayout(signed(8), word))
        s3_word = register("s3_word", data.ArrayLayout(signed(8), word))
        m.d.sync += [
            s2_inside.eq(inside),
            s2_word.eq(self.r_data),
        ]
        for n in range(word):
            m.d.sync += s3_word[n].eq(Mux(s2_inside, s2_word[n], layer.in_zero))
        s2_place = follow(place, "s2_place")
        place = follow(s2_place, "s3_place")

        # Look up; what is not looked up goes past the tables.
        if with_tables:
            m.submodules.tables = tables = Tables(config)
            wiring.connect(m, wiring.flipped(self.bus), tables.bus)
            m.d.comb += [
                tables.start.eq(self.table_start),
                self.table_busy.eq(tables.busy),
                tables.x.eq(s3_word),
                tables.layer.eq(self.table_layer),
            ]
            half = register("half", 1)  # goes to all memories: chosen a cycle ahead
            m.d.sync += half.eq(s2_place.source if config.adder else 0)
            with m.If(layer.mode == Mode.LUT):
                m.d.sync += half.eq(layer.half)
            m.d.comb += tables.select.eq(half)
            value = register("s4_value", data.ArrayLayout(signed(tables.width), word))
            for n in range(word):
                m.d.sync += value[n].eq(Mux(look_up, tables.o[n], s3_word[n]))
            late = follow(follow(place, "s4_place"), "s5_place")
            merged = Signal(place_layout)
            m.d.comb += merged.eq(Mux(look_up, late, place))
            place = follow(merged, "v_place")
        else:
            value = register("s4_value", data.ArrayLayout(signed(8), word))
            m.d.sync += value.eq(s3_word)
            place = follow(place, "v_place")

        # Accumulate. A byte that is not the largest does not get in.
        total_bits = max(TAP_SUM_BITS, COMPUTED_BITS + 1) if config.adder else TAP_SUM_BITS
        largest = Signal()
        m.d.sync += largest.eq(layer.mode == Mode.MAX)
        totals = register("totals", data.ArrayLayout(signed(total_bits), word))
        for n in range(word):
            larger = value[n][:8].as_signed() > totals[n][:8].as_signed()
            with m.If(place.valid & (place.first | ~largest | larger)):
                m.d.sync += totals[n].eq(Mux(place.first | largest, value[n], totals[n] + value[n]))
        complete = Signal()
        m.d.sync += complete.eq(place.valid & place.last)
        ended = follow(place, "ended_place")

        # Present, while the next pixel is being read.
        m.submodules.beats = beats = Beats(config, total_bits)
        for name in Beats.FIELDS:
            m.d.comb += beats.layer[name].eq(layer[name])
        m.d.comb += [
            beats.start.eq(self.start),
            beats.valid.eq(complete),
            beats.totals.eq(totals),
            beats.last_pixel.eq(ended.last_pixel),
            beats.last_block.eq(ended.last_block),
            self.sums.valid.eq(beats.sums.valid),
            self.sums.p.eq(beats.sums.p),
            self.computed.eq(complete & ended.last_pixel & ended.last_block),
        ]
        with m.If(self.start):
            m.d.sync += self.done.eq(0)
        with m.Elif(beats.finished):
            m.d.sync += self.done.eq(1)
        return m
