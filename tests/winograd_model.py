"""Layers for the Winograd engine, and what it must answer."""

from dataclasses import dataclass

import numpy as np

from prunus.hw.bus import Target
from prunus.hw.config import Config
from prunus.hw.winograd.geometry import Geometry
from prunus.sim.ops_conv import conv_2d


def small(**fields):
    """A configuration that simulates fast."""
    sizes = dict(
        pes=0, lanes=4, columns=4, act_word=8, act_depth=512, tile_depth=512, channel_depth=64,
        record_depth=4, program_depth=2,
    )  # fmt: skip
    return Config(**sizes | fields)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """``size`` is height and width, ``padding`` top, bottom, left, right."""

    size: tuple[int, int] = (6, 7)
    channels: int = 5
    outputs: int = 6
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    extreme: bool = False


class Layer:
    """A layer of that shape with random contents.

    Attributes: ``fields`` (of the descriptor), ``memory`` (bytes of the activation memory),
    ``words`` (of the weight memory, from ``weight_base`` on) and ``beats`` (what is to come, in any
    order): from (channel, address, group) to the sums of the lanes that count; ``cycles`` is how
    long it takes.
    """

    def __init__(self, config: Config, geometry: Geometry, shape: Shape, seed=0):
        rng = np.random.default_rng(seed)
        (height, width), channels, outputs = shape.size, shape.channels, shape.outputs
        top, bottom, left, right = shape.padding
        out_height, out_width = height + top + bottom - 2, width + left + right - 2
        segments = -(-channels // config.act_word)
        out_words = -(-outputs // config.act_word) + int(rng.integers(0, 2))
        groups = -(-outputs // geometry.filters)
        if shape.extreme:
            zero = int(rng.choice([-128, 127]))
            x = rng.choice([-128, 127], (height, width, channels))
            w = rng.choice([-128, 127], (outputs, 3, 3, channels))
            x[: height // 2] = -128
            w[: outputs // 2 + 1] = -128
        else:
            zero = int(rng.integers(-128, 128))
            x = rng.integers(-128, 128, (height, width, channels))
            w = rng.integers(-128, 128, (outputs, 3, 3, channels))
        in_words = height * width * segments
        in_base = int(rng.integers(0, config.act_depth - in_words + 1))
        self.memory = rng.integers(-128, 128, config.act_depth * config.act_word)
        stored = self.memory[in_base * config.act_word :][: in_words * config.act_word]
        stored.reshape(height, width, -1)[:, :, :channels] = x

        whole = np.zeros((groups * geometry.filters, 3, 3, channels), int)
        whole[:outputs] = w
        self.words = whole.reshape(groups, geometry.filters, 9, channels)
        self.words = self.words.transpose(0, 3, 1, 2).reshape(groups * channels, -1)
        weight_base = int(rng.integers(0, geometry.weight_depth - len(self.words) + 1))
        line = width * segments
        out_base = int(rng.integers(0, config.act_depth))
        self.fields = dict(
            in_base=(in_base - top * line - left * segments) % config.act_depth, in_zero=zero,
            line_bytes=line, tap_x=segments, segments=segments, in_height=height, in_width=width,
            pad_x=left, pad_y=top, columns=out_height, out_width=out_width, rows=channels,
            blocks=groups, weight_base=weight_base, out_base=out_base, out_words=out_words,
            step_x=out_width * out_words,
        )  # fmt: skip
        padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=zero)
        sums = conv_2d(padded[None], w, 0)[0]
        self.beats = {}
        lanes = config.lanes
        for y in range(out_height):
            for column in range(out_width):
                for c in range(-(-outputs // lanes)):
                    address = out_base + (y * out_width + column) * out_words + c // config.groups
                    key = (c, address % config.act_depth, c % config.groups)
                    self.beats[key] = sums[y, column, c * lanes : (c + 1) * lanes].tolist()
        self.cycles = geometry.cycles(
            act_word=config.act_word, read_latency=config.read_latency, channels=channels,
            outputs=outputs, height=out_height, width=out_width,
        )  # fmt: skip

    def writes(self, config):
        """What the loader puts on the write bus: (target, unit, address, data)."""
        for i, word in enumerate(self.words.tolist()):
            for n, weight in enumerate(word):
                address = self.fields["weight_base"] + i
                yield Target.TILE, config.tile_outputs + n, address, weight & 0xFF
