"""Folds scales and offsets (batch normalization, a separate bias) into the layers beside them."""

from dataclasses import replace

import numpy as np

from ..ir import Array, Graph, GraphError, Node

__all__ = ["fold_affine"]

_LAYERS = ("dense", "convolution", "depthwise_convolution")


def fold_affine(graph: Graph) -> Graph:
    """``layer -> affine`` and ``affine -> layer`` become one layer.

    Layers are dense or convolutions; a convolution takes one scale and offset for each channel.
    An affine node goes into the layer before it where that is possible; one that has no layer
    beside it, but one scale and offset for each channel of an image, becomes a depthwise
    convolution of 1x1.

    Needs: a float graph. Keeps: the function, up to float rounding. Reshapes between the two do
    not matter.

    Raises
    ------
    GraphError
        An affine node has no layer beside it, such as one between two activation functions.
    """
    while True:
        node = next((node for node in graph.nodes if node.op == "affine"), None)
        if node is None:
            return graph
        graph = _fold(graph, node)


def _fold(graph: Graph, affine: Node) -> Graph:
    scale = affine.consts["scale"].astype(np.float64)
    offset = affine.consts["offset"].astype(np.float64)
    before = _through_reshapes(graph, affine, forward=False)
    if before is not None and before.op in _LAYERS:
        layer = _behind(graph, before, scale, offset)
        if layer is not None:
            return _replace(graph, affine, before, layer, behind=True)
    after = _through_reshapes(graph, affine, forward=True)
    if after is not None and after.op in _LAYERS:
        layer = _in_front(graph, after, scale, offset)
        if layer is not None:
            return _replace(graph, affine, after, layer, behind=False)
    alone = _alone(affine, scale, offset)
    if alone is None:
        raise GraphError(
            f"{affine.name}: a scale or an offset must stand beside a dense layer or a convolution"
        )
    return graph.with_nodes(alone if node is affine else node for node in graph.nodes)


def _behind(graph: Graph, layer: Node, scale: Array, offset: Array) -> Node | None:
    """A layer with what follows it; None when a convolution cannot take it."""
    weight, bias = _parameters(layer)
    if layer.op == "dense":
        scale, offset = scale.ravel(), offset.ravel()
        return _layer(layer, weight * scale[:, None], bias * scale + offset)
    shape = graph.tensors[layer.output].shape
    per_channel = [_of_channels(value.reshape(shape)) for value in (scale, offset)]
    if per_channel[0] is None or per_channel[1] is None:
        return None
    scale, offset = per_channel[0], per_channel[1]
    axes = (slice(None), None, None, None) if layer.op == "convolution" else ...
    return _layer(layer, weight * scale[axes], bias * scale + offset)


def _in_front(graph: Graph, layer: Node, scale: Array, offset: Array) -> Node | None:
    """A layer with what precedes it; padding of a convolution is added behind an offset."""
    weight, bias = _parameters(layer)
    if layer.op == "dense":
        return _layer(layer, weight * scale.ravel(), bias + weight @ offset.ravel())
    shape = graph.tensors[layer.inputs[0]].shape
    per_channel = [_of_channels(value.reshape(shape)) for value in (scale, offset)]
    if per_channel[0] is None or per_channel[1] is None:
        return None
    scale, offset = per_channel[0], per_channel[1]
    if offset.any() and any(layer.attrs["padding"]):
        return None
    if layer.op == "convolution":
        return _layer(layer, weight * scale, bias + weight.sum(axis=(1, 2)) @ offset)
    each = len(bias) // len(scale)
    scale, offset = np.repeat(scale, each), np.repeat(offset, each)
    return _layer(layer, weight * scale, bias + weight.sum(axis=(0, 1, 2)) * offset)


def _alone(affine: Node, scale: Array, offset: Array) -> Node | None:
    """The depthwise convolution that an affine node is, on an image."""
    if scale.ndim != 3:
        return None
    channels = [_of_channels(value) for value in (scale, offset)]
    if channels[0] is None or channels[1] is None:
        return None
    dtype = affine.consts["scale"].dtype
    attrs = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
    consts = {
        "weight": channels[0].reshape(1, 1, 1, -1).astype(dtype),
        "bias": channels[1].astype(dtype),
    }
    return Node(affine.name, "depthwise_convolution", affine.inputs, affine.output, attrs, consts)


def _of_channels(value: Array) -> Array | None:
    """The values of the channels of an image, if they are the same everywhere."""
    first: Array = value[0, 0]
    return first if (value == first).all() else None


def _parameters(node: Node) -> tuple[Array, Array]:
    return node.consts["weight"].astype(np.float64), node.consts["bias"].astype(np.float64)


def _layer(node: Node, weight: Array, bias: Array) -> Node:
    dtype = node.consts["weight"].dtype
    return node.with_consts(weight=weight.astype(dtype), bias=bias.astype(dtype))


def _through_reshapes(graph: Graph, node: Node, forward: bool) -> Node | None:
    """The next node that is not a reshape, when no other node or output sees what is between."""
    while True:
        between = node.output if forward else node.inputs[0]
        if between in graph.outputs or len(graph.consumers(between)) != 1:
            return None
        following = graph.consumers(between)[0] if forward else graph.producer(between)
        if following is None or following.op != "reshape":
            return following
        node = following


def _replace(graph: Graph, affine: Node, old: Node, layer: Node, behind: bool) -> Graph:
    """Without ``affine``: of the tensors on its sides, the one that is not beside the layer stays.

    So the outputs of a graph keep their names, and so do its inputs.
    """
    nodes = [layer if node is old else node for node in graph.nodes if node is not affine]
    gone, instead = affine.inputs[0], affine.output
    if not behind:
        gone, instead = instead, gone
    return rewire(graph.with_nodes(nodes), gone, instead)


def rewire(graph: Graph, gone: str, instead: str) -> Graph:
    """The graph with one tensor replaced by another of the same shape, wherever it is used."""
    nodes = [
        replace(
            node,
            inputs=tuple(instead if name == gone else name for name in node.inputs),
            output=instead if node.output == gone else node.output,
        )
        for node in graph.nodes
    ]
    outputs = tuple(instead if name == gone else name for name in graph.outputs)
    tensors = {**graph.tensors, instead: replace(graph.tensors[gone], name=instead)}
    tensors.pop(gone)
    return replace(graph, outputs=outputs, tensors=tensors).with_nodes(nodes)
