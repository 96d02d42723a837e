"""Where a convolution of whole words reads: from window to window, from tap to tap."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import COMPACT_PIXELS, Config, bits_for
from .fetch import fields_layout

__all__ = ["COUNT_BITS", "Walker", "walk_widths"]

COUNT_BITS = 8  # of taps, segments, blocks, lines, and of places in a line, in words


def walk_widths(config: Config) -> dict[str, int]:
    """Bits of the fields that say where to read."""
    address = bits_for(config.act_depth - 1)
    counts = ("taps_x", "taps_y", "segments", "blocks", "out_width", "in_height", "step_y", "tap_y")
    return {
        **dict.fromkeys(counts, COUNT_BITS),
        "out_pixels": bits_for(COMPACT_PIXELS),
        "line_bytes": COUNT_BITS + 2,
        "step_x": COUNT_BITS + 2,
        "slot": COUNT_BITS,
        "codebook": COUNT_BITS,
        "in2_base": address,
        "pointer_base": address,
        "columns": address,
        "in_width": address,
        "group": 1,
        "early": 1,
        "same": 1,
    }


class Walker(wiring.Component):
    """Steps through the blocks, taps and segments of a layer, and through the pixels of each.

    Members
    -------
    layer : In
        Fields of :func:`walk_widths`.
    begin, step : In(1)
        To the first segment of the layer; to the next one. A cycle later all outputs are right.
    next_pixel : In(1)
        To the next pixel; behind the last comes the first.
    address, inside : Out
        The word where that segment of this pixel is, and whether it is in the image.
    last_pixel, last_segment, first, last, last_block : Out(1)
        The pixel is the last one; the segment is the last of its tap, the first, or the last, of
        its block, and it is in the last block.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "layer": In(fields_layout(walk_widths(config))),
            "begin": In(1),
            "step": In(1),
            "next_pixel": In(1),
            "address": Out(bits_for(config.act_depth - 1)),
            "inside": Out(1),
            "last_pixel": Out(1),
            "last_segment": Out(1),
            "first": Out(1),
            "last": Out(1),
            "last_block": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        layer = self.layer
        address_bits = len(self.address)

        def register(name, width):
            return Signal(width, name=name, reset_less=True)

        # The segment: its place is the tap's, and the tap's is the block's.
        segments, columns, lines, blocks = (
            register(f"{name}_left", COUNT_BITS)
            for name in ("segments", "columns", "lines", "blocks")
        )
        tap = register("tap", address_bits)
        block = register("block", address_bits)
        x, y = register("x", COUNT_BITS), register("y", COUNT_BITS)
        last_column, last_line = columns == 1, lines == 1
        m.d.comb += [
            self.last_segment.eq(segments == 1),
            self.last.eq(self.last_segment & last_column & last_line),
            self.last_block.eq(blocks == 1),
        ]
        onward = Signal(address_bits)
        m.d.comb += onward.eq(1)
        with m.If(self.last_segment):
            m.d.comb += onward.eq(Mux(last_column, layer.columns, layer.pointer_base))
        new_line, new_block = Signal(), Signal()
        moves = self.begin | self.step
        m.d.comb += [
            new_line.eq(self.begin | self.last_segment & last_column),
            new_block.eq(self.begin | self.last),
        ]
        with m.If(moves):
            m.d.sync += [
                self.first.eq(new_block),
                segments.eq(segments - 1),
                x.eq(x + onward),
                tap.eq(tap + onward),
            ]
            with m.If(self.begin | self.last_segment):
                m.d.sync += [segments.eq(layer.segments), columns.eq(columns - 1)]
            with m.If(new_line):
                m.d.sync += [columns.eq(layer.taps_x), lines.eq(lines - 1)]
                m.d.sync += [x.eq(layer.slot), y.eq(y + layer.tap_y)]
            with m.If(new_block):
                m.d.sync += [lines.eq(layer.taps_y), y.eq(layer.codebook)]
                m.d.sync += [blocks.eq(blocks - 1), tap.eq(block + layer.group)]
                m.d.sync += block.eq(block + layer.group)
            with m.If(self.begin):
                m.d.sync += blocks.eq(layer.blocks)
                m.d.sync += [tap.eq(layer.in2_base + layer.group)]
                m.d.sync += [block.eq(layer.in2_base + layer.group)]

        # The pixel.
        pixels = register("pixels_left", bits_for(COMPACT_PIXELS))
        left = register("left", COUNT_BITS)  # in its line
        pixel = data.StructLayout({"address": address_bits, "x": COUNT_BITS, "y": COUNT_BITS})
        place = Signal(pixel)
        line_end = left == 1
        m.d.comb += self.last_pixel.eq(pixels == 1)
        with m.If(self.next_pixel):
            m.d.sync += [
                pixels.eq(pixels - 1),
                left.eq(left - 1),
                place.x.eq(place.x + layer.step_x[2:]),
                place.address.eq(place.address + Mux(line_end, layer.in_width, layer.step_x[2:])),
            ]
            with m.If(line_end):
                m.d.sync += [place.x.eq(0), place.y.eq(place.y + layer.step_y)]
        with m.If(self.begin | self.next_pixel & self.last_pixel):
            m.d.sync += [place.eq(0), pixels.eq(layer.out_pixels)]
        with m.If(self.begin | self.next_pixel & (line_end | self.last_pixel)):
            m.d.sync += left.eq(layer.out_width)

        at_x, at_y = Signal(COUNT_BITS), Signal(COUNT_BITS)
        m.d.comb += [
            at_x.eq(x + place.x),
            at_y.eq(y + place.y),
            self.address.eq(tap + place.address),
            self.inside.eq((at_x < layer.line_bytes[2:]) & (at_y < layer.in_height)),
        ]
        return m
