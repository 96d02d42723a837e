"""Magnitude pruning: the smallest weights become zero."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from ..ir import Array, Graph, Node
from .layers import layers, per_layer, real_weight

__all__ = ["magnitude_mask", "prune"]


def prune(
    graph: Graph,
    density: float | Mapping[str, float],
    scope: Literal["layer", "network"] = "layer",
) -> Graph:
    """Every layer keeps its ``round(density * weights)`` largest weights; the others become zero.

    A mapping names the layers that are pruned. Weights are ranked in real units, which matters
    where int8 channels have scales of their own, and for scope "network", which ranks the weights
    of all layers together. Biases stay.

    Needs: nothing (float or int8). Keeps: shapes, biases, scales.

    Raises
    ------
    ValueError
        A density is not above 0 and at most 1, or a layer does not exist.
    """
    if scope not in ("layer", "network"):
        raise ValueError(f"scope must be 'layer' or 'network', not {scope!r}")
    if scope == "layer":
        wanted = per_layer(graph, density)
        masks = {
            node.name: magnitude_mask(ranked(graph, node), wanted[node.name])
            for node in layers(graph)
            if node.name in wanted
        }
    else:
        if isinstance(density, Mapping):
            raise ValueError("density must be one number when scope is 'network'")
        masks = _network_masks(graph, density)

    def pruned(node: Node) -> Node:
        if node.name not in masks:
            return node
        weight = node.consts["weight"]
        return node.with_consts(weight=np.where(masks[node.name], weight, weight.dtype.type(0)))

    return graph.with_nodes(pruned(node) for node in graph.nodes)


def magnitude_mask(weights: Array, density: float) -> Array:
    """True for the ``round(density * size)`` weights of largest magnitude, the first among equals.

    >>> magnitude_mask(np.array([1, -3, 2, 3]), 0.5).tolist()
    [False, True, False, True]
    """
    if isinstance(density, bool) or not 0 < density <= 1:
        raise ValueError(f"density must be above 0 and at most 1, not {density!r}")
    array = np.asarray(weights)
    wide = array.astype(np.int64) if array.dtype.kind == "i" else array  # abs(-128) needs 9 bits
    magnitudes = np.abs(wide).ravel()
    count = int(density * array.size + 0.5)
    if not count:
        return np.zeros(array.shape, bool)
    least = np.partition(magnitudes, array.size - count)[array.size - count]
    mask: Array = magnitudes > least
    equals = np.flatnonzero(magnitudes == least)
    mask[equals[: count - np.count_nonzero(mask)]] = True
    return mask.reshape(array.shape)


def _network_masks(graph: Graph, density: float) -> dict[str, Array]:
    nodes = layers(graph)
    every = [ranked(graph, node).ravel() for node in nodes]
    mask = magnitude_mask(np.concatenate(every or [np.zeros(0)]), density)
    masks, start = {}, 0
    for node in nodes:
        weight = node.consts["weight"]
        masks[node.name] = mask[start : start + weight.size].reshape(weight.shape)
        start += weight.size
    return masks


def ranked(graph: Graph, node: Node) -> Array:
    """The weights as they are compared; those of a float layer without a copy."""
    weight = node.consts["weight"]
    return weight if weight.dtype.kind == "f" else real_weight(graph, node)
