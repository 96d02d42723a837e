"""Images of hand-written descriptors for the dense engines."""

import numpy as np

from prunus.compiler import image as sections
from prunus.hw.config import Config
from prunus.hw.image import pack

SHAPES = {
    "lanes 8, word 16": dict(lanes=8, columns=8, act_word=16),
    "lanes 4, word 16": dict(lanes=4, columns=4, act_word=16),
    "lanes 2, word 8": dict(lanes=2, columns=2, act_word=8),
}


def dense_config(**changes) -> Config:
    fields = dict(
        pes=0, window=True, adder=True, tables=2, act_depth=2048, channel_depth=64, record_depth=64,
        tile_depth=4096, line_depth=128, program_depth=16, left_shift_bits=4,
    )  # fmt: skip
    return Config(**(fields | SHAPES["lanes 8, word 16"] | changes))


class Image:
    """Collects descriptors and what they refer to, memories filled from the bottom up."""

    def __init__(self, config, input_bytes, input_base=0):
        self.config = config
        self.input = input_base, input_bytes
        self.parts, self.program = [], []
        self.channels = self.records = self.tiles = 0

    def layer(self, bias, multiplier, shift, *, small=False, **fields):
        """A descriptor with its biases and records; ``shift`` as ops.requantize has it."""
        lanes = self.config.lanes
        fields |= {"channel_base": self.channels, "record_base": self.records}
        fields |= {"per_channel": int(np.ndim(multiplier) > 0), "small": int(small)}
        if not fields["per_channel"]:
            multiplier, shift = np.full(lanes, multiplier), np.full(lanes, shift)
        self.parts.append(sections.channels(self.channels, bias, None, None, self.config))
        self.parts.append(
            sections.records(self.records, multiplier, -shift, self.config, small=small)
        )
        self.channels += -(-len(bias) // lanes)
        self.records += -(-len(multiplier) // lanes)
        self.program.append({"layer": len(self.program), **fields})

    def weights(self, values):
        """The base of words (words, outputs of a tile)."""
        base = self.tiles
        self.parts.append(sections.tiles(base, values, self.config)[0])
        self.tiles += len(values)
        return base

    def bytes(self, output_base=0, output_bytes=0):
        head = [
            sections.network(*self.input, output_base, output_bytes, self.config),
            sections.program(self.program, self.config),
        ]
        return pack(head + self.parts, self.config.hash)


def words_of(channels, config):
    return -(-channels // config.act_word)


def conv_fields(image, weight, geometry, *, pitch, width, folded):
    """Fields of CONV for weights (outputs, kh, kw, c) on lines of ``width`` pixels.

    ``folded``: the taps of a line are one run of bytes, which asks for pitch == c.
    """
    config = image.config
    rows = config.act_word
    outputs, kh, kw, c = weight.shape
    (sy, sx), (top, _, left, _), (dy, dx) = geometry
    if folded:
        assert dx == 1 and pitch == c
        taps, run = 1, kw * c
    else:
        taps, run = kw, c
    segments = -(-run // rows)
    used = rows if segments > 1 else run
    blocks = -(-outputs // config.tile_outputs)
    spread = np.zeros((blocks * config.tile_outputs, kh, taps, segments * used), np.int8)
    spread[:outputs, :, :, :run] = weight.reshape(outputs, kh, taps, run)
    stored = spread.reshape(blocks, config.tile_outputs, -1)
    stored = np.moveaxis(stored, 1, 2).reshape(-1, config.tile_outputs)
    return {
        "rows": used,
        "weight_base": image.weights(stored),
        "line_bytes": width * pitch,
        "pad_x": left * pitch,
        "pad_y": top,
        "step_x": sx * pitch,
        "step_y": sy,
        "tap_x": dx * pitch,
        "tap_y": dy,
        "taps_x": taps,
        "taps_y": kh,
        "segments": segments,
        "blocks": blocks,
        "outputs": outputs,
        "tile": 16,
    }


def depthwise_fields(image, weight, geometry, *, size, out):
    """Fields of DEPTHWISE for weights (kh, kw, c) on an image of ``size`` with ``out`` outputs."""
    config = image.config
    kh, kw, c = weight.shape
    (sy, sx), (top, _, left, _), _ = geometry
    pitch = (out[1] - 1) * sx + kw
    blocks = -(-c // config.lanes)
    rows = config.line_taps * (kh - 1) + kw
    stored = np.zeros((blocks, rows, config.tile_outputs), np.int8)
    for channel in range(c):
        block, lane = divmod(channel, config.lanes)
        for ky in range(kh):
            first = config.line_taps * (kh - 1 - ky)
            stored[block, first : first + kw, lane] = weight[ky, :, channel]
    pixel = words_of(c, config) * config.act_word
    return {
        "rows": rows,
        "weight_base": image.weights(stored.reshape(-1, config.tile_outputs)),
        "columns": (out[0] - 1) * sy + kh,
        "segments": pitch,
        "line_bytes": size[1] * pixel,
        "in_height": size[0],
        "in_width": size[1],
        "pad_x": left,
        "pad_y": top,
        "step_x": sx,
        "step_y": sy,
        "tap_x": pixel,
        "taps_x": kw,
        "taps_y": kh,
        "blocks": blocks,
        "outputs": c,
    }
