"""The vector unit: accumulators of any engine to int8 activations in memory."""

from amaranth import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..bus import Target, WriteBus
from ..config import Config, bits_for
from ..descriptor import descriptor_layout
from ..location import location_layout
from .requantize import Requantize, record_layout

__all__ = ["LAYER_FIELDS", "VectorUnit"]

LAYER_FIELDS = (
    "double_round",
    "per_channel",
    "out_base",
    "outputs",
    "out_zero",
    "clamp_min",
    "clamp_max",
    "channel_base",
    "record_base",
)


class VectorUnit(wiring.Component):
    """Fetch ``outputs`` accumulators in natural order, ``lanes`` a cycle, and write activations.

    Word s of the channel memory names the places of channels ``s * lanes ..`` for the engine and
    holds their biases; the sums come back in the same order. Throughput is ``lanes`` outputs a
    cycle. ``done`` is low from the cycle after ``start`` until the last word has been written.

    Members
    -------
    bus : In(WriteBus)
        Fills the channel and record memories.
    start, layer, done
        Run one pass; ``layer`` holds still meanwhile.
    locate : Out(stream)
        Places of the next ``lanes`` accumulators.
    sums : In(stream)
        Their contents.
    w_addr, w_group, w_en, w_data : Out
        Write port of the activation memory: word, lane group in it, ``lanes`` int8.
    """

    def __init__(self, config: Config):
        self.config = config
        lanes = config.lanes
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "layer": In(descriptor_layout(LAYER_FIELDS)),
            "done": Out(1),
            "locate": Out(stream.Signature(location_layout(config))),
            "sums": In(stream.Signature(data.ArrayLayout(signed(32), lanes))),
            "w_addr": Out(range(config.act_depth)),
            "w_group": Out(bits_for(config.groups - 1)),
            "w_en": Out(1),
            "w_data": Out(8 * lanes),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, lanes = self.config, self.config.lanes
        layer = self.layer
        beat_shape = unsigned(len(layer.outputs))

        # The loader fills lane after lane; whole words are written, the last write being complete.
        place_bits = config.row_bits + config.pe_bits
        memories = {}
        for name, target, slices, width, depth in (
            ("place", Target.CHANNEL, slice(32, 32 + place_bits), place_bits, config.channel_depth),
            ("bias", Target.CHANNEL, slice(0, 32), 32, config.channel_depth),
            ("record", Target.RECORD, slice(0, 36), 36, config.record_depth),
        ):
            m.submodules[name] = memory = memories[name] = Bank(width=width * lanes, depth=depth)
            word = Signal(data.ArrayLayout(width, lanes), name=f"{name}_word", reset_less=True)
            with m.If(self.bus.valid & (self.bus.target == target)):
                m.d.sync += word[self.bus.unit[: bits_for(lanes - 1)]].eq(self.bus.data[slices])
            written = Signal(name=f"{name}_written")
            m.d.sync += written.eq(self.bus.valid & (self.bus.target == target))
            w_addr = Signal(memory.w_addr.shape(), name=f"{name}_w_addr", reset_less=True)
            m.d.sync += w_addr.eq(self.bus.address)
            m.d.comb += [memory.w_addr.eq(w_addr), memory.w_data.eq(word), memory.w_en.eq(written)]

        # Places: the memory is read a beat ahead of the stream.
        beats = Signal(beat_shape, reset_less=True)
        asked = Signal(beat_shape)
        asking = Signal()
        m.d.sync += beats.eq((layer.outputs + lanes - 1) >> (lanes - 1).bit_length())
        place = memories["place"]
        taken = self.locate.valid & self.locate.ready
        asked_next = Signal(beat_shape)
        m.d.comb += asked_next.eq(asked + taken)
        m.d.sync += asked.eq(asked_next)
        m.d.comb += [
            place.r_addr.eq(layer.channel_base + asked_next),
            place.r_en.eq(1),
            self.locate.payload.eq(place.r_data),
            self.locate.valid.eq(asking),
        ]
        with m.If(taken & (asked_next == beats)):
            m.d.sync += asking.eq(0)

        # Sums: bias and record of the next beat wait at the memories' outputs.
        summed = Signal(beat_shape)
        summed_next = Signal(beat_shape)
        m.d.comb += self.sums.ready.eq(1)
        m.d.comb += summed_next.eq(summed + self.sums.valid)
        m.d.sync += summed.eq(summed_next)
        record_offset = Signal(beat_shape)
        with m.If(layer.per_channel):
            m.d.comb += record_offset.eq(summed_next)
        for name, address in (
            ("bias", layer.channel_base + summed_next),
            ("record", layer.record_base + record_offset),
        ):
            m.d.comb += [memories[name].r_addr.eq(address), memories[name].r_en.eq(1)]
        biases = data.View(data.ArrayLayout(signed(32), lanes), memories["bias"].r_data)
        records = data.View(data.ArrayLayout(record_layout(), lanes), memories["record"].r_data)

        outputs = []
        for n in range(lanes):
            m.submodules[f"lane_{n}"] = lane = Requantize(config)
            m.d.comb += [
                lane.acc.eq(self.sums.p[n]),
                lane.bias.eq(biases[n]),
                lane.record.eq(records[n]),
                lane.double_round.eq(layer.double_round),
                lane.zero.eq(layer.out_zero),
                lane.low.eq(layer.clamp_min),
                lane.high.eq(layer.clamp_max),
            ]
            outputs.append(lane.o)

        # Valid bits travel beside the lanes; activations are written as they come out.
        under_way = Signal(lane.latency)
        m.d.sync += under_way.eq(Cat(self.sums.valid, under_way))
        left = Signal(beat_shape)
        group_bits = (config.groups - 1).bit_length()
        written = Signal(beat_shape)
        m.d.sync += self.w_en.eq(under_way[-1])
        with m.If(under_way[-1]):
            m.d.sync += [
                self.w_data.eq(Cat(*outputs)),
                self.w_addr.eq(layer.out_base + (written >> group_bits)),
                self.w_group.eq(written[:group_bits] if group_bits else 0),
                written.eq(written + 1),
                left.eq(left - 1),
            ]
        with m.If(self.w_en & (left == 0)):
            m.d.sync += self.done.eq(1)

        # One cycle after start the beat count is there.
        starting = Signal()
        m.d.sync += starting.eq(self.start)
        with m.If(self.start):
            m.d.sync += [asked.eq(0), summed.eq(0), written.eq(0), self.done.eq(0)]
        with m.If(starting):
            m.d.sync += [asking.eq(1), left.eq(beats)]
        return m
