"""Folds scales and offsets (batch normalization, a separate bias) into the layers beside them."""

import numpy as np

from ..ir import Array, Graph, GraphError, Node

__all__ = ["fold_affine"]


def fold_affine(graph: Graph) -> Graph:
    """``dense -> affine`` and ``affine -> dense`` become one dense.

    Needs: a float graph. Keeps: the function, up to float rounding. Reshapes between the two do
    not matter. An affine node goes into the layer before it where that is possible.

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
    scale = affine.consts["scale"].astype(np.float64).ravel()
    offset = affine.consts["offset"].astype(np.float64).ravel()
    before = _through_reshapes(graph, affine, forward=False)
    if before is not None and before.op == "dense":
        weight, bias = _parameters(before)
        layer = _layer(before, weight * scale[:, None], bias * scale + offset)
        return _replace(graph, affine, before, layer)
    after = _through_reshapes(graph, affine, forward=True)
    if after is not None and after.op == "dense":
        weight, bias = _parameters(after)
        layer = _layer(after, weight * scale, bias + weight @ offset)
        return _replace(graph, affine, after, layer)
    raise GraphError(f"{affine.name}: a scale or an offset must stand beside a dense layer")


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


def _replace(graph: Graph, affine: Node, old: Node, layer: Node) -> Graph:
    """Without ``affine``: the tensor behind it takes the place of the one in front."""
    nodes = []
    for node in graph.nodes:
        if node is old:
            node = layer
        if node is not affine:
            nodes.append(node)
    return rewire(graph.with_nodes(nodes), affine.output, affine.inputs[0])


def rewire(graph: Graph, gone: str, instead: str) -> Graph:
    """The graph with every use of one tensor replaced by another of the same shape."""
    nodes = [
        Node(
            node.name,
            node.op,
            tuple(instead if name == gone else name for name in node.inputs),
            node.output,
            node.attrs,
            node.consts,
        )
        for node in graph.nodes
    ]
    outputs = tuple(instead if name == gone else name for name in graph.outputs)
    tensors = dict(graph.tensors)
    tensors.pop(gone, None)
    return Graph(graph.name, graph.inputs, outputs, tensors, tuple(nodes)).with_nodes(nodes)
