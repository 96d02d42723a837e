"""The inputs of a Winograd unit's tiles, transformed along one axis."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..config import Config
from ..descriptor import descriptor_layout
from .geometry import Geometry
from .products import input_layout
from .scheme import bits_of
from .transforms import choose, input_transform

__all__ = ["PATCH_FIELDS", "PatchMemory"]

PATCH_FIELDS = ("in_zero", "segments")


class PatchMemory(wiring.Component):
    """Two tiles of inputs: one is filled with what :class:`.reader.PatchReader` reads, the other is
    read, a channel's transformed inputs a cycle.

    A word holds ``act_word`` channels of one pixel, and the transform needs the pixels of one
    channel. So the words of some columns go into shift registers, the bytes of a channel come out
    of all, are transformed down the columns, and wait in a memory with a row for each channel and
    pass. Behind it they are transformed along the lines.

    Latency is :data:`LATENCY` cycles from ``r_en`` to ``v``.

    Members
    -------
    start : In(1)
        Begin a layer: forget all.
    layer : In(descriptor_layout(PATCH_FIELDS))
    word : In(8 * act_word)
    begin, inside : In(1)
        What the reader says of the word.
    filled : Out(1)
        A tile may be read, channel after channel: it is complete, or its last part is being
        written.
    r_half, r_pass, r_channel, r_en : In
        ``r_half`` is 0 for the first tile of a layer, then 1, 0, ...
    v : Out(input_layout)
    """

    LATENCY = 3

    def __init__(self, config: Config, geometry: Geometry):
        self.config = config
        self.geometry = geometry
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(PATCH_FIELDS)),
            "word": In(8 * config.act_word),
            "begin": In(1),
            "inside": In(1),
            "filled": Out(1),
            "r_half": In(1),
            "r_pass": In(range(max(2, geometry.passes))),
            "r_channel": In(range(geometry.channels)),
            "r_en": In(1),
            "v": Out(input_layout(geometry)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, geometry, scheme = self.config, self.geometry, self.geometry.scheme
        size, passes, rows, columns = (
            geometry.size, geometry.passes, geometry.rows, geometry.columns,
        )  # fmt: skip
        taken = columns * size

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # The words, one after the other into their shift registers; each gives a byte for `passes`
        # cycles. The first ones' bytes wait for the last one's, unless there is a cycle in which
        # all are out.
        waits = passes < taken
        s1_word, s1_inside = register("s1_word", len(self.word)), register("s1_inside", 1)
        if waits:
            m.d.sync += [s1_word.eq(self.word), s1_inside.eq(self.inside)]
        else:
            outside = self.layer.in_zero.replicate(config.act_word)
            m.d.sync += s1_word.eq(Mux(self.inside, self.word, outside))
        begins = Signal(taken + 2 + waits)  # of the columns, so many cycles ago
        with m.If(self.start):
            m.d.sync += begins.eq(0)
        with m.Else():
            m.d.sync += begins.eq(Cat(self.begin, begins))
        shift = Const(1)
        if passes > 1:
            turn = register("turn", range(passes))
            shifts = register("shifts", taken)
            m.d.sync += [
                turn.eq(Mux(begins[0] | (turn == passes - 1), 0, turn + 1)),
                shifts.eq(Cat((turn == passes - 2) & ~begins[0], shifts)),
            ]
        pixels = []
        for n in range(taken):
            channels = register(f"channels_{n}", len(self.word))
            inside = register(f"inside_{n}", 1)
            if passes > 1:
                shift = shifts[n]
            with m.If(begins[n]):
                m.d.sync += [channels.eq(s1_word), inside.eq(s1_inside)]
            with m.Elif(shift):
                m.d.sync += channels.eq(channels >> 8)
            byte = channels[:8].as_signed()
            if waits:
                byte = Mux(inside, byte, self.layer.in_zero)
                for delay in range(taken - n):
                    late = register(f"pixel_{n}_{delay}", signed(8))
                    m.d.sync += late.eq(byte)
                    byte = late
            pixels.append(byte)

        # Down the columns.
        half_bits = bits_of(scheme.half_range)
        halves = []
        for x in range(columns):
            half = register(f"half_{x}", data.ArrayLayout(signed(half_bits), size))
            column = input_transform(scheme, pixels[x * size : (x + 1) * size])
            taking = [half[a].eq(value) for a, value in enumerate(column)]
            if waits:
                m.d.sync += taking
            else:
                with m.If(turn == passes - 1):
                    m.d.sync += taking
            halves.append(half)

        # Write them: for each channel of the word, in each pass its rows.
        channel_bits = (geometry.channels - 1).bit_length()
        word_bits = (config.act_word - 1).bit_length()
        writing, half = Signal(), Signal()
        write_pass = Signal(range(max(2, passes)))
        write_channel = Signal(config.act_word.bit_length())
        part = Signal(size // columns, init=1)
        segment = Signal(max(1, channel_bits - word_bits))
        last_pass = write_pass == passes - 1
        end = last_pass & (write_channel == config.act_word - 1)
        last_segment = register("last_segment", 1)
        m.d.sync += last_segment.eq(segment == (self.layer.segments - 1)[: len(segment)])
        write = Signal()
        m.d.comb += write.eq(begins[-1] | writing)
        with m.If(self.start):
            m.d.sync += [
                writing.eq(0),
                write_pass.eq(0),
                write_channel.eq(0),
                part.eq(1),
                segment.eq(0),
                half.eq(0),
            ]
        with m.Elif(write):
            m.d.sync += [writing.eq(~end), write_pass.eq(write_pass + 1)]
            with m.If(last_pass):
                m.d.sync += [write_pass.eq(0), write_channel.eq(write_channel + 1)]
            with m.If(end):
                m.d.sync += [write_channel.eq(0), part.eq(part.rotate_left(1))]
                with m.If(part[-1]):
                    m.d.sync += segment.eq(segment + 1)
                    with m.If(last_segment):
                        m.d.sync += [segment.eq(0), half.eq(~half)]
        # With one pass, channels are read in the order in which they are written, and no faster.
        enough = write_channel == 0 if passes == 1 else end
        filled = Signal()
        m.d.sync += filled.eq(write & enough & part[-1] & last_segment & ~self.start)
        m.d.comb += self.filled.eq(filled)

        # The memory.
        point = data.ArrayLayout(signed(half_bits), rows)
        word = data.ArrayLayout(data.ArrayLayout(point, columns), size // columns)
        pass_bits = (passes - 1).bit_length()
        depth = 2 << (channel_bits + pass_bits)
        m.submodules.memory = memory = Bank(width=word.size, depth=depth, parts=size // columns)
        for x in range(columns):
            for a in range(rows):
                low = (x * rows + a) * half_bits
                value = Signal(signed(half_bits), name=f"write_{x}_{a}")
                choose(m, value, write_pass, [halves[x][n] for n in range(a, size, rows)])
                for n in range(size // columns):
                    begin = n * columns * point.size + low
                    m.d.comb += memory.w_data[begin : begin + half_bits].eq(value)

        def address(channel, pass_, which):
            return Cat(channel[:channel_bits], pass_[:pass_bits], which)

        m.d.comb += [
            memory.w_addr.eq(address(Cat(write_channel[:word_bits], segment), write_pass, half)),
            memory.w_en.eq(Mux(write, part, 0)),
            memory.r_addr.eq(address(self.r_channel, self.r_pass, self.r_half)),
            memory.r_en.eq(self.r_en),
        ]

        # Along the lines.
        s2_word = register("s2_word", word)
        s3_v = register("s3_v", input_layout(geometry))
        m.d.sync += s2_word.eq(memory.r_data)
        for a in range(rows):
            line = [s2_word[x // columns][x % columns][a] for x in range(size)]
            m.d.sync += [
                s3_v[f"at_{a}_{b}"].eq(value)
                for b, value in enumerate(input_transform(scheme, line))
            ]
        m.d.comb += self.v.eq(s3_v)
        return m
