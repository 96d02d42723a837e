"""The functional model of the window engine: WINDOW, and the tables that TABLE fills.

An engine's object is made once for a descriptor, with the addresses that it reads, and then called
with the activations (samples, bytes) of many samples; it returns the sums (samples, pixels,
channels), without the bias, of every lane group that is written.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.hw.config import Config
from prunus.hw.isa import Descriptor, Mode

from . import ops
from .machine_memory import DescriptorError, gather, raster, read, written

__all__ = ["Tables", "Window"]

Array = NDArray[Any]
Int = NDArray[np.int64]


class Tables:
    """The two halves of the window engine's tables."""

    def __init__(self, config: Config):
        self.config = config
        self.halves = np.zeros((2, 256), np.int64)

    def fill(self, layer: Descriptor, stored: Array) -> None:
        """What a TABLE descriptor does; ``stored`` are the slots."""
        if layer["multiplier"]:
            if not self.config.adder:
                raise DescriptorError("computes a table without an adder")
            x = np.arange(256).astype(np.uint8).view(np.int8).astype(np.int64)
            steps = (x - layer["in_zero"]) << 20
            values = ops.scale(steps, layer["multiplier"], -min(layer["shift"], 31), "double")
        elif layer["slot"] < len(stored):
            values = stored[layer["slot"]].astype(np.int64)
        else:
            raise DescriptorError(f"table {layer['slot']} of {len(stored)}")
        self.halves[layer["half"]] = values

    def look(self, x: Array, half: int) -> Int:
        """The entries for int8 values."""
        found: Int = self.halves[half][x.view(np.uint8)]
        return found


class Window:
    """WINDOW: a word of channels at a time, of one tap or of many."""

    def __init__(self, layer: Descriptor, config: Config):
        if not config.window:
            raise DescriptorError("there is no window engine")
        self.layer = layer
        self.mode = Mode(layer["mode"])
        if self.mode is Mode.ADD and not config.adder:
            raise DescriptorError("adds without an adder")
        if self.mode is Mode.LUT and not (config.adder or config.tables):
            raise DescriptorError("looks up without tables")
        words = -(-layer["outputs"] // config.act_word)
        if layer["blocks"] != words:
            raise DescriptorError(f"{layer['blocks']} blocks for {layer['outputs']} channels")
        self.channels = written(layer, config)
        self.macs = 0
        # (pixels, taps, bytes): an address in words, then the bytes of the pixel's words.
        bases = np.array([layer["in_base"]])
        ky, kx = np.zeros((2, 1), np.int64)
        if self.mode is Mode.ADD:
            bases = np.array([layer["in_base"], layer["in2_base"]])
        elif self.mode is not Mode.LUT:
            if not layer["taps_y"] * layer["taps_x"]:
                raise DescriptorError("no taps")
            ky, kx = np.divmod(np.arange(layer["taps_y"] * layer["taps_x"]), layer["taps_x"])
        oy, ox = raster(layer)
        line = oy[:, None] * layer["step_y"] + ky * layer["tap_y"] - layer["pad_y"]
        word = ox[:, None] * layer["step_x"] + kx * layer["tap_x"] - layer["pad_x"]
        inside = (line >= 0) & (line < layer["in_height"])
        inside &= (word >= 0) & (word < layer["line_bytes"])
        first = (bases + line * layer["line_bytes"] + word) * config.act_word
        self.index = read(first[..., None] + np.arange(self.channels), inside[..., None], config)

    def __call__(self, activations: Array, tables: Tables) -> Int:
        layer = self.layer
        if self.mode is Mode.ADD:
            a, b = (gather(activations, self.index[:, n], layer["in_zero"]) for n in (0, 1))
            return tables.look(a, 0) + tables.look(b, 1)
        x = gather(activations, self.index, layer["in_zero"])
        if self.mode is Mode.LUT:
            return tables.look(x[:, :, 0], layer["half"])
        result: Int = x.max(axis=2).astype(np.int64)
        if self.mode is Mode.SUM:
            result = x.sum(axis=2, dtype=np.int64)
        return result
