"""Where the windows of a depthwise convolution begin."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, bits_for
from ..descriptor import descriptor_layout
from ..vector.beat import beat_layout

__all__ = ["TAG_FIELDS", "Tagger", "place_layout", "tag_layout"]

TAG_FIELDS = ("taps_y", "step_x", "step_y", "out_base", "out_width", "out_pixels", "out_words")

place_layout = data.StructLayout({"pixel": 1, "line_end": 1, "block_end": 1})
"""What of a stream a cycle holds: a pixel, the last of a line, the last of a block."""


def tag_layout(config: Config) -> data.StructLayout:
    """Where the sums of a window go; the rest counts only while ``valid``."""
    beat = beat_layout(config)
    return data.StructLayout({
        "valid": unsigned(1),
        "channel": beat["channel"].shape,
        "address": beat["address"].shape,
        "group": beat["group"].shape,
    })  # fmt: skip


class Tagger(wiring.Component):
    """Finds, in a stream of blocks of lines of pixels, those where the newest line of a window
    begins, and where the window's sums go.

    A place goes in in every cycle, its tag comes out two cycles later.

    Members
    -------
    start : In(1)
        A layer begins; no place may be in the two stages.
    layer : In(descriptor_layout(TAG_FIELDS))
        Stable while there are places.
    i : In(place_layout)
    take : Out(1)
        The first pixel of a block.
    tag : Out(tag_layout)
    """

    LATENCY = 2

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(TAG_FIELDS)),
            "i": In(place_layout),
            "take": Out(1),
            "tag": Out(tag_layout(config)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        layer = self.layer
        start = self.start
        pixel_bits = bits_for(config.line_depth)

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # Stage 0: where the strides let a window begin.
        line_skip = register("line_skip", layer.step_y.shape())  # lines without a window to come
        pixel_skip = register("pixel_skip", pixel_bits)
        s1 = Signal(place_layout)
        s1_stride = Signal()
        m.d.sync += [
            s1.eq(self.i),
            s1_stride.eq(self.i.pixel & (line_skip == 0) & (pixel_skip == 0)),
        ]
        with m.If(start | self.i.line_end):
            m.d.sync += pixel_skip.eq(0)
        with m.Elif(self.i.pixel):
            m.d.sync += pixel_skip.eq(Mux(pixel_skip == 0, layer.step_x, pixel_skip) - 1)
        with m.If(start | self.i.block_end):
            m.d.sync += line_skip.eq(layer.taps_y - 1)
        with m.Elif(self.i.line_end):
            m.d.sync += line_skip.eq(Mux(line_skip == 0, layer.step_y, line_skip) - 1)

        # Stage 1: as many of them as there are outputs.
        width_left = register("width_left", pixel_bits)
        pixels_left = register("pixels_left", bits_for(config.act_depth))
        first = Signal()  # the next pixel begins a block
        window = Signal()
        m.d.comb += window.eq(s1_stride & (width_left != 0) & (pixels_left != 0))
        with m.If(start | s1.line_end):
            m.d.sync += width_left.eq(layer.out_width)
        with m.Else():
            m.d.sync += width_left.eq(width_left - window)
        with m.If(start | s1.block_end):
            m.d.sync += [pixels_left.eq(layer.out_pixels), first.eq(1)]
        with m.Else():
            m.d.sync += [pixels_left.eq(pixels_left - window), first.eq(first & ~s1.pixel)]

        # Stage 2: present the tag, and count on behind it.
        s2_block_end = Signal()
        valid = Signal()
        tag = register("tag", tag_layout(config))
        block_address = register("block_address", tag.address.shape())  # of the first tag
        next_address = Signal(tag.address.shape())
        last_group = Signal()
        m.d.sync += [
            s2_block_end.eq(s1.block_end),
            valid.eq(window),
            self.take.eq(s1.pixel & first),
        ]
        m.d.comb += [
            self.tag.eq(tag),
            self.tag.valid.eq(valid),
            last_group.eq(tag.group == config.groups - 1),
            next_address.eq(block_address + last_group),
        ]
        with m.If(start):
            m.d.sync += [tag.channel.eq(0), tag.group.eq(0)]
            m.d.sync += [tag.address.eq(layer.out_base), block_address.eq(layer.out_base)]
        with m.Elif(s2_block_end):
            m.d.sync += [
                tag.channel.eq(tag.channel + 1),
                tag.group.eq(Mux(last_group, 0, tag.group + 1)),
                tag.address.eq(next_address),
                block_address.eq(next_address),
            ]
        with m.Elif(valid):
            m.d.sync += tag.address.eq(tag.address + layer.out_words)
        return m
