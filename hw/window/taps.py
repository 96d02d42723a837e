"""Where the taps of windows are."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, bits_for
from ..descriptor import descriptor_layout
from ..isa import Mode

__all__ = ["Taps", "tap_layout"]

FACTOR_BITS = 8  # of pad_y, step_y, tap_y


def tap_layout(config: Config) -> data.StructLayout:
    """A tap: its word, whether it is inside of the image, and its place in the order of taps."""
    return data.StructLayout({
        "address": bits_for(config.act_depth - 1),
        "inside": 1,
        "source": 1,  # ADD: 0 is of in_base, 1 of in2_base
        "first": 1,  # of a pixel
        "last": 1,
        "last_pixel": 1,  # of a block
        "last_block": 1,
    })  # fmt: skip


class Taps(wiring.Component):
    """Names the taps of a ``WINDOW`` layer, one a cycle: for each block, pixel, line, tap, source.

    Latency is :data:`LATENCY` = 12 cycles from ``start`` to the first tap, most of which is spent
    on multiplying strides by the length of a line. The taps follow without gaps, but for pixels
    with fewer taps than beats of sums: such a pixel takes as many cycles as it has beats.

    A tap may lie outside of the image by three times the size of the activation memory.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Begin a layer; only after the last tap of the one before.
    layer : In
        Stable from ``start`` until the last tap.
    hold : In(1)
        Do not begin yet.
    valid, o : Out
        A tap.
    """

    LATENCY = FACTOR_BITS + 4
    FIELDS = (
        "in_base", "outputs", "line_bytes", "in_height", "in2_base", "pad_x", "pad_y", "step_x",
        "step_y", "tap_x", "tap_y", "taps_x", "taps_y", "blocks", "out_width", "out_pixels",
        "mode",
    )  # fmt: skip

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(self.FIELDS)),
            "hold": In(1),
            "valid": Out(1),
            "o": Out(tap_layout(config)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        address_bits = bits_for(config.act_depth - 1)
        place_bits = max(bits_for(config.act_depth), FACTOR_BITS) + 2

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # Lines times words, modulo the memory's size: eight cycles of shifting and adding.
        step_line = register("step_line", address_bits)
        tap_line = register("tap_line", address_bits)
        origin = register("origin", address_bits)  # the first line, from in_base
        multiple = register("multiple", address_bits)
        bit = Signal(range(FACTOR_BITS))
        load = Signal()
        running = Signal()
        go = Signal()
        end = Signal()
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [step_line.eq(0), tap_line.eq(0), origin.eq(0), bit.eq(0)]
                m.d.sync += multiple.eq(layer.line_bytes)
                with m.If(self.start):
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.d.sync += [multiple.eq(multiple << 1), bit.eq(bit + 1)]
                with m.If(layer.step_y.bit_select(bit, 1)):
                    m.d.sync += step_line.eq(step_line + multiple)
                with m.If(layer.tap_y.bit_select(bit, 1)):
                    m.d.sync += tap_line.eq(tap_line + multiple)
                with m.If(layer.pad_y.bit_select(bit, 1)):
                    m.d.sync += origin.eq(origin - multiple)
                with m.If(bit == FACTOR_BITS - 1):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += load.eq(1)
                with m.If(~self.hold):
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += running.eq(1)
                with m.If(end):
                    m.next = "IDLE"

        def countdown(name, steps, step, restart=0):
            """High in the last of ``steps``; starts again behind that, or with ``restart``."""
            left = register(f"{name}_left", len(steps))
            last = register(f"{name}_last", 1)
            single = register(f"{name}_single", 1)
            m.d.sync += single.eq(steps == 1)
            with m.If(load | (step & (last | restart))):
                m.d.sync += [left.eq(steps), last.eq(single)]
            with m.Elif(step):
                m.d.sync += [left.eq(left - 1), last.eq(left == 2)]
            return last

        # The loops, from the innermost to the outermost.
        counts_shape = bits_for(config.act_depth)
        look_up = layer.mode[1]  # ADD, LUT: one place
        taps_x, taps_y = Signal(8), Signal(8)
        out_width, out_pixels, blocks = (
            Signal(counts_shape, name=name) for name in ("out_width", "out_pixels", "blocks")
        )
        m.d.comb += [
            taps_x.eq(Mux(look_up, 1, layer.taps_x)),
            taps_y.eq(Mux(look_up, 1, layer.taps_y)),
            out_width.eq(layer.out_width),
            out_pixels.eq(layer.out_pixels),
            blocks.eq(layer.blocks),
        ]
        source = Signal()
        next_tap, next_line, next_pixel, next_block = (
            Signal(name=name) for name in ("next_tap", "next_line", "next_pixel", "next_block")
        )
        if config.adder:
            adding = register("adding", 1)
            m.d.sync += adding.eq(layer.mode == Mode.ADD)
            m.d.comb += next_tap.eq(go & (~adding | source))
            with m.If(load | next_tap):
                m.d.sync += source.eq(0)
            with m.Elif(go):
                m.d.sync += source.eq(1)
            last_source = ~adding | source
        else:
            m.d.comb += next_tap.eq(go)
            last_source = 1
        last_x = countdown("x", taps_x, next_tap)
        m.d.comb += next_line.eq(next_tap & last_x)
        last_y = countdown("y", taps_y, next_line)
        m.d.comb += next_pixel.eq(next_line & last_y)
        last_pixel = countdown("pixel", out_pixels, next_pixel)
        last_in_line = countdown("in_line", out_width, next_pixel, last_pixel)
        m.d.comb += next_block.eq(next_pixel & last_pixel)
        last_block = countdown("block", blocks, next_block)
        m.d.comb += end.eq(next_block & last_block)

        # The last tap of a pixel waits until the beats of the one before are through.
        if config.groups > 1:
            lane_bits = (config.lanes - 1).bit_length()
            last_channel = Signal(16)
            tail = register("tail", range(config.groups))  # beats of the last block, less one
            beats_left = Signal(range(config.groups))
            m.d.comb += last_channel.eq(layer.outputs - 1)
            m.d.sync += tail.eq(last_channel >> lane_bits)
            with m.If(next_pixel):
                m.d.sync += beats_left.eq(Mux(last_block, tail, config.groups - 1))
            with m.Elif(beats_left != 0):
                m.d.sync += beats_left.eq(beats_left - 1)
            last_tap = last_source & last_x & last_y
            m.d.comb += go.eq(running & ~(last_tap & (beats_left != 0)))
        else:
            m.d.comb += go.eq(running)

        # Places. A negative one is too large for any image.
        x, pixel_x = register("x", place_bits), register("pixel_x", place_bits)
        y, pixel_y = register("y", place_bits), register("pixel_y", place_bits)
        line, pixel_line = (register(name, address_bits) for name in ("line", "pixel_line"))
        block = register("block", address_bits)
        first = register("first", 1)
        left_edge, top_edge = register("left_edge", place_bits), register("top_edge", place_bits)
        m.d.sync += [left_edge.eq(-layer.pad_x), top_edge.eq(-layer.pad_y)]
        m.d.sync += first.eq(Mux(load, 1, Mux(go, next_pixel, first)))
        with m.If(load):
            m.d.sync += block.eq(0)
        with m.Elif(next_block):
            m.d.sync += block.eq(block + 1)
        with m.If(load | next_block):
            for value, start in ((x, left_edge), (y, top_edge), (line, origin)):
                m.d.sync += value.eq(start)
            m.d.sync += [pixel_x.eq(left_edge), pixel_y.eq(top_edge), pixel_line.eq(origin)]
        with m.Elif(next_pixel & last_in_line):
            m.d.sync += [x.eq(left_edge), pixel_x.eq(left_edge)]
            for value, at, step in (
                (y, pixel_y, layer.step_y),
                (line, pixel_line, step_line),
            ):
                m.d.sync += [value.eq(at + step), at.eq(at + step)]
        with m.Elif(next_pixel):
            m.d.sync += [x.eq(pixel_x + layer.step_x), pixel_x.eq(pixel_x + layer.step_x)]
            m.d.sync += [y.eq(pixel_y), line.eq(pixel_line)]
        with m.Elif(next_line):
            m.d.sync += [x.eq(pixel_x), y.eq(y + layer.tap_y), line.eq(line + tap_line)]
        with m.Elif(next_tap):
            m.d.sync += x.eq(x + layer.tap_x)

        # Two stages: the word's address from its three parts, and whether it is inside.
        s1_valid, s2_valid = Signal(), Signal()
        s1 = Signal(tap_layout(config), reset_less=True)
        s2 = Signal(tap_layout(config), reset_less=True)
        s1_base = register("s1_base", address_bits)
        s1_below = register("s1_below", 1)
        m.d.sync += [
            s1_valid.eq(go),
            s1.address.eq(line + x),
            s1_base.eq(Mux(source, layer.in2_base, layer.in_base) + block),
            s1.inside.eq(x < layer.line_bytes[:place_bits]),
            s1_below.eq(y < layer.in_height[:place_bits]),
            s1.source.eq(source),
            s1.first.eq(first),
            s1.last.eq(last_source & last_x & last_y),
            s1.last_pixel.eq(last_pixel),
            s1.last_block.eq(last_block),
            s2_valid.eq(s1_valid),
            s2.eq(s1),
            s2.address.eq(s1.address + s1_base),
            s2.inside.eq(s1.inside & s1_below),
        ]
        m.d.comb += [self.valid.eq(s2_valid), self.o.eq(s2)]
        return m
