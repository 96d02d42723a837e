"""How the functional model's engines see the activation memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.hw.config import Config
from prunus.hw.isa import Descriptor

__all__ = ["DescriptorError", "gather", "raster", "read", "written"]

Array = NDArray[Any]
Int = NDArray[np.int64]
OUTSIDE = -1  # an address that holds the zero point


class DescriptorError(ValueError):
    """A descriptor that asks for what the accelerator does not have or cannot do."""


def written(layer: Descriptor, config: Config) -> int:
    """Channels of an output pixel, with those that fill its last lane group."""
    if not layer["outputs"]:
        raise DescriptorError("no outputs")
    return -(-layer["outputs"] // config.lanes) * config.lanes


def raster(layer: Descriptor) -> tuple[Int, Int]:
    """Line and column of every output pixel."""
    if not layer["out_pixels"] or not layer["out_width"]:
        raise DescriptorError("no output pixels")
    oy, ox = np.divmod(np.arange(layer["out_pixels"]), layer["out_width"])
    return oy, ox


def read(index: Int, inside: NDArray[np.bool_], config: Config) -> Int:
    """Byte addresses, :data:`OUTSIDE` where not ``inside``; all within the memory."""
    size = config.act_depth * config.act_word
    index = np.where(inside, index, OUTSIDE)
    if index.size and index.max() >= size:
        raise DescriptorError(f"reads byte {index.max()} of {size}")
    return index


def gather(activations: Array, index: Int, zero: int) -> Array:
    """Activations (samples, *shape of index), ``zero`` at :data:`OUTSIDE`."""
    activations[:, OUTSIDE] = zero  # a byte behind those of the memory
    return activations.take(index, axis=1)
