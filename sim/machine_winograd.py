"""The functional model of the Winograd unit: the convolution that its sums are equal to.

:mod:`.winograd` is the model of how it computes them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.hw.config import Config
from prunus.hw.isa import Descriptor

from .exact import exact_product
from .machine_memory import DescriptorError, gather, raster, read, written
from .machine_window import Tables

__all__ = ["Winograd"]

Array = NDArray[Any]
Int = NDArray[np.int64]


class Winograd:
    """WINOGRAD: one product of what the 3 x 3 windows hold and the weights."""

    def __init__(self, layer: Descriptor, config: Config, stored: Array):
        if not config.winograd:
            raise DescriptorError("there is no Winograd unit")
        self.channels = written(layer, config)
        self.layer = layer
        inputs, blocks, filters = layer["rows"], layer["blocks"], config.winograd_filters
        if not 1 <= inputs <= config.winograd_channels:
            raise DescriptorError(f"{inputs} channels, of {config.winograd_channels}")
        if layer["segments"] != -(-inputs // config.act_word):
            raise DescriptorError(f"{layer['segments']} words for {inputs} channels")
        if blocks != -(-layer["outputs"] // filters):
            raise DescriptorError(f"{blocks} blocks for {layer['outputs']} outputs")
        if layer["out_pixels"] != layer["columns"] * layer["out_width"]:
            raise DescriptorError(f"{layer['out_pixels']} pixels in {layer['columns']} lines")
        if layer["step_x"] != layer["out_width"] * layer["out_words"]:
            raise DescriptorError("output lines do not follow each other")
        base, words = layer["weight_base"], blocks * inputs
        if base + words > len(stored):
            raise DescriptorError(f"{words} words of weights from {base} on, of {len(stored)}")
        groups = stored[base : base + words].reshape(blocks, inputs, filters, 9)
        weights = groups.transpose(3, 1, 0, 2).reshape(9 * inputs, -1)
        self.macs = layer["out_pixels"] * len(weights) * layer["outputs"]
        # Lanes that are written behind the last output hold nothing in particular.
        self.weights = np.zeros((len(weights), self.channels), np.int8)
        self.weights[:, : layer["outputs"]] = weights[:, : layer["outputs"]]

        oy, ox = raster(layer)
        tap, channel = np.divmod(np.arange(9 * inputs), inputs)
        ky, kx = np.divmod(tap, 3)
        line, pixel = oy[:, None] + ky - layer["pad_y"], ox[:, None] + kx - layer["pad_x"]
        inside = (line >= 0) & (line < layer["in_height"])
        inside &= (pixel >= 0) & (pixel < layer["in_width"])
        corner = layer["in_base"] + layer["pad_y"] * layer["line_bytes"]
        corner += layer["pad_x"] * layer["tap_x"]
        word = corner % (1 << 16) + line * layer["line_bytes"] + pixel * layer["tap_x"]
        self.index = read(word * config.act_word + channel, inside, config)

    def __call__(self, activations: Array, tables: Tables) -> Int:
        x = gather(activations, self.index, self.layer["in_zero"])
        sums: Int = exact_product(x.reshape(len(x) * x.shape[1], x.shape[2]), self.weights)
        return sums.reshape(*x.shape[:2], self.channels)
