"""From the sums of a block to the activation memory."""

from typing import Any

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..bus import Target, WriteBus
from ..config import COMPACT_PIXELS, Config, bits_for
from ..vector.requantize import record_layout
from .fetch import fields_layout
from .mac import OUTPUTS
from .requantize import HalfRateRequantize

__all__ = ["Drain", "drain_widths"]

TURNS = 2 * OUTPUTS  # cycles of a pixel


def drain_widths(config: Config) -> dict[str, int]:
    """Bits of the fields that say what becomes of the sums."""
    return {
        "double_round": 1,
        "per_channel": 1,
        "small": 1,
        "outputs": 2,
        "out_zero": 8,
        "clamp_min": 8,
        "clamp_max": 8,
        "channel_base": bits_for(config.channel_depth - 1),
        "record_base": bits_for(config.record_depth - 1),
        "out_base": bits_for(config.act_depth - 1),
        "out_words": 8,
        "out_pixels": bits_for(COMPACT_PIXELS),
    }


class Drain(wiring.Component):
    """Adds the bias, requantizes and writes the sums of a block, :data:`TURNS` cycles a pixel.

    The sums are kept here while they wait. A word that is ready waits for a cycle in which the
    activation memory is not read, but no longer than until the next word is: then it is ``urgent``.

    Members
    -------
    bus : In
        Fills the biases and the records. A word of either has those of ``Config.lanes`` channels.
    layer : In
        Fields of :func:`drain_widths`; hold still while ``busy``.
    begin : In(1)
        A new layer.
    w_addr, w_en, w_data : In
        Sums of a pixel, numbered from ``out_pixels`` down.
    start, last_block : In
        They begin to come for the next block; it is the last one.
    busy : Out(1)
        From the cycle after ``start`` until everything is written.
    ready, urgent, grant, address, parts, word : Out, Out, In, Out, Out, Out
        A word for the activation memory, and which lane groups of it are written.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "bus": In(WriteBus(config)),
            "layer": In(fields_layout(drain_widths(config))),
            "begin": In(1),
            "w_addr": In(range(COMPACT_PIXELS)),
            "w_en": In(1),
            "w_data": In(OUTPUTS * config.acc_width),
            "start": In(1),
            "last_block": In(1),
            "busy": Out(1),
            "ready": Out(1),
            "urgent": Out(1),
            "grant": In(1),
            "address": Out(bits_for(config.act_depth - 1)),
            "parts": Out(config.groups),
            "word": Out(8 * config.act_word),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        lane_bits = bits_for(config.lanes - 1)

        m.submodules.sums = sums = Bank(width=len(self.w_data), depth=COMPACT_PIXELS)
        memories = []
        kinds: tuple[tuple[Any, int, int], ...] = (
            (Target.CHANNEL, config.acc_width, config.channel_depth),
            (Target.RECORD, record_layout().size, config.record_depth),
        )
        for target, width, depth in kinds:
            bank = Bank(width=width, depth=depth * config.lanes)
            m.submodules[target.name.lower()] = bank
            m.d.comb += [
                bank.w_addr.eq(Cat(self.bus.unit[:lane_bits], self.bus.address)),
                bank.w_data.eq(self.bus.data),
                bank.w_en.eq(self.bus.valid & (self.bus.target == target)),
            ]
            memories.append(bank)
        biases, records = memories

        # Eight turns a pixel. In the last one its sums are read, and in odd ones a bias for the
        # turn behind it and a record for the one behind that.
        turn = Signal(range(TURNS))
        left = Signal(bits_for(COMPACT_PIXELS), reset_less=True)
        active = Signal()
        fetch, ends = Signal(), Signal()
        channel = Signal(range(config.channel_depth // 2 + 1), reset_less=True)
        record = Signal(range(config.record_depth // 2 + 1), reset_less=True)
        output = turn[1:]
        m.d.sync += turn.eq(turn + 1)
        m.d.comb += [
            fetch.eq(active & (turn == TURNS - 1) & (left != 0)),
            ends.eq(active & (turn == TURNS - 1) & (left == 0)),
            sums.w_addr.eq(self.w_addr),
            sums.w_data.eq(self.w_data),
            sums.w_en.eq(self.w_en),
            sums.r_addr.eq(left[: len(sums.r_addr)]),
            sums.r_en.eq(fetch),
            biases.r_addr.eq(Cat((output + 1)[: len(output)], channel)),
            biases.r_en.eq(turn[0]),
            records.r_addr.eq(Cat(output & layer.per_channel.replicate(len(output)), record)),
            records.r_en.eq(turn[0]),
        ]
        with m.If(fetch):
            m.d.sync += left.eq(left - 1)
        with m.If(ends):
            m.d.sync += [
                active.eq(0),
                channel.eq(channel + 1),
                record.eq(record + layer.per_channel),
            ]
        address = Signal.like(self.address, reset_less=True)
        block = Signal.like(self.address, reset_less=True)
        partial = Signal(reset_less=True)
        with m.If(self.begin):
            m.d.sync += [
                block.eq(layer.out_base),
                channel.eq(layer.channel_base[1:]),
                record.eq(layer.record_base[1:]),
            ]
        with m.If(self.start):
            m.d.sync += [
                active.eq(1),
                turn.eq(TURNS - 1),
                left.eq(layer.out_pixels),
                address.eq(block),
                block.eq(block + 1),
                partial.eq(self.last_block & (layer.outputs[0] ^ layer.outputs[1])),
            ]

        m.submodules.requantize = lane = HalfRateRequantize(config)
        whole = Signal(data.ArrayLayout(signed(config.acc_width), OUTPUTS))
        m.d.comb += [
            whole.eq(sums.r_data),
            lane.acc.eq(whole[output]),
            lane.bias.eq(biases.r_data.as_signed()),
            lane.record.eq(records.r_data),
            lane.low_half.eq(~turn[0]),
            lane.small.eq(layer.small),
            lane.double_round.eq(layer.double_round),
            lane.zero.eq(layer.out_zero),
            lane.low.eq(layer.clamp_min),
            lane.high.eq(layer.clamp_max),
        ]
        valid = Signal(lane.LATENCY)
        m.d.sync += valid.eq(Cat(active & ~turn[0] & ~ends, valid))
        bytes_before = Signal(8 * (OUTPUTS - 1), reset_less=True)
        complete = Signal()
        m.d.comb += complete.eq(valid[-1] & (turn == TURNS - 1))
        with m.If(valid[-1]):
            m.d.sync += bytes_before.eq(Cat(bytes_before[8:], lane.o))
        waits = Signal()
        with m.If(self.grant):
            m.d.sync += [waits.eq(0), address.eq(address + layer.out_words)]
        with m.If(complete):
            m.d.sync += [waits.eq(1), self.word.eq(Cat(bytes_before, lane.o))]
        m.d.comb += [
            self.ready.eq(waits & turn.any()),  # never behind the urgent word before: see the trace
            self.urgent.eq(waits & (turn == TURNS - 1)),
            self.address.eq(address),
            self.parts.eq(Cat(1, ~partial)),
            self.busy.eq(active | valid.any() | waits),
        ]
        return m
