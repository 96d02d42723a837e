"""The input of a convolution."""

from amaranth import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, bits_for
from ..descriptor import descriptor_layout

__all__ = ["FEEDER_FIELDS", "Feeder", "vector_layout"]

FEEDER_FIELDS = (
    "in_base", "in_zero", "line_bytes", "in_height", "pad_x", "pad_y", "step_x", "step_y",
    "tap_x", "tap_y", "taps_x", "taps_y", "segments", "blocks", "tile", "out_width", "out_pixels",
)  # fmt: skip


def vector_layout() -> data.StructLayout:
    """What a vector is among those of its layer.

    ``swap``: the first with its weights. ``first``: its weights are the first of their block, sums
    begin anew. ``turn``: its weights are the layer's last. ``last``: with it a block's sums are
    complete for all pixels of a tile. ``final``: the last of the layer.
    """
    names = ("valid", "swap", "first", "turn", "last", "final")
    return data.StructLayout({name: unsigned(1) for name in names})


def choose(items, select):
    """``items[select]``, a balanced tree of multiplexers."""
    for bit in select:
        pairs = zip(items[::2], items[1::2], strict=True)
        items = [Mux(bit, odd, even) for even, odd in pairs]
    return items[0]


class Feeder(wiring.Component):
    """Feeds the systolic array with the windows of a ``CONV`` layer, a vector a cycle.

    For each tile of ``tile`` output pixels, each block of outputs, each tap and each segment (that
    is, for each tile of weights, in the order in which they are stored) it presents the vectors of
    all pixels of the tile, without a gap among them; nor in front of them, if by then the weights
    and, for the first of a block, a bank of accumulators can be taken.

    The first tile of weights can be taken :attr:`SETUP` cycles after ``start``, and another every
    :attr:`PERIOD` cycles at most; the vectors follow, the first of them with ``swap``,
    :attr:`AHEAD` cycles after ``take``.

    Bytes outside of the input are ``in_zero``. All addresses advance by additions; the three
    products that they need are computed bit by bit after ``start``.

    Members
    -------
    start : In(1)
        Begin a layer; only when everything has been presented.
    layer : In(descriptor_layout(FEEDER_FIELDS))
        Stable from ``start`` until ``final``. ``tile`` is at most ``Config.tile_pixels``.
    weights, bank : In(1)
        What ``take`` takes is there.
    take : Out(1)
        A tile of weights is taken.
    claim, again : Out(1)
        With it a bank of accumulators; it is the last before the layer's first.
    r_addr, r_next, r_offset, r_en, r_data
        Activation memory, the ``act_word`` bytes from byte ``r_offset`` of word ``r_addr`` on;
        ``r_next`` is the word behind it, and ``r_ahead`` says which bytes of a word are that one's.
        Byte i of them is byte ``(i + r_offset) % act_word`` of ``r_data``, which arrives two
        cycles after ``r_en``.
    a : Out(act_word int8)
        The vector.
    tag : Out(vector_layout)
        What it is.
    """

    AHEAD = 8
    SETUP = 14
    PERIOD = 5

    def __init__(self, config: Config):
        self.config = config
        word = config.act_word
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(FEEDER_FIELDS)),
            "weights": In(1),
            "bank": In(1),
            "take": Out(1),
            "claim": Out(1),
            "again": Out(1),
            "r_addr": Out(bits_for(config.act_depth - 1)),
            "r_next": Out(bits_for(config.act_depth - 1)),
            "r_offset": Out(bits_for(word - 1)),
            "r_ahead": Out(word),
            "r_en": Out(1),
            "r_data": In(8 * word),
            "a": Out(data.ArrayLayout(signed(8), word)),
            "tag": Out(vector_layout()),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        layer = self.layer
        word = config.act_word
        word_bits = (word - 1).bit_length()
        byte_bits = bits_for(config.act_depth - 1) + word_bits
        # A window may begin as far outside of the line as the memory is large.
        x_shape = signed(byte_bits + 2)
        y_shape = signed(min(16, byte_bits + 1) + 2)

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # Products with `line_bytes`: those with `step_y`, `tap_y` and `pad_y`.
        shifted = register("shifted", byte_bits)
        line_step, line_tap, line_pad = (
            register(name, byte_bits) for name in ("line_step", "line_tap", "line_pad")
        )
        for name, product in (("step_y", line_step), ("tap_y", line_tap), ("pad_y", line_pad)):
            factor = register(f"{name}_left", 8)
            with m.If(self.start):
                m.d.sync += [factor.eq(layer[name]), product.eq(0)]
            with m.Else():
                m.d.sync += factor.eq(factor >> 1)
                with m.If(factor[0]):
                    m.d.sync += product.eq(product + shifted)
        m.d.sync += shifted.eq(shifted << 1)
        setup = Signal(10)  # of the cycles after `start`, which one
        m.d.sync += setup.eq(Cat(self.start, setup))
        first_line = register("first_line", byte_bits)
        with m.If(self.start):
            m.d.sync += shifted.eq(layer.line_bytes)
        with m.If(setup[8]):
            m.d.sync += first_line.eq((layer.in_base << word_bits) - line_pad)

        # Weights. A window begins at byte `x` of the line that begins at byte `line` and is number
        # `y`; each is the sum of a pixel's share and that of a tile of weights. `next` is the tile
        # of weights to be taken next; it is found in the first cycles of the one before.
        walk = Signal(4)
        m.d.sync += walk.eq(Cat(self.take, walk[0] | setup[9], walk[1:]))
        weights_layout = data.StructLayout({
            "x": x_shape,
            "line": byte_bits,
            "y": y_shape,
            "first": 1,
            "last": 1,
            "turn": 1,
            "final": 1,
        })  # fmt: skip
        next_weights = register("next_weights", weights_layout)
        weights = register("weights", weights_layout)
        tap_begin = register("tap_begin", x_shape)  # `x` of the tap's first segment
        segments_left = register("segments_left", layer.segments.shape())  # less one
        columns_left = register("columns_left", layer.taps_x.shape())
        lines_left = register("lines_left", layer.taps_y.shape())
        blocks_left = register("blocks_left", layer.blocks.shape())
        last_segment, last_column, last_line, last_block = (
            register(name, 1) for name in ("last_segment", "last_column", "last_line", "last_block")
        )
        last_tap = Signal()
        m.d.comb += last_tap.eq(last_column & last_line)
        advanced = Signal(x_shape)
        m.d.comb += advanced.eq(
            Mux(last_segment, tap_begin, next_weights.x) + Mux(last_segment, layer.tap_x, word)
        )
        with m.If(walk[0]):
            m.d.sync += next_weights.x.eq(advanced)
            m.d.sync += segments_left.eq(segments_left - 1)
            m.d.sync += next_weights.first.eq(weights.last)
            with m.If(last_segment):
                m.d.sync += [tap_begin.eq(advanced), columns_left.eq(columns_left - 1)]
                with m.If(last_column):
                    m.d.sync += [
                        lines_left.eq(lines_left - 1),
                        next_weights.line.eq(next_weights.line + line_tap),
                        next_weights.y.eq(next_weights.y + layer.tap_y),
                    ]
            with m.If(weights.last):
                m.d.sync += blocks_left.eq(blocks_left - 1)
        with m.If(setup[9]):
            m.d.sync += next_weights.first.eq(1)
        with m.If(setup[9] | (walk[0] & last_segment)):
            m.d.sync += segments_left.eq(layer.segments - 1)
        with m.If(setup[9] | (walk[0] & last_segment & last_column)):
            m.d.sync += columns_left.eq(layer.taps_x - 1)
            m.d.sync += [x.eq(-layer.pad_x) for x in (next_weights.x, tap_begin)]
        with m.If(setup[9] | (walk[0] & weights.last)):
            m.d.sync += lines_left.eq(layer.taps_y - 1)
            m.d.sync += [next_weights.line.eq(first_line), next_weights.y.eq(-layer.pad_y)]
        with m.If(setup[9] | (walk[0] & weights.turn)):
            m.d.sync += blocks_left.eq(layer.blocks - 1)
        m.d.sync += [
            last_segment.eq(segments_left == 0),
            last_column.eq(columns_left == 0),
            last_line.eq(lines_left == 0),
            last_block.eq(blocks_left == 0),
        ]

        # Pixels of the tile to be run next.
        pixels_left = register("pixels_left", bits_for(config.act_depth))  # of the layer, less one
        pixels = register("pixels", bits_for(config.tile_pixels - 1))  # of the tile, less one
        last_tile = register("last_tile", 1)
        one_pixel = register("one_pixel", 1)
        with m.If(self.start):
            m.d.sync += pixels_left.eq(layer.out_pixels - 1)
        with m.Elif(walk[0] & weights.turn):
            m.d.sync += pixels_left.eq(pixels_left - layer.tile)
        m.d.sync += last_tile.eq(pixels_left < layer.tile)
        with m.If(walk[2]):
            last = last_segment & last_tap
            m.d.sync += [
                next_weights.last.eq(last),
                next_weights.turn.eq(last & last_block),
                next_weights.final.eq(last & last_block & last_tile),
                pixels.eq(Mux(last_tile, pixels_left, layer.tile - 1)),
            ]
        m.d.sync += one_pixel.eq(pixels == 0)

        # Take the next weights in the last cycle of those before, or when they are there.
        ready = Signal()
        running = Signal()
        left = register("left", pixels.shape())  # pixels to come behind the present one
        last_pixel = register("last_pixel", 1)
        finished = Signal()
        with m.If(self.start):
            m.d.sync += finished.eq(0)
        with m.Elif(self.take):
            m.d.sync += finished.eq(next_weights.final)
        with m.If(self.start | self.take):
            m.d.sync += ready.eq(0)
        with m.Elif(walk[3]):
            m.d.sync += ready.eq(~finished)
        m.d.comb += [
            self.take.eq(
                ready & self.weights & (self.bank | ~next_weights.first) & (last_pixel | ~running)
            ),
            self.claim.eq(self.take & next_weights.first),
            self.again.eq(next_weights.turn),
        ]
        with m.If(self.take):
            m.d.sync += [
                running.eq(1),
                left.eq(pixels),
                last_pixel.eq(one_pixel),
                weights.eq(next_weights),
            ]
        with m.Elif(running):
            m.d.sync += [
                running.eq(~last_pixel),
                left.eq(left - 1),
                last_pixel.eq(left == 1),
            ]

        # Stage 0: the pixel. Behind the last of a tile comes the first again, or the next tile.
        pixel_layout = data.StructLayout({
            "x": x_shape,
            "line": byte_bits,
            "y": y_shape,
            "left": layer.out_width.shape(),  # pixels of the line to come behind it
        })  # fmt: skip
        pixel = register("pixel", pixel_layout)
        first_pixel = register("first_pixel", pixel_layout)  # of the tile
        line_end = register("line_end", 1)
        first_line_end = register("first_line_end", 1)
        keep = Signal()  # the pixel is the first of a tile
        m.d.sync += keep.eq(self.start | (running & last_pixel & weights.turn))
        with m.If(keep):
            m.d.sync += [first_pixel.eq(pixel), first_line_end.eq(line_end)]
        with m.If(self.start):
            m.d.sync += [
                pixel.x.eq(0),
                pixel.line.eq(0),
                pixel.y.eq(0),
                pixel.left.eq(layer.out_width - 1),
                line_end.eq(layer.out_width == 1),
            ]
        with m.Elif(running & last_pixel & ~weights.turn):
            with m.If(~keep):
                m.d.sync += [pixel.eq(first_pixel), line_end.eq(first_line_end)]
        with m.Elif(running & line_end):
            m.d.sync += [
                pixel.x.eq(0),
                pixel.line.eq(pixel.line + line_step),
                pixel.y.eq(pixel.y + layer.step_y),
                pixel.left.eq(layer.out_width - 1),
                line_end.eq(layer.out_width == 1),
            ]
        with m.Elif(running):
            m.d.sync += [
                pixel.x.eq(pixel.x + layer.step_x),
                pixel.left.eq(pixel.left - 1),
                line_end.eq(pixel.left == 1),
            ]
        swap = Signal()
        m.d.sync += swap.eq(self.take)
        tag = Signal(vector_layout())
        m.d.comb += [
            tag.valid.eq(running),
            tag.swap.eq(swap),
            tag.first.eq(weights.first),
            tag.turn.eq(weights.turn),
            tag.last.eq(weights.last & last_pixel),
            tag.final.eq(weights.final & last_pixel),
        ]
        for stage in range(1, self.AHEAD):
            tag_before, tag = tag, Signal(vector_layout(), name=f"s{stage}_tag")
            m.d.sync += tag.eq(tag_before)
            if stage == 2:
                s2_valid = tag.valid
        m.d.comb += self.tag.eq(tag)

        # Stage 1: the window.
        s1_x = register("s1_x", x_shape)
        s1_line = register("s1_line", byte_bits)
        s1_y = register("s1_y", y_shape)
        m.d.sync += [
            s1_x.eq(pixel.x + weights.x),
            s1_line.eq(pixel.line + weights.line),
            s1_y.eq(pixel.y + weights.y),
        ]

        # Stage 2: where to read; how far from the window's begin to that of the line, and to its
        # end. Stage 3: which of those are inside of the window.
        s2_address = register("s2_address", byte_bits)
        s2_next = register("s2_next", byte_bits - word_bits)
        s2_ahead = register("s2_ahead", word)
        s1_offset = (s1_line + s1_x)[:word_bits]
        s2_begin = register("s2_begin", signed(byte_bits + 3))
        s2_end = register("s2_end", signed(byte_bits + 3))
        s2_inside = register("s2_inside", 1)
        s3_begin = register("s3_begin", word_bits + 1)
        s3_end = register("s3_end", word_bits + 1)
        m.d.sync += [
            s2_address.eq(s1_line + s1_x),
            s2_next.eq((s1_line + s1_x + word)[word_bits:]),
            s2_ahead.eq(Cat(s1_offset > n for n in range(word))),
            s2_begin.eq(-s1_x),
            s2_end.eq(layer.line_bytes[: byte_bits + 1] - s1_x),
            s2_inside.eq((s1_y >= 0) & (s1_y < layer.in_height)),
        ]

        def within(distance):
            high = distance[word_bits:-1].any()
            return Mux(distance[-1], 0, Mux(high, word, distance[:word_bits]))

        m.d.sync += [
            s3_begin.eq(within(s2_begin)),
            s3_end.eq(Mux(s2_inside, within(s2_end), 0)),
        ]
        m.d.comb += [
            self.r_addr.eq(s2_address[word_bits:]),
            self.r_next.eq(s2_next),
            self.r_ahead.eq(s2_ahead),
            self.r_offset.eq(s2_address[:word_bits]),
            self.r_en.eq(s2_valid),
        ]

        # Stage 4: which bytes are input. Stage 5: the word, straight behind the memory. Then it is
        # turned by the high and by the low bits of the offset.
        low_bits = word_bits // 2
        s3_offset, s4_offset, s5_offset = (register(f"s{n}_offset", word_bits) for n in (3, 4, 5))
        s6_offset = register("s6_offset", low_bits or 1)
        s4_input, s5_input, s6_input = (register(f"s{n}_input", word) for n in (4, 5, 6))
        s5_word, s6_word, s7_word = (register(f"s{n}_word", self.a.shape()) for n in (5, 6, 7))
        m.d.sync += [
            s3_offset.eq(self.r_offset),
            s4_offset.eq(s3_offset),
            s5_offset.eq(s4_offset),
            s6_offset.eq(s5_offset),
            s4_input.eq(Cat((s3_begin <= i) & (s3_end > i) for i in range(word))),
            s5_input.eq(s4_input),
            s6_input.eq(s5_input),
            s5_word.eq(self.r_data),
        ]
        for i in range(word):
            turned = [s5_word[(i + n) % word] for n in range(0, word, 1 << low_bits)]
            m.d.sync += s6_word[i].eq(choose(turned, s5_offset[low_bits:]))
            turned = [s6_word[(i + n) % word] for n in range(1 << low_bits)]
            byte = choose(turned, s6_offset[:low_bits])
            m.d.sync += s7_word[i].eq(Mux(s6_input[i], byte, layer.in_zero))
        m.d.comb += self.a.eq(s7_word)
        return m
