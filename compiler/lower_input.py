"""A first convolution with strides on an input that the host rearranges."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .ir import Array, Graph, Node, verify
from .layout import packed, standard
from .lower_compact import whole_words
from .lower_conv import convolve, node_scaling
from .lowering import Lowering
from .steps import Sizes

__all__ = ["arranged", "space_to_depth", "spread"]

Int = NDArray[np.int64]


def arranged(core: Graph, sizes: Sizes) -> tuple[Graph, Int | None]:
    """``conv_2d`` of the network's input becomes one without strides, if that takes fewer cycles.

    Second, the element of the input that each byte of the new one is (-1: its zero point); None
    where nothing changed.
    """
    first = next((node for node in core.nodes if node.op != "reshape"), None)
    if first is None or first.op != "conv_2d" or len(core.inputs) != 1:
        return core, None
    reshapes = core.nodes[: core.nodes.index(first)]
    if any(len(core.consumers(name)) != 1 or name in core.outputs
           for name in (*core.inputs, *(node.output for node in reshapes))):  # fmt: skip
        return core, None
    if first.attrs["dilation"] != (1, 1) or first.attrs["stride"] == (1, 1):
        return core, None
    changed, index = space_to_depth(core, first)
    before, after = (
        _cycles(graph, next(node for node in graph.nodes if node.name == first.name), sizes)
        for graph in (core, changed)
    )
    if before is None or after is None:
        return (core, None) if after is None else (changed, index)
    return (changed, index) if after < before else (core, None)


def spread(low: Lowering) -> Int | None:
    """Pixels of the input begin at whole words, for an engine that reads nothing else."""
    changed = False
    index = np.zeros(0, np.int64)
    for name in low.core.inputs:
        shape = low.core.tensors[name].shape
        layout = standard(name, shape, low.sizes.word)
        if len(shape) > 1 and shape[-1] % low.sizes.word and len(low.core.inputs) == 1:
            low.layouts[name] = low.reserve(layout)
            index = np.full(layout.end, -1)
            index[layout.positions.ravel()] = np.arange(layout.positions.size)
            changed = True
    return index if changed else None


def space_to_depth(core: Graph, node: Node) -> tuple[Graph, Int]:
    """``conv_2d`` of stride s on the input becomes one of stride 1 on blocks of s x s pixels.

    The blocks begin where windows do: what is in front of the first is the zero point. The node
    sees the network's input alone, reshaped or not, and nothing else does.
    """
    before, after = core.tensors[node.inputs[0]], core.tensors[node.output]
    height, width, channels = before.shape
    weight = node.consts["weight"]
    outputs = len(weight)
    stride, padding = node.attrs["stride"], node.attrs["padding"]
    kernel = [-(-size // step) for size, step in zip(weight.shape[1:3], stride, strict=True)]
    sizes, ahead, around = [], [], list[int]()
    for axis in range(2):
        blocks, front = divmod(padding[2 * axis], stride[axis])
        needed = after.shape[axis] - 1 + kernel[axis] - blocks
        there = -(-(before.shape[axis] + front) // stride[axis])
        sizes.append(min(needed, there))
        ahead.append(front)
        around += [blocks, max(0, needed - there)]
    grid = np.full((sizes[0] * stride[0], sizes[1] * stride[1], channels), -1)
    elements = np.arange(before.size).reshape(before.shape)
    rows, columns = (
        min(size, length * step - front)
        for size, length, step, front in zip((height, width), sizes, stride, ahead, strict=True)
    )
    grid[ahead[0] : ahead[0] + rows, ahead[1] : ahead[1] + columns] = elements[:rows, :columns]
    index = _blocks(grid[None], sizes, stride)[0]
    spread = np.zeros((outputs, kernel[0] * stride[0], kernel[1] * stride[1], channels), np.int8)
    spread[:, : weight.shape[1], : weight.shape[2]] = weight
    name = core.inputs[0]
    attrs = {**node.attrs, "stride": (1, 1), "padding": tuple(around)}
    changed = replace(node, inputs=(name,), attrs=attrs).with_consts(
        weight=np.ascontiguousarray(_blocks(spread, kernel, stride))
    )
    source = replace(core.tensors[name], shape=tuple(int(size) for size in index.shape))
    source = replace(source, scale=before.scale, zero_point=before.zero_point)
    behind = core.nodes[core.nodes.index(node) + 1 :]
    graph = core.with_nodes((changed, *behind), {name: source})
    return verify(graph), index.ravel()


def _blocks(pixels: Array, sizes: list[int], block: tuple[int, int]) -> Array:
    """Images (n, rows, columns, c) with each block of pixels as one pixel of many channels."""
    count, *_, channels = pixels.shape
    split = pixels.reshape(count, sizes[0], block[0], sizes[1], block[1], channels)
    result: Array = split.swapaxes(2, 3).reshape(*(count, *sizes), -1)
    return result


def _cycles(graph: Graph, node: Node, sizes: Sizes) -> int | None:
    """What a convolution of a packed input takes; None if the engine cannot read it like that."""
    low = Lowering(graph, sizes)
    image = packed(node.inputs[0], graph.tensors[node.inputs[0]].shape).image(sizes.word)
    assert image is not None
    if sizes.compact and not whole_words(image, sizes.word):
        return None
    weight = node.consts["weight"]
    scaling, bits = node_scaling(low, node, weight)
    made = low.made(low.target(node.output))
    top, _, left, _ = node.attrs["padding"]
    return convolve(
        sizes, node.name, image, made, weight, scaling, bits, zero=low.zero(node.inputs[0]),
        stride=node.attrs["stride"], padding=(top, left),
    ).cycles  # fmt: skip
