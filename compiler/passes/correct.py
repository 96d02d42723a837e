"""Biases that make up for what a change of the weights does to the mean of a layer's sums."""

import numpy as np
from numpy.typing import ArrayLike

from ..evaluate import quantize_input
from ..ir import Array, Graph, GraphError, Node, Tensor, verify
from ..operators import RUN, accumulate

__all__ = ["correct_biases"]

_MOST = 1 << 26  # activations of all layers and samples that are held at a time


def correct_biases(graph: Graph, reference: Graph, x: ArrayLike) -> Graph:
    """``graph`` with biases such that, over a batch x, the sums of every output channel have the
    mean that they have in ``reference``, the same network with other weights.

    Pruning and weight sharing move these means, by as much as the layer's inputs have one. What
    comes before a layer is corrected before it is. x is (samples, *shape), in real units or as the
    input has it; of large batches, samples at equal distances are taken.

    Needs: nothing (float or int8). Keeps: weights, shapes, scales.
    Source: Nagel et al., "Data-free quantization through weight equalization and bias correction",
    ICCV 2019, with sampled means.

    Raises
    ------
    GraphError
        The graphs do not have the same layers, or not one input.
    ValueError
        x has the wrong shape or type for the input.
    """
    ours, theirs = graph.nodes, reference.nodes
    if [(node.name, node.op) for node in ours] != [(node.name, node.op) for node in theirs]:
        raise GraphError(f"{graph.name}: the reference must have the same layers")
    if len(graph.inputs) != 1 or graph.inputs != reference.inputs:
        raise GraphError(f"{graph.name}: the graph must have one input, the reference's")
    batch = np.asarray(x)
    each = sum(int(np.prod(tensor.shape)) for tensor in graph.tensors.values())
    batch = batch[:: max(1, -(-len(batch) * each // _MOST))] if batch.ndim else batch
    values = {graph.inputs[0]: quantize_input(graph, batch)}
    wanted = {graph.inputs[0]: quantize_input(reference, batch)}
    nodes = []
    for node, other in zip(ours, theirs, strict=True):
        before = tuple(reference.tensors[name] for name in other.inputs)
        result, mean = _step(other, before, reference.tensors[other.output], wanted)
        wanted[other.output] = result
        before = tuple(graph.tensors[name] for name in node.inputs)
        if mean is not None:
            node = _moved(node, mean - _mean(node, before, values))
        values[node.output], _ = _step(node, before, graph.tensors[node.output], values)
        nodes.append(node)
    corrected = graph.with_nodes(nodes)
    verify(corrected)
    return corrected


def _mean(node: Node, before: tuple[Tensor, ...], values: dict[str, Array]) -> Array:
    sums = accumulate(node, before, values[node.inputs[0]])
    mean: Array = sums.reshape(-1, sums.shape[-1]).mean(axis=0, dtype=np.float64)
    return mean


def _step(
    node: Node, before: tuple[Tensor, ...], after: Tensor, values: dict[str, Array]
) -> tuple[Array, Array | None]:
    """A node's output, and where it has weights the mean of its sums."""
    mean = _mean(node, before, values) if "weight" in node.consts else None
    result = RUN[node.op](node, before, after, *(values[name] for name in node.inputs))
    return (result.astype(np.int8) if after.quantized else result), mean


def _moved(node: Node, by: Array) -> Node:
    bias = node.consts["bias"]
    if bias.dtype.kind == "f":
        return node.with_consts(bias=(bias + by).astype(bias.dtype))
    limits = np.iinfo(np.int32)
    moved = np.clip(bias + np.rint(by), limits.min, limits.max)
    return node.with_consts(bias=moved.astype(bias.dtype))
