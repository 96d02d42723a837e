"""Float graphs to int8, with the ranges that a batch of samples shows."""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..evaluate import quantize_input
from ..ir import Graph, GraphError, verify
from .fold_affine import fold_affine
from .observe import observe
from .quantizer import CLAMPS, Quantizer
from .settle import QUANTIZERS, settle
from .use_means import use_means

__all__ = ["calibrate", "clamps_first"]

_CONVOLUTIONS = ("convolution", "depthwise_convolution")


def calibrate(
    graph: Graph,
    batch: ArrayLike,
    *,
    per_channel: bool = False,
    ranges: Literal["full", "fitted"] | None = None,
) -> Graph:
    """``dense [-> relu | clip]*`` becomes fully_connected; the input and the output become int8.

    So do convolutions and what stands between them. As TFLite's converter does it: activations
    have a scale and a zero point from the smallest and the largest value in ``batch``
    (samples, *shape), zero included; weights are symmetric, in dense layers with one scale for
    the layer or one for each output, in convolutions with one for each output; biases are int32
    of scale input x weight. Pools keep the scale of their input, unless they average a whole
    image; a tensor that only a concatenation sees takes the concatenation's, other inputs of it
    are rescaled.

    ``ranges`` "full" keeps every value within its tensor's range, "fitted" clips what is rare
    where that makes the mean squared error smaller; by default graphs with convolutions are
    fitted. A graph with quantizers of its own keeps these (:func:`settle`); the batch only says
    what has none.

    Needs: a float graph. Keeps: zero weights, and how many distinct ones a layer has at most.

    Raises
    ------
    ValueError
        The batch is empty, not float, not finite, or of the wrong shape.
    GraphError
        An operator cannot be brought to int8; begins with the node's name.
    """
    if graph.quantized or any(tensor.quantized for tensor in graph.tensors.values()):
        raise GraphError(f"{graph.name}: the graph is int8 already; calibrate takes a float graph")
    if ranges not in (None, "full", "fitted"):
        raise ValueError(f"ranges must be 'full' or 'fitted', not {ranges!r}")
    samples = np.asarray(batch)
    if samples.dtype.kind != "f":
        raise ValueError(f"batch must be float, not {samples.dtype}")
    if samples.ndim > 0 and len(samples) == 0:
        raise ValueError("batch must have at least one sample, not 0")
    if not np.isfinite(samples).all():
        raise ValueError("batch must be finite, and it holds NaN or infinity")
    if any(node.op in QUANTIZERS for node in verify(graph).nodes):
        quantize_input(graph, samples)
        return settle(graph, observe(graph, samples, False))
    graph = clamps_first(use_means(fold_affine(graph)))
    quantize_input(graph, samples)  # which says what is wrong with its shape
    if ranges is None:
        convolutions = any(node.op in _CONVOLUTIONS for node in graph.nodes)
        ranges = "fitted" if convolutions else "full"
    return Quantizer(graph, observe(graph, samples, ranges == "fitted"), per_channel).graph()


def clamps_first(graph: Graph) -> Graph:
    """``reshape -> relu`` becomes ``relu -> reshape``, so that relu stands behind its layer."""
    position = 1
    nodes, tensors = list(graph.nodes), dict(graph.tensors)
    while position < len(nodes):
        node = nodes[position]
        before = next((n for n in range(position) if nodes[n].output == node.inputs[0]), None)
        alone = sum(node.inputs[0] in other.inputs for other in nodes) == 1
        if (
            node.op not in CLAMPS
            or before is None
            or nodes[before].op != "reshape"
            or not alone
            or node.inputs[0] in graph.outputs
        ):
            position += 1
            continue
        shaping = nodes[before]
        shape = tensors[shaping.inputs[0]].shape
        tensors[shaping.output] = replace(tensors[shaping.output], shape=shape)
        nodes[before] = replace(node, inputs=shaping.inputs, output=shaping.output)
        nodes[position] = replace(shaping, inputs=(shaping.output,), output=node.output)
        position = max(1, before)
    return verify(replace(graph, nodes=tuple(nodes), tensors=tensors))
