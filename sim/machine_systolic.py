"""The functional model of the systolic array: CONV and DEPTHWISE.

As in :mod:`.machine_window`, an object is made for a descriptor: its addresses and its weights.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.hw.config import Config
from prunus.hw.isa import Descriptor

from .exact import exact_product
from .machine_memory import DescriptorError, gather, raster, read, written
from .machine_window import Tables

__all__ = ["Convolution", "Depthwise", "Grouped"]

Array = NDArray[Any]
Int = NDArray[np.int64]


def _weights(layer: Descriptor, tiles: Array, count: int) -> Array:
    """The weights of ``count`` tiles, (tiles, rows, outputs of a tile)."""
    base, words = layer["weight_base"], count * layer["rows"]
    if not words or base + words > len(tiles):
        raise DescriptorError(f"{words} words of weights from {base} on, of {len(tiles)}")
    return tiles[base : base + words].reshape(count, layer["rows"], -1)


def _channels(layer: Descriptor, config: Config, outputs: int) -> int:
    """Channels that are written; there is an array, and every block of ``outputs`` has work."""
    if not config.columns:
        raise DescriptorError("there is no systolic array")
    if layer["rows"] > config.act_word:
        raise DescriptorError(f"{layer['rows']} rows of {config.act_word}")
    if layer["blocks"] != -(-layer["outputs"] // outputs):
        raise DescriptorError(f"{layer['blocks']} blocks for {layer['outputs']} outputs")
    return written(layer, config)


class Convolution:
    """CONV: one product of what the windows hold and the weights."""

    def __init__(self, layer: Descriptor, config: Config, tiles: Array):
        self.channels = _channels(layer, config, config.tile_outputs)
        if config.compact and layer["out_pixels"] > config.tile_pixels:
            raise DescriptorError(f"{layer['out_pixels']} pixels, of {config.tile_pixels}")
        if not 1 <= layer["tile"] <= config.tile_pixels:
            raise DescriptorError(f"{layer['tile']} pixels at a time, of {config.tile_pixels}")
        self.layer = layer
        blocks, rows = layer["blocks"], layer["rows"]
        shape = layer["taps_y"], layer["taps_x"], layer["segments"], rows
        count = blocks * shape[0] * shape[1] * shape[2]
        if layer["same"]:
            one = _weights(layer, tiles, 1)
            stored = np.tile(one, (count, 1, 1))
        else:
            stored = _weights(layer, tiles, count)
        weights = np.moveaxis(stored.reshape(blocks, -1, config.tile_outputs), 0, 1)
        weights = weights.reshape(weights.shape[0], -1)[:, : self.channels]
        # Bytes without any weight, as behind the last channel of a pixel, are not looked at.
        used = np.flatnonzero(weights.any(axis=1))
        self.weights = weights[used]
        self.macs = layer["out_pixels"] * len(used) * layer["outputs"]
        ky, kx, segment, row = (axis.ravel()[used] for axis in np.indices(shape))
        oy, ox = raster(layer)
        line = oy[:, None] * layer["step_y"] + ky * layer["tap_y"] - layer["pad_y"]
        byte = ox[:, None] * layer["step_x"] + kx * layer["tap_x"] - layer["pad_x"]
        byte = byte + segment * config.act_word + row
        inside = (line >= 0) & (line < layer["in_height"])
        inside &= (byte >= 0) & (byte < layer["line_bytes"])
        first = layer["in_base"] * config.act_word
        self.index = read(first + line * layer["line_bytes"] + byte, inside, config)

    def __call__(self, activations: Array, tables: Tables) -> Int:
        x = gather(activations, self.index, self.layer["in_zero"])
        sums: Int = exact_product(x.reshape(len(x) * x.shape[1], x.shape[2]), self.weights)
        return sums.reshape(*x.shape[:2], self.channels)


class Grouped:
    """CONV of the compact engine: a convolution for each block, of words one behind the other."""

    def __init__(self, layer: Descriptor, config: Config, tiles: Array):
        if layer["rows"] != config.act_word:
            raise DescriptorError(f"{layer['rows']} rows, not {config.act_word}")
        size = config.tile_outputs
        words = layer["taps_y"] * layer["taps_x"] * layer["segments"] * config.act_word
        if layer["same"]:
            words = 0
        self.blocks = []
        for number in range(layer["blocks"]):
            part = layer | {
                "blocks": 1,
                "outputs": min(size, layer["outputs"] - number * size),
                "in_base": layer["in_base"] + number * layer["group"],
                "weight_base": layer["weight_base"] + number * words,
            }
            self.blocks.append(Convolution(part, config, tiles))
        self.index = np.concatenate([block.index.ravel() for block in self.blocks])
        self.macs = sum(block.macs for block in self.blocks)

    def __call__(self, activations: Array, tables: Tables) -> Int:
        return np.concatenate([block(activations, tables) for block in self.blocks], axis=2)


class Depthwise:
    """DEPTHWISE: windows of a stream of lines, each channel with weights of its own."""

    def __init__(self, layer: Descriptor, config: Config, tiles: Array):
        self.channels = _channels(layer, config, config.lanes)
        pitch, taps = layer["segments"], config.line_taps
        if not 3 <= pitch + taps <= config.line_depth:
            raise DescriptorError(f"lines of {pitch} and {taps} pixels, of {config.line_depth}")
        if layer["line_bytes"] % config.act_word or layer["tap_x"] % config.act_word:
            raise DescriptorError("lines or pixels are no whole words")
        if not 1 <= layer["taps_y"] <= 3:
            raise DescriptorError(f"{layer['taps_y']} lines of taps, of 3")
        self.layer = layer
        stored = _weights(layer, tiles, layer["blocks"])[:, :, : config.lanes]
        weights = np.moveaxis(stored, 0, 1).reshape(layer["rows"], -1)  # (rows, channels)
        used = np.flatnonzero(weights.any(axis=1))
        self.weights = weights[used].astype(np.int32)
        self.macs = layer["out_pixels"] * len(used) * layer["outputs"]
        up, kx = np.divmod(used, taps)
        if (up >= layer["taps_y"]).any():
            raise DescriptorError(f"weights behind {layer['taps_y']} lines of taps")
        oy, ox = raster(layer)
        start = oy * layer["step_y"] * pitch + ox * layer["step_x"]
        place = start[:, None] + (layer["taps_y"] - 1 - up) * pitch + kx
        end = layer["columns"] * pitch  # what follows the last line is padding
        if place.size and place.max() >= end + taps:
            raise DescriptorError(f"pixel {place.max()} of a stream of {end}")
        line, pixel = np.divmod(place, pitch)
        line, pixel = line - layer["pad_y"], pixel - layer["pad_x"]
        inside = (place < end) & (line >= 0) & (line < layer["in_height"])
        inside &= (pixel >= 0) & (pixel < layer["in_width"])
        first = layer["in_base"] * config.act_word
        first = (first + line * layer["line_bytes"] + pixel * layer["tap_x"]).T[..., None]
        self.index = read(first + np.arange(self.channels), inside.T[..., None], config)

    def __call__(self, activations: Array, tables: Tables) -> Int:
        pixels = self.layer["out_pixels"]
        sums = np.zeros((len(activations), pixels, self.channels), np.int32)
        for index, weight in zip(self.index, self.weights, strict=True):
            sums += gather(activations, index, self.layer["in_zero"]) * weight
        return sums.astype(np.int64)
