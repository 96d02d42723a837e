"""3x3 convolutions as descriptors of the Winograd unit."""

import numpy as np
from numpy.typing import NDArray

from prunus.hw import isa
from prunus.hw.winograd.geometry import Geometry

from .cost import window_cycles, winograd_cycles
from .layout import Image
from .steps import Place, Scaling, Sizes, Step

__all__ = ["choices", "winograd", "winograd_costs"]

Int8 = NDArray[np.int8]
Pair = tuple[int, int]
CHANNELS = 256  # most of the inputs: their memory's blocks are deep enough for so many
CORNERS = 4  # products of a filter that are small enough for logic


def choices(sizes: Sizes) -> tuple[Geometry, ...]:
    """Units whose products the systolic array can make, but for a few of each filter."""
    found = []
    for outputs in (4, 2):
        most = sizes.word * sizes.columns // ((outputs + 2) ** 2 - CORNERS)
        if most:
            filters = min(sizes.lanes, 1 << (most.bit_length() - 1))
            found.append(
                Geometry(
                    outputs=outputs,
                    filters=filters,
                    channels=max(CHANNELS, sizes.word),
                    shares=True,
                )
            )
    return tuple(found)


def winograd_costs(
    sizes: Sizes, source: Image, target: Image, weight: Int8, stride: Pair, dilation: Pair
) -> dict[str, int]:
    """Cycles of a convolution with weight (outputs, 3, 3, channels) on every unit of
    :func:`choices`, by its name; empty where none can do it.

    Stride 2 would be four convolutions of stride 1, with kernels of 2x2, 1x2, 2x1 and 1x1 for the
    pixels of even and odd lines and columns: one of an image that has these side by side as
    channels, after the window engine has sorted them. On these units that is 36 products for 4 x 9,
    and a block of the systolic array makes two at a time: no layer gains, and none is run that way.
    Units for the small kernels would not change that: 81 products for 16 x 9, where the systolic
    array's blocks take 72 cycles.
    """
    outputs, channels = weight.shape[0], weight.shape[3]
    if weight.shape[1:3] != (3, 3) or dilation != (1, 1) or not source.aligned(sizes.word):
        return {}
    name, copies = "", 0
    if stride == (2, 2):
        copies = window_cycles(sizes, channels, source.pixels, 1)
        channels += 3 * -(-channels // sizes.word) * sizes.word
        name = " in four"
    elif stride != (1, 1):
        return {}
    if channels > CHANNELS:
        return {}
    return {
        f"winograd F({unit.outputs}x{unit.outputs}){name}": copies
        + winograd_cycles(sizes, unit, channels, outputs, target.height, target.width)
        for unit in choices(sizes)
    }


def winograd(
    sizes: Sizes,
    geometry: Geometry,
    source: Image,
    target: Image,
    weight: Int8,
    scaling: Scaling,
    bits: int,
    *,
    zero: int,
    padding: Pair,
) -> Step:
    """A convolution with weight (outputs, 3, 3, channels), of stride 1; padding top and left."""
    word = sizes.word
    outputs, _, _, channels = weight.shape
    blocks = -(-outputs // geometry.filters)
    every = np.zeros((blocks * geometry.filters, 3, 3, channels), np.int8)
    every[:outputs] = weight
    words = every.reshape(blocks, geometry.filters, 9, channels).transpose(0, 3, 1, 2)
    pixel, out_words = source.pitch // word, target.pitch // word
    line = source.width * pixel
    corner = source.word(word) - padding[0] * line - padding[1] * pixel
    fields: isa.Descriptor = {
        "op": isa.Op.WINOGRAD,
        "in_zero": zero,
        "columns": target.height,
        "outputs": outputs,
        "rows": channels,
        "line_bytes": line,
        "in_height": source.height,
        "in_width": source.width,
        "pad_x": padding[1],
        "pad_y": padding[0],
        "step_x": target.width * out_words,
        "tap_x": pixel,
        "segments": -(-channels // word),
        "blocks": blocks,
        "out_width": target.width,
        "out_pixels": target.pixels,
        "out_words": out_words,
    }
    return Step(
        fields=fields,
        sources=(Place(source.buffer, corner),),
        target=Place(target.buffer, target.word(word)),
        scaling=scaling,
        bits=bits,
        cycles=winograd_cycles(sizes, geometry, channels, outputs, target.height, target.width),
        weights=np.ascontiguousarray(words.reshape(blocks * channels, -1)),
    )
