"""Random convolutions for the systolic engine: descriptors, memories, and what must come out."""

from dataclasses import dataclass

import numpy as np

from prunus.hw.bus import Target
from prunus.hw.config import Config
from prunus.hw.isa import Op
from prunus.sim.ops_conv import conv_2d, output_size


def small(**fields):
    """A configuration that simulates fast."""
    sizes = dict(
        pes=0, lanes=2, columns=2, act_word=4, act_depth=256, tile_depth=512, tile_pixels=16,
        channel_depth=32, record_depth=4, program_depth=2,
    )  # fmt: skip
    return Config(**sizes | fields)


def up(value, step):
    return -(-value // step) * step


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A convolution: sizes, (y, x) pairs, paddings at the top, left, bottom and right."""

    size: tuple = (5, 5)
    channels: int = 4
    outputs: int = 4
    kernel: tuple = (3, 3)
    stride: tuple = (1, 1)
    dilation: tuple = (1, 1)
    padding: tuple = (1, 1, 1, 1)
    packed: bool = False
    tile: int = 16


SHAPES = [
    Shape(),
    Shape(size=(1, 1), kernel=(1, 1), padding=(0, 0, 0, 0), channels=37, outputs=9),
    Shape(size=(6, 5), kernel=(3, 2), stride=(2, 3), padding=(0, 1, 2, 3), channels=6, outputs=5),
    Shape(size=(7, 6), kernel=(2, 3), dilation=(3, 2), padding=(2, 3, 1, 0), channels=3, tile=7),
    Shape(size=(5, 7), packed=True, channels=1, kernel=(4, 5), padding=(1, 2, 2, 3), outputs=9),
    Shape(size=(6, 5), packed=True, channels=3, stride=(2, 2), tile=5, padding=(0, 0, 1, 1)),
    Shape(size=(4, 4), packed=True, channels=5, dilation=(2, 1), padding=(2, 1, 2, 1), tile=1),
    Shape(size=(5, 4), packed=True, channels=3, dilation=(1, 2), padding=(4, 5, 1, 3), tile=3),
    Shape(size=(4, 1), kernel=(3, 1), padding=(1, 0, 1, 0), outputs=3, channels=9, tile=2),
]


class Convolution:
    """A layer of that shape with random contents.

    Attributes: ``layer`` (descriptor fields), ``memory`` (bytes of the activation memory),
    ``tiles`` (words of the weight memory, from ``weight_base`` on), ``vectors`` (what the array is
    to be fed with, in order), ``beats`` (what is to be drained, in order) and ``counts`` (pixels of
    each tile, blocks, tiles of weights of a block).
    """

    def __init__(self, config, shape, seed=0):
        rng = np.random.default_rng(seed)
        word = config.act_word
        (height, width), channels, outputs = shape.size, shape.channels, shape.outputs
        (kernel_y, kernel_x), stride, dilation = shape.kernel, shape.stride, shape.dilation
        top, left, bottom, right = shape.padding
        out_height = output_size(height, kernel_y, stride[0], dilation[0], top, bottom)
        out_width = output_size(width, kernel_x, stride[1], dilation[1], left, right)
        pixels = out_height * out_width
        pitch = channels if shape.packed else up(channels, word)
        # Neighbouring taps of a packed line are one piece.
        joined = shape.packed and dilation[1] == 1
        taps_x, span = (1, kernel_x * channels) if joined else (kernel_x, channels)
        segments = -(-span // word)
        rows = min(word, span)
        blocks = -(-outputs // config.tile_outputs)
        groups = config.groups
        out_words = -(-outputs // word) + int(rng.integers(0, 2))

        zero = int(rng.integers(-128, 128))
        x = rng.integers(-128, 128, (height, width, channels))
        w = rng.integers(-127, 128, (outputs, kernel_y, kernel_x, channels))
        line_bytes = width * pitch
        in_words = -(-height * line_bytes // word)
        in_base = int(rng.integers(0, config.act_depth - in_words + 1))
        self.memory = rng.integers(-128, 128, config.act_depth * word)
        stored = rng.integers(-128, 128, (height, width, pitch))
        stored[:, :, :channels] = x
        self.memory[in_base * word :][: stored.size] = stored.ravel()

        spread = np.zeros((blocks * config.tile_outputs, kernel_y, taps_x, segments * word), int)
        spread[:outputs, :, :, :span] = w.reshape(outputs, kernel_y, taps_x, span)
        spread = spread.reshape(blocks, -1, kernel_y, taps_x, segments, word)
        self.tiles = spread.transpose(0, 2, 3, 4, 5, 1)[..., :rows, :].reshape(
            -1, config.tile_outputs
        )

        channel_beats = -(-outputs // config.lanes)
        # Addresses wrap where so small a memory could not hold the outputs.
        out_base = int(rng.integers(0, max(1, config.act_depth - pixels * out_words)))
        self.layer = dict(
            op=Op.CONV, in_base=in_base, in_zero=zero, out_base=out_base, outputs=outputs,
            rows=rows, weight_base=int(rng.integers(0, config.tile_depth - len(self.tiles) + 1)),
            line_bytes=line_bytes, in_height=height, pad_x=left * pitch, pad_y=top,
            step_x=stride[1] * pitch, step_y=stride[0], tap_x=dilation[1] * pitch,
            tap_y=dilation[0], taps_x=taps_x, taps_y=kernel_y, segments=segments, blocks=blocks,
            tile=shape.tile, out_width=out_width, out_pixels=pixels, out_words=out_words,
        )  # fmt: skip

        # What the rows of the array see of a line, one tap after the other.
        reach = (left + width + right + dilation[1] * kernel_x) * pitch + segments * word
        lines = np.full((top + height + bottom, reach), zero)
        begin = left * pitch
        lines[top : top + height, begin : begin + line_bytes] = stored.reshape(height, -1)

        def vector(y, x, ky, kx, segment):
            line = lines[y * stride[0] + ky * dilation[0]]
            first = (x * stride[1] + kx * dilation[1]) * pitch + segment * word
            return line[first : first + word].tolist()

        places = [(y, x) for y in range(out_height) for x in range(out_width)]
        tiles = [places[i : i + shape.tile] for i in range(0, pixels, shape.tile)]
        self.vectors = [
            vector(y, x, ky, kx, segment)
            for tile in tiles
            for _ in range(blocks)
            for ky in range(kernel_y)
            for kx in range(taps_x)
            for segment in range(segments)
            for y, x in tile
        ]

        padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=zero)
        sums = np.zeros((pixels, channel_beats * config.lanes), int)
        sums[:, :outputs] = conv_2d(padded[None], w, 0, stride, (0, 0, 0, 0), dilation).reshape(
            pixels, outputs
        )
        self.beats = [
            (
                sums[p, c * config.lanes :][: config.lanes].tolist(),
                c,
                (out_base + p * out_words + c // groups) % config.act_depth,
                c % groups,
            )
            for first in range(0, pixels, shape.tile)
            for block in range(blocks)
            for p in range(first, min(first + shape.tile, pixels))
            for c in range(2 * block, min(2 * block + 2, channel_beats))
        ]
        self.counts = [len(tile) for tile in tiles], blocks, kernel_y * taps_x * segments
        self.channel_beats = channel_beats

    def writes(self):
        """What the loader puts on the write bus: (target, unit, address, data)."""
        for i, word in enumerate(self.tiles.tolist()):
            for output, weight in enumerate(word):
                yield Target.TILE, output, self.layer["weight_base"] + i, weight & 0xFF


def serve(memory, dut, word):
    """A testbench process that is the activation memory, banked by byte."""

    async def process(ctx):
        row = 0x5A
        async for _, reset, enable, address, offset in ctx.tick().sample(
            dut.r_en, dut.r_addr, dut.r_offset
        ):
            ctx.set(dut.r_data, row)
            if enable and not reset:
                raw = [
                    int(memory[((address + (bank < offset)) * word + bank) % len(memory)]) & 0xFF
                    for bank in range(word)
                ]
                row = int.from_bytes(bytes(raw), "little")

    return process
