"""The lines of a depthwise convolution."""

from itertools import pairwise

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, bits_for
from ..descriptor import descriptor_layout
from .delay import DelayLine
from .tags import TAG_FIELDS, Tagger, place_layout, tag_layout

__all__ = ["LINE_FIELDS", "LineStream"]

LINE_FIELDS = (
    "in_base", "in_zero", "columns", "segments", "line_bytes", "in_height", "in_width",
    "pad_x", "pad_y", "tap_x", "blocks", *TAG_FIELDS,
)  # fmt: skip


class LineStream(wiring.Component):
    """Streams the input of a ``DEPTHWISE`` layer to the systolic array, one pixel a cycle.

    A block is ``columns`` lines of ``segments`` pixels of ``lanes`` channels, without a gap, and
    then at least ``line_taps`` pixels of padding. With x(t) the pixel presented at cycle t and P =
    ``segments``, the three lines are::

        lines[0](t) = x(t)
        lines[1](t) = x(t - P - line_taps)
        lines[2](t) = x(t - 2 * P - 2 * line_taps)

    and so row r of the array, which takes ``lines[r // line_taps]`` r cycles later, sees the three
    lines of one window: its newest begins at x(t), those above it P and 2P pixels before. The tag
    says at cycle t whether a window begins there.

    The first pixel is presented :attr:`LATENCY` cycles after ``start`` if a tile is ready then. If
    the others are ready in time, a block follows another every ``columns * segments + line_taps``
    cycles, at least ``LATENCY``; ``done`` rises right after the last pixel of the last.

    Constraints on the layer, beyond those in :mod:`prunus.hw.isa`: ``segments + line_taps`` is 3 to
    ``line_depth``; ``line_bytes`` and ``tap_x`` are whole words; a line's windows begin inside of
    it. :mod:`prunus.hw.systolic_geometry` has the lengths that fulfil it.

    Members
    -------
    start : In(1)
        Begin a layer; only while ``done``.
    layer : In(descriptor_layout(LINE_FIELDS))
        Stable from ``start`` until the array has taken in the last window, ``3 * line_taps``
        cycles after ``done``.
    r_addr, r_en, r_data
        Activation memory: data arrives two cycles after ``r_en``.
    tile_ready : In(1)
        The weights of the next block wait in the array. Stays high until ``tile_take``, and is low
        in the cycle after it until it holds again.
    tile_take : Out(1)
        The first pixel of a block is presented: from this index on its weights count.
    lines : Out(three times ``lanes`` int8)
        What is presented in this cycle.
    tag : Out(tag_layout)
        The window that begins at this index.
    done : Out(1)
        Low from the cycle after ``start`` until the last tag has been presented.
    """

    LATENCY = 8

    def __init__(self, config: Config):
        if config.line_taps < 2:
            raise ValueError(f"act_word must be at least 8 with line_depth, not {config.act_word}")
        least = config.line_taps + 1
        if config.line_depth < least:
            raise ValueError(f"line_depth must be at least {least}, not {config.line_depth!r}")
        self.config = config
        self._pixel = data.ArrayLayout(signed(8), config.columns)
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(LINE_FIELDS)),
            "r_addr": Out(bits_for(config.act_depth - 1)),
            "r_en": Out(1),
            "r_data": In(8 * config.act_word),
            "tile_ready": In(1),
            "tile_take": Out(1),
            "lines": Out(data.ArrayLayout(self._pixel, 3)),
            "tag": Out(tag_layout(config)),
            "done": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        layer = self.layer
        taps = config.line_taps
        pixel_bits = bits_for(config.line_depth)
        word_shift = config.act_word.bit_length() - 1

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        pitch = Signal(pixel_bits)
        m.d.comb += pitch.eq(layer.segments)

        stages = [Signal(place_layout, name=f"s{n}") for n in range(7)]
        m.d.sync += [b.eq(a) for a, b in pairwise(stages)]
        s0, s1, *_, s4, _, s6 = stages

        # Stage 0: count the pixels of a block; wait for its tile in front of it.
        waiting, running = Signal(), Signal()
        taking = Signal()  # a tile was waited for, and is not taken yet
        gap = Signal(range(taps))  # pixels of padding that must still come behind a block
        blocks_left = register("blocks_left", layer.blocks.shape())  # less one
        lines_left = register("lines_left", layer.columns.shape())
        columns_left = register("columns_left", pixel_bits)
        x = register("x", signed(pixel_bits + 1))
        y = register("y", signed(17))
        begins = Signal()
        m.d.comb += [
            begins.eq(waiting & self.tile_ready & ~taking & (gap == 0)),
            s0.pixel.eq(running),
            s0.line_end.eq(running & (columns_left == 0)),
            s0.block_end.eq(s0.line_end & (lines_left == 0)),
        ]
        with m.If(self.start | s0.line_end):
            m.d.sync += [columns_left.eq(pitch - 1), x.eq(-layer.pad_x)]
        with m.Elif(running):
            m.d.sync += [columns_left.eq(columns_left - 1), x.eq(x + 1)]
        with m.If(self.start | s0.block_end):
            m.d.sync += [lines_left.eq(layer.columns - 1), y.eq(-layer.pad_y)]
        with m.Elif(s0.line_end):
            m.d.sync += [lines_left.eq(lines_left - 1), y.eq(y + 1)]
        with m.If(self.start):
            m.d.sync += [waiting.eq(1), blocks_left.eq(layer.blocks - 1)]
        with m.Elif(begins):
            m.d.sync += [waiting.eq(0), running.eq(1), taking.eq(1)]
        with m.Elif(s0.block_end):
            m.d.sync += running.eq(0)
        with m.Elif(s1.block_end):
            m.d.sync += [waiting.eq(blocks_left != 0), blocks_left.eq(blocks_left - 1)]
        with m.If(self.tile_take):
            m.d.sync += taking.eq(0)
        with m.If(s1.block_end):
            m.d.sync += gap.eq(taps - 2)
        with m.Elif(gap != 0):
            m.d.sync += gap.eq(gap - 1)

        # Stage 1: is it in the image, and where. Addresses advance with what is in the image
        # alone, and so need no product with the padding.
        x_in, y_in = Signal(), Signal()
        m.d.sync += [
            x_in.eq(running & (x >= 0) & (x < layer.in_width)),
            y_in.eq((y >= 0) & (y < layer.in_height)),
        ]
        word = self.r_addr.shape()
        address, line_address, block_address = (
            register(name, word) for name in ("address", "line_address", "block_address")
        )
        group, s2_group, s3_group, s4_group, s5_group = (
            register(name, self.tag.group.shape())
            for name in ("group", "s2_group", "s3_group", "s4_group", "s5_group")
        )
        line_words, next_line, next_block = Signal(word), Signal(word), Signal(word)
        last_group = Signal()
        m.d.comb += [
            line_words.eq(layer.line_bytes >> word_shift),
            next_line.eq(line_address + Mux(y_in, line_words, 0)),
            last_group.eq(group == config.groups - 1),
            next_block.eq(block_address + last_group),
        ]
        with m.If(self.start):
            m.d.sync += [s.eq(layer.in_base) for s in (address, line_address, block_address)]
            m.d.sync += group.eq(0)
        with m.Elif(s1.block_end):
            m.d.sync += [s.eq(next_block) for s in (address, line_address, block_address)]
            m.d.sync += group.eq(Mux(last_group, 0, group + 1))
        with m.Elif(s1.line_end):
            m.d.sync += [address.eq(next_line), line_address.eq(next_line)]
        with m.Elif(x_in):
            m.d.sync += address.eq(address + (layer.tap_x >> word_shift))

        # Stages 2 to 5: the word is asked for, comes, and waits in a register.
        reads, s3_in, s4_in, s5_in = Signal(), Signal(), Signal(), Signal()
        r_addr = register("r_addr", word)
        s5_word = register("s5_word", self.r_data.shape())
        m.d.comb += [self.r_addr.eq(r_addr), self.r_en.eq(reads)]
        m.d.sync += [
            reads.eq(x_in & y_in),
            r_addr.eq(address),
            s3_in.eq(reads),
            s4_in.eq(s3_in),
            s5_in.eq(s4_in),
            s5_word.eq(self.r_data),
            s2_group.eq(group),
            s3_group.eq(s2_group),
            s4_group.eq(s3_group),
            s5_group.eq(s4_group),
        ]

        # Stages 4 and 5: is it the beginning of a window, and whose.
        m.submodules.tagger = tagger = Tagger(config)
        m.d.comb += [tagger.start.eq(self.start), tagger.i.eq(s4)]
        m.d.comb += [tagger.layer[name].eq(layer[name]) for name in TAG_FIELDS]

        # Stage 6: present them.
        pixel = register("pixel", self._pixel)
        zero = Signal(self._pixel)
        m.d.comb += [zero[c].eq(layer.in_zero) for c in range(config.columns)]
        chosen = s5_word.word_select(s5_group, 8 * config.lanes)
        m.d.sync += pixel.eq(Mux(s5_in, chosen, zero))
        m.submodules.delay = delay = DelayLine(data.ArrayLayout(self._pixel, 2), config.line_depth)
        length = register("length", delay.length.shape())
        m.d.sync += [length.eq(layer.segments + taps), delay.set.eq(self.start)]
        m.d.comb += [
            delay.length.eq(length),
            delay.i[0].eq(pixel),
            delay.i[1].eq(delay.o[0]),
            self.lines[0].eq(pixel),
            self.lines[1].eq(delay.o[0]),
            self.lines[2].eq(delay.o[1]),
            self.tile_take.eq(tagger.take),
            self.tag.eq(tagger.tag),
        ]

        # The last pixel has been presented, and with it the last window.
        busy = Signal()
        m.d.comb += self.done.eq(~busy)
        with m.If(self.start):
            m.d.sync += busy.eq(1)
        with m.Elif(s6.block_end & ~waiting & ~running):
            m.d.sync += busy.eq(0)
        return m
