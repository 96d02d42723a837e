"""Float graphs to int8, with the ranges that a batch of samples shows."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from prunus.sim.ops import accumulator_range, quantize_multiplier

from ..evaluate import run
from ..ir import Array, Graph, GraphError, Node, Tensor, verify
from .fold_affine import fold_affine

__all__ = ["calibrate"]

_CLAMPS = ("relu", "clip")
_SOFT = {"softmax", "logistic"}


def calibrate(graph: Graph, batch: ArrayLike, *, per_channel: bool = False) -> Graph:
    """``dense [-> relu | clip]*`` becomes fully_connected; the input and the output become int8.

    As TFLite's converter does it: activations have a scale and a zero point from the smallest and
    the largest value in ``batch`` (samples, *shape), zero included; weights are symmetric with
    one scale for the layer, or one for each output; biases are int32 of scale input x weight.

    Needs: a float graph. Keeps: zero weights, and how many distinct ones a layer has at most.

    Raises
    ------
    ValueError
        The batch is empty, not float, not finite, or of the wrong shape.
    GraphError
        An operator cannot be brought to int8; begins with the node's name.
    """
    layers = [node for node in graph.nodes if node.op in ("fully_connected", "quantize")]
    if layers or any(tensor.quantized for tensor in graph.tensors.values()):
        raise GraphError(f"{graph.name}: the graph is int8 already; calibrate takes a float graph")
    samples = np.asarray(batch)
    if samples.dtype.kind != "f":
        raise ValueError(f"batch must be float, not {samples.dtype}")
    if samples.ndim > 0 and len(samples) == 0:
        raise ValueError("batch must have at least one sample, not 0")
    if not np.isfinite(samples).all():
        raise ValueError("batch must be finite, and it holds NaN or infinity")
    graph = _clamps_first(fold_affine(verify(graph)))
    return _Calibration(graph, run(graph, samples), per_channel).graph()


class _Calibration:
    """The int8 tensors and nodes of one graph, as they are made."""

    def __init__(self, graph: Graph, values: dict[str, Array], per_channel: bool):
        self.source = graph
        self.values = values
        self.per_channel = per_channel
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.fused = set[str]()  # relu and clip nodes that are clamps of the layer before them

    def graph(self) -> Graph:
        source = self.source
        for name in source.inputs:
            self.ranged(name)
        for node in source.nodes:
            if node.op == "dense":
                self.dense(node)
            elif node.op in _CLAMPS:
                if node.name not in self.fused:
                    raise GraphError(
                        f"{node.name}: {node.op} must follow a dense layer that nothing else uses"
                    )
            else:
                before = self.tensors[node.inputs[0]]
                shape = source.tensors[node.output].shape
                after = replace(before, name=node.output, shape=shape)
                if node.op in _SOFT:
                    after = Tensor(node.output, before.shape, 1 / 256, -128)
                self.tensors[after.name] = after
                self.nodes.append(node)
        result = replace(source, tensors=self.tensors, nodes=tuple(self.nodes))
        return verify(result)

    def ranged(self, name: str) -> tuple[Tensor, float, int]:
        """Make a tensor int8, with the range of its values."""
        scale, zero_point = _range(self.values[name])
        tensor = replace(self.source.tensors[name], scale=scale, zero_point=zero_point)
        self.tensors[name] = tensor
        return tensor, scale, zero_point

    def dense(self, node: Node) -> None:
        before = self.tensors[node.inputs[0]]
        assert before.scale is not None and before.zero_point is not None
        output, low, high = self.clamped(node)
        after, out_scale, out_zero = self.ranged(output)
        weight = node.consts["weight"].astype(np.float64)
        bias = node.consts["bias"].astype(np.float64)
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise GraphError(f"{node.name}: a weight or a bias is not finite")
        least = out_scale / before.scale * 2.0**-30  # what the multiplier and shift can express
        scales = _weight_scales(weight, bias / before.scale, least, self.per_channel)
        pairs = []
        for scale in scales.tolist():
            try:
                pairs.append(quantize_multiplier(before.scale * scale / out_scale))
            except ValueError as error:
                raise GraphError(
                    f"{node.name}: input x weight / output {error}; calibrate with samples that "
                    "reach its outputs"
                ) from error
        consts: dict[str, Array] = {
            "weight": np.clip(_round(weight / scales[:, None]), -127, 127).astype(np.int8),
            "bias": _round(bias / (before.scale * scales)).astype(np.int32),
            "multiplier": np.array([q for q, _ in pairs], np.int64),
            "shift": np.array([s for _, s in pairs], np.int64),
        }
        lowest, highest = accumulator_range(consts["weight"], consts["bias"], before.zero_point)
        if lowest.min() < -(1 << 31) or highest.max() >= 1 << 31:
            raise GraphError(f"{node.name}: its accumulators can overflow int32")
        clamp = tuple(
            int(np.clip(_round(bound / out_scale) + out_zero, -128, 127)) for bound in (low, high)
        )
        attrs = {"rounding": "single", "clamp": clamp}
        self.nodes.append(
            Node(node.name, "fully_connected", node.inputs, after.name, attrs, consts)
        )

    def clamped(self, node: Node) -> tuple[str, float, float]:
        """The last tensor of the relu and clip nodes behind a layer, and their bounds together."""
        low, high = -math.inf, math.inf
        output = node.output
        while output not in self.source.outputs:
            followers = self.source.consumers(output)
            if len(followers) != 1 or followers[0].op not in _CLAMPS:
                break
            attrs = followers[0].attrs
            lo, hi = (attrs["lo"], attrs["hi"]) if followers[0].op == "clip" else (0.0, math.inf)
            low, high = min(max(low, lo), hi), min(max(high, lo), hi)
            output = followers[0].output
            self.fused.add(followers[0].name)
        return output, low, high


def _clamps_first(graph: Graph) -> Graph:
    """``reshape -> relu`` becomes ``relu -> reshape``, so that relu stands behind its layer."""
    position = 1
    nodes, tensors = list(graph.nodes), dict(graph.tensors)
    while position < len(nodes):
        node = nodes[position]
        before = next((n for n in range(position) if nodes[n].output == node.inputs[0]), None)
        alone = sum(node.inputs[0] in other.inputs for other in nodes) == 1
        if (
            node.op not in _CLAMPS
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


def _range(values: Array) -> tuple[float, int]:
    """Scale and zero point of a tensor: zero is exact, the ends are within half a step."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if not high - low < float(np.finfo(np.float32).max):
        raise ValueError(f"batch must keep every layer within float32, not {low!r} to {high!r}")
    scale = float(np.float32((high - low) / 255))
    if scale < 1e-30:  # nothing but zeros: any scale will do
        return 1.0, 0
    return scale, int(np.clip(_round(-128 - low / scale), -128, 127))


def _weight_scales(weight: Array, bias: Array, least: float, per_channel: bool) -> Array:
    """A scale for each output, or one for all; large enough that the bias fits 31 bits.

    The bias comes divided by the scale of the input.
    """
    largest = np.abs(weight).max(axis=1) / 127
    scales = np.maximum(np.maximum(largest, np.abs(bias) / (1 << 30)), least)
    if not per_channel:
        scales = scales.max(keepdims=True)
    rounded: Array = scales.astype(np.float32).astype(np.float64)
    return rounded


def _round(x: Array | float) -> Array:
    """To the nearest, halves away from zero."""
    result: Array = np.copysign(np.floor(np.abs(x) + 0.5), x)
    return result
