"""The vector unit: accumulators of any engine to int8 activations in memory."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus import Target, WriteBus
from ..config import Config, bits_for
from ..descriptor import descriptor_layout
from ..lane_memory import LaneMemory
from .beat import beat_layout
from .requantize import Requantize, record_layout

__all__ = ["LAYER_FIELDS", "VectorUnit"]

LAYER_FIELDS = (
    "double_round",
    "per_channel",
    "out_zero",
    "clamp_min",
    "clamp_max",
    "channel_base",
    "record_base",
    "small",
)


class VectorUnit(wiring.Component):
    """Add the bias, requantize, write: a beat of ``lanes`` accumulators in every cycle.

    Word c of the channel memory, from ``channel_base`` on, has the biases of channels
    ``c * lanes ..``; their records are in word c, or all in word 0, of the record memory from
    ``record_base`` on. The activations of a beat are written one cycle after the :attr:`lookup` and
    the latency of :class:`.requantize.Requantize`.

    Members
    -------
    bus : In(WriteBus)
        Fills the channel and record memories.
    layer : In
        Holds still while the unit is not idle.
    sums : In
        ``valid``, and the beat ``p``; it cannot be stalled.
    idle : Out(1)
        Low while a beat is presented, and until the cycle in front of its write, which needs the
        layer no more.
    w_addr, w_group, w_en, w_data : Out
        Write port of the activation memory: word, lane group in it, ``lanes`` int8.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "bus": In(WriteBus(config)),
            "layer": In(descriptor_layout(LAYER_FIELDS)),
            "sums": In(wiring.Signature({"valid": Out(1), "p": Out(beat_layout(config))})),
            "idle": Out(1),
            "w_addr": Out(range(config.act_depth)),
            "w_group": Out(bits_for(config.groups - 1)),
            "w_en": Out(1),
            "w_data": Out(8 * config.lanes),
        })  # fmt: skip

    @property
    def lookup(self) -> int:
        """Cycles of the look-up: block RAM is slow to answer, and in a large part it is far."""
        return 3 if self.config.columns or self.config.lanes > 2 else 1

    @property
    def counts(self) -> bool:
        """Beats follow each other lane group by lane group, as long as the unit is not idle.

        So it is where there is nothing but the EIE array: then no registers carry their places.
        """
        return not (self.config.columns or self.config.window)

    def elaborate(self, platform):
        m = Module()
        config, lanes, layer = self.config, self.config.lanes, self.layer
        beat = self.sums.p

        # Look up.
        m.submodules.biases = biases = LaneMemory(
            config, Target.CHANNEL, low=0, width=32, depth=config.channel_depth
        )
        m.submodules.records = records = LaneMemory(
            config, Target.RECORD, low=0, width=record_layout().size, depth=config.record_depth
        )
        record = Signal(layer.record_base.shape())
        m.d.comb += record.eq(layer.record_base)
        with m.If(layer.per_channel):
            m.d.comb += record.eq(layer.record_base + beat.channel)
        around = self.lookup > 1  # registers in front of the memories and behind them
        for memory, address in ((biases, layer.channel_base + beat.channel), (records, record)):
            connect(m, flipped(self.bus), memory.bus)
            read = Signal(memory.r_addr.shape(), name=f"{memory.target.name.lower()}_addr")
            r_en = Signal(name=f"{memory.target.name.lower()}_en")
            m.d["sync" if around else "comb"] += [read.eq(address), r_en.eq(self.sums.valid)]
            m.d.comb += [memory.r_addr.eq(read), memory.r_en.eq(r_en)]
        looked_up = [beat.sums, biases.r_data, records.r_data]
        for level in range(self.lookup):
            for n, value in enumerate(looked_up):
                if n == 0 or level > around:
                    name = f"looked_up_{n}_{level}"
                    looked_up[n] = Signal(value.shape(), name=name, reset_less=True)
                    m.d.sync += looked_up[n].eq(value)
        accs, bias_word, record_word = looked_up

        # The layer holds still, but in a large part its bits have far to go.
        names = ("small", "double_round", "out_zero", "clamp_min", "clamp_max")
        near = {name: layer[name] for name in names}
        if around:
            for name in names:
                near[name] = Signal(layer[name].shape(), name=f"near_{name}", reset_less=True)
                m.d.sync += near[name].eq(layer[name])

        outputs = []
        for n in range(lanes):
            m.submodules[f"lane_{n}"] = lane = Requantize(config)
            m.d.comb += [
                lane.acc.eq(accs[n]),
                lane.bias.eq(bias_word[n]),
                lane.record.eq(record_word[n]),
                lane.small.eq(near["small"]),
                lane.double_round.eq(near["double_round"]),
                lane.zero.eq(near["out_zero"]),
                lane.low.eq(near["clamp_min"]),
                lane.high.eq(near["clamp_max"]),
            ]
            outputs.append(lane.o)

        # Beside the lanes travels where their activations go.
        latency = self.lookup + lane.latency + 1
        valid = Signal(latency)
        m.d.sync += valid.eq(Cat(self.sums.valid, valid))
        place = Cat(beat.group[: (config.groups - 1).bit_length()], beat.address)
        if self.counts:
            busy = Signal()
            m.d.sync += busy.eq(self.sums.valid | valid[:-1].any())
            first = place
            place = Signal(len(first), reset_less=True)
            with m.If(valid[-1]):
                m.d.sync += place.eq(place + 1)
            with m.If(~busy):
                m.d.sync += place.eq(first)
        else:
            for n in range(latency):
                place_q = Signal(len(place), name=f"place_{n}", reset_less=True)
                m.d.sync += place_q.eq(place)
                place = place_q
        w_data = Signal(len(self.w_data), reset_less=True)
        m.d.sync += w_data.eq(Cat(*outputs))
        uses_layer = Signal()
        # The last write is in place when the next layer reads, also where it is made a cycle later.
        earlier = 2 if config.columns else 3
        m.d.sync += uses_layer.eq(self.sums.valid | valid[:-earlier].any())
        m.d.comb += [
            Cat(self.w_group[: (config.groups - 1).bit_length()], self.w_addr).eq(place),
            self.w_data.eq(w_data),
            self.w_en.eq(valid[-1]),
            self.idle.eq(~(self.sums.valid | uses_layer)),
        ]
        return m
