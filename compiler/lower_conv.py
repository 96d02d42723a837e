"""Convolutions as descriptors of the systolic array."""

import numpy as np
from numpy.typing import NDArray

from prunus.hw import isa
from prunus.hw.systolic_geometry import stream_lines, stream_pitch

from .cost import best_tile, depthwise_cycles
from .ir import GraphError, Node
from .layout import Image
from .lower_compact import check_tiles
from .lowering import Lowering
from .steps import Place, Scaling, Sizes, Step, signed_bits

__all__ = ["convolve", "node_scaling", "stream"]

Int = NDArray[np.int64]
Int8 = NDArray[np.int8]
Pair = tuple[int, int]
LEFT_SHIFTS = 15


def node_scaling(low: Lowering, node: Node, weight: Int8) -> tuple[Scaling, int]:
    """The scaling of a node with weights (outputs, ...), and the bits of its sums.

    The array multiplies bytes as they are: what the input's zero point adds goes into the bias.
    """
    flat = weight.reshape(len(weight), -1).astype(np.int64)
    bias = np.asarray(node.consts["bias"], np.int64).reshape(-1)
    bias = bias - low.zero(node.inputs[0]) * flat.sum(axis=1)
    multiplier, shift = (
        np.asarray(node.consts[key], np.int64).reshape(-1) for key in ("multiplier", "shift")
    )
    lowest = np.minimum(-128 * flat, 127 * flat).sum(axis=1)
    highest = np.maximum(-128 * flat, 127 * flat).sum(axis=1)
    bits = max(
        signed_bits(int(lowest.min()), int(highest.max())),
        signed_bits(int((lowest + bias).min()), int((highest + bias).max())),
    )
    low_clamp, high_clamp = node.attrs["clamp"]
    scaling = Scaling(
        bias=bias,
        multiplier=multiplier,
        shift=-shift,
        double_round=node.attrs["rounding"] == "double",
        zero=low.zero(node.output),
        clamp=(int(low_clamp), int(high_clamp)),
    )
    left = scaling.left
    if left > LEFT_SHIFTS:
        raise GraphError(f"{node.name}: scales its sums up by more than 2**{LEFT_SHIFTS}")
    wide = bits + (left if scaling.double_round else 0)
    if wide > 32:
        raise GraphError(f"{node.name}: sums need {wide} bits, int32 would overflow")
    return scaling, bits


def convolve(
    sizes: Sizes,
    name: str,
    source: Image,
    target: Image,
    weight: Int8,
    scaling: Scaling,
    bits: int,
    *,
    zero: int,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    group: int = 0,
) -> Step:
    """A convolution with ``weight`` (outputs, height, width, channels) as one descriptor.

    ``padding`` is at the top and at the left. With ``group``, which the compact engine alone has,
    a block of outputs sees words so far behind those of the block before. Where taps of a line
    follow each other without a gap, they are one tap that is as long as all of them, if that makes
    fewer words.
    """
    word = sizes.word
    outputs, taps_y, taps_x, _ = weight.shape
    length, tap, places = source.bytes, dilation[1] * source.pitch, source.channels
    reach = (taps_x - 1) * source.pitch + length
    if dilation[1] == 1 and -(-reach // word) <= taps_x * -(-length // word):
        places = (source.pitch * np.arange(taps_x)[:, None] + places).ravel()
        taps_x, tap, length = 1, 0, reach
    segments = -(-length // word)
    lines = np.zeros((outputs, taps_y, taps_x, segments * word), np.int8)
    lines[..., places] = weight.reshape(outputs, taps_y, taps_x, -1)
    rows = word if sizes.compact else min(word, length)
    lines = lines.reshape(outputs, taps_y, taps_x, segments, word)[..., :rows]
    tiles = _blocks(lines, sizes)
    if sizes.compact:
        check_tiles(name, source, tiles, word)
    elif tiles.shape[1] > sizes.columns and (tiles[:, sizes.columns :] == -128).any():
        raise GraphError(
            f"{name}: has a weight of -128, and the systolic array takes -127 to 127 where two "
            "weights share a multiplier; quantize with a symmetric range"
        )
    blocks, count = -(-outputs // sizes.tile_outputs), taps_y * taps_x * segments
    if sizes.compact:
        tile, cycles = target.pixels, 0  # see lower_compact.parts
    else:
        tile, cycles = best_tile(sizes, target.pixels, count, outputs)
    fields: isa.Descriptor = {
        "op": isa.Op.CONV,
        "in_zero": zero,
        "outputs": outputs,
        "rows": rows,
        "line_bytes": source.width * source.pitch,
        "in_height": source.height,
        "pad_x": padding[1] * source.pitch,
        "pad_y": padding[0],
        "step_x": stride[1] * source.pitch,
        "step_y": stride[0],
        "tap_x": tap,
        "tap_y": dilation[0],
        "taps_x": taps_x,
        "taps_y": taps_y,
        "segments": segments,
        "blocks": blocks,
        "tile": tile,
        "out_width": target.width,
        "out_pixels": target.pixels,
        "out_words": target.pitch // word,
        **({"group": group} if group else {}),
    }
    return Step(
        fields=fields,
        sources=(Place(source.buffer, source.word(word)),),
        target=Place(target.buffer, target.word(word)),
        scaling=scaling,
        bits=bits,
        cycles=cycles,
        weights=tiles,
    )


def stream(
    sizes: Sizes,
    source: Image,
    target: Image,
    weight: Int8,
    scaling: Scaling,
    bits: int,
    *,
    zero: int,
    stride: Pair,
    padding: Pair,
) -> Step:
    """A depthwise convolution, ``weight`` (height, width, channels), through the three lines."""
    word, lanes, taps = sizes.word, sizes.lanes, sizes.line_taps
    taps_y, taps_x, channels = weight.shape
    pitch = stream_pitch(source.width, target.width, taps_x, stride[1], padding[1])
    lines = stream_lines(target.height, taps_y, stride[0])
    blocks = -(-channels // lanes)
    rows = taps * (taps_y - 1) + taps_x
    tiles = np.zeros((rows, blocks * lanes), np.int8)
    for y in range(taps_y):
        first = taps * (taps_y - 1 - y)
        tiles[first : first + taps_x, :channels] = weight[y]
    units = min(lanes, channels)
    tiles = tiles.reshape(rows, blocks, lanes).swapaxes(0, 1)[..., :units].reshape(-1, units)
    fields: isa.Descriptor = {
        "op": isa.Op.DEPTHWISE,
        "in_zero": zero,
        "columns": lines,
        "outputs": channels,
        "rows": rows,
        "line_bytes": source.width * source.pitch,
        "in_height": source.height,
        "in_width": source.width,
        "pad_x": padding[1],
        "pad_y": padding[0],
        "step_x": stride[1],
        "step_y": stride[0],
        "tap_x": source.pitch,
        "taps_x": taps_x,
        "taps_y": taps_y,
        "segments": pitch,
        "blocks": blocks,
        "out_width": target.width,
        "out_pixels": target.pixels,
        "out_words": target.pitch // word,
    }
    return Step(
        fields=fields,
        sources=(Place(source.buffer, source.word(word)),),
        target=Place(target.buffer, target.word(word)),
        scaling=scaling,
        bits=bits,
        cycles=depthwise_cycles(sizes, blocks, lines, pitch),
        weights=np.ascontiguousarray(tiles),
    )


def _blocks(lines: Int8, sizes: Sizes) -> Int8:
    """Weights (outputs, taps, taps, segments, rows) as words of one weight for each output."""
    outputs, *others = lines.shape
    made = sizes.tile_outputs
    if outputs <= made and not sizes.compact:
        return np.ascontiguousarray(np.moveaxis(lines, 0, -1).reshape(-1, outputs))
    blocks = -(-outputs // made)
    every = np.zeros((blocks * made, *others), np.int8)
    every[:outputs] = lines
    grouped = np.moveaxis(every.reshape(blocks, made, *others), 1, -1)
    return np.ascontiguousarray(grouped.reshape(-1, made))
