"""From the sums of a word of channels to the beats of the vector unit."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..descriptor import descriptor_layout
from ..vector.beat import beat_layout

__all__ = ["Beats"]


class Beats(wiring.Component):
    """Presents the sums of each pixel ``lanes`` at a time, and counts where they go.

    Latency is 1 cycle. A pixel takes as many cycles as it has beats that hold a channel below
    ``outputs``; the next may not come earlier.

    Parameters
    ----------
    config : Config
    width : int
        Bits of a sum.

    Members
    -------
    start : In(1)
        Begin a layer.
    layer : In
        Stable from ``start`` until ``finished``.
    valid, totals, last_pixel, last_block : In
        The sums of a pixel, block after block; whether it is the last of a block, in the last.
    sums : Out(valid, p: beat_layout)
        A beat.
    finished : Out(1)
        This beat is the layer's last.
    """

    FIELDS = ("outputs", "out_base", "out_words")

    def __init__(self, config: Config, width: int):
        if not 8 <= width <= 32:
            raise ValueError(f"width must be 8 to 32, not {width!r}")
        self.config = config
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(self.FIELDS)),
            "valid": In(1),
            "totals": In(data.ArrayLayout(signed(width), config.act_word)),
            "last_pixel": In(1),
            "last_block": In(1),
            "sums": Out(wiring.Signature({"valid": Out(1), "p": Out(beat_layout(config))})),
            "finished": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        lanes, groups = config.lanes, config.groups
        beat_shape = beat_layout(config)

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # The pixel that leaves, and the beats of the others: fewer in the last block.
        leaving = register("leaving", self.totals.shape())
        presenting = Signal()
        beat = register("beat", range(groups))
        last_beat = register("last_beat", 1)
        last_total = register("last_total", 1)
        tail = register("tail", range(groups))  # beats of the last block, less one
        last_channel = Signal(16)
        final = Signal(range(groups))
        m.d.comb += [
            last_channel.eq(layer.outputs - 1),
            final.eq(Mux(self.last_block, tail, groups - 1)),
        ]
        m.d.sync += tail.eq(last_channel >> (lanes - 1).bit_length())
        left = register("left", range(groups))
        with m.If(self.valid):
            m.d.sync += [
                presenting.eq(1),
                leaving.eq(self.totals),
                beat.eq(0),
                left.eq(final),
                last_beat.eq(final == 0),
                last_total.eq(self.last_pixel & self.last_block),
            ]
        with m.Else():
            m.d.sync += [
                presenting.eq(presenting & ~last_beat),
                beat.eq(beat + 1),
                left.eq(left - 1),
                last_beat.eq(left == 1),
            ]
            for n in range(config.act_word - lanes):
                m.d.sync += leaving[n].eq(leaving[n + lanes])

        # Where it goes, and where the next one will.
        address = register("address", beat_shape["address"].shape)
        next_address = register("next_address", address.shape())
        next_base = register("next_base", address.shape())  # of the next block
        block = register("block", beat_shape["channel"].shape)
        next_block = register("next_block", block.shape())
        with m.If(self.start):
            m.d.sync += [
                next_address.eq(layer.out_base),
                next_base.eq(layer.out_base + 1),
                next_block.eq(0),
            ]
        with m.Elif(self.valid):
            m.d.sync += next_address.eq(next_address + layer.out_words)
            with m.If(self.last_pixel):
                m.d.sync += [
                    next_address.eq(next_base),
                    next_base.eq(next_base + 1),
                    next_block.eq(next_block + 1),
                ]
        with m.If(self.valid):
            m.d.sync += [address.eq(next_address), block.eq(next_block)]

        m.d.comb += [
            self.sums.valid.eq(presenting),
            self.sums.p.channel.eq(Cat(beat, block)),
            self.sums.p.address.eq(address),
            self.sums.p.group.eq(beat),
            self.finished.eq(presenting & last_beat & last_total),
        ]
        m.d.comb += [self.sums.p.sums[n].eq(leaving[n]) for n in range(lanes)]
        return m
