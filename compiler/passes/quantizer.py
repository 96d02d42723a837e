"""Float graphs to int8, once it is known what range or grid each tensor has."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from prunus.sim.ops import accumulator_range, quantize_multiplier, round_away
from prunus.sim.ops_join import add_parameters, tabulate
from prunus.sim.ops_pool import mean_parameters

from ..ir import OPS, Array, Graph, GraphError, Node, Tensor, verify

__all__ = ["CLAMPS", "Quantizer", "grid"]

CLAMPS = ("relu", "clip")
_INT8 = {"dense": "fully_connected", "convolution": "conv_2d",
         "depthwise_convolution": "depthwise_conv_2d"}  # fmt: skip
_KEEPING = ("reshape", "pad", "max_pool_2d", "average_pool_2d")
_LIMIT = 1 << 31


class Quantizer:
    """The int8 tensors and nodes of one float graph, as they are made.

    ``ranges`` has the smallest and the largest value of each tensor, ``grids`` the scale and zero
    point of tensors where they are given, ``weight_scales`` those of layers where they are given.
    """

    def __init__(
        self,
        source: Graph,
        ranges: Mapping[str, tuple[float, float]],
        per_channel: bool,
        grids: Mapping[str, tuple[float, int]] | None = None,
        weight_scales: Mapping[str, Array] | None = None,
    ):
        self.source = source
        self.ranges = ranges
        self.per_channel = per_channel
        self.grids = dict(grids or {})
        self.weight_scales = dict(weight_scales or {})
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.fused = set[str]()  # relu and clip nodes that are clamps of the node before them
        self.joined = _joined(source)

    def graph(self) -> Graph:
        """The int8 graph."""
        for name in self.source.inputs:
            self.ranged(name)
        for node in self.source.nodes:
            if node.op in _INT8:
                self.layer(node)
            elif node.name not in self.fused:
                _QUANTIZE[node.op](self, node)
        result = replace(self.source, tensors=self.tensors, nodes=tuple(self.nodes))
        return verify(result)

    def ranged(self, name: str) -> tuple[Tensor, float, int]:
        """Make a tensor int8, with the grid that it is given or the range of its values."""
        leader = self.joined.get(name, name)
        if name in self.grids:
            scale, zero_point = self.grids[name]
        elif leader in self.ranges:
            scale, zero_point = grid(*self.ranges[leader])
        else:
            raise GraphError(f"{name}: the tensor has no scale and zero point")
        tensor = replace(self.source.tensors[name], scale=scale, zero_point=zero_point)
        self.tensors[name] = tensor
        return tensor, scale, zero_point

    def before(self, node: Node, position: int = 0) -> tuple[Tensor, float, int]:
        """An input of a node with its grid."""
        tensor = self.tensors[node.inputs[position]]
        assert tensor.scale is not None and tensor.zero_point is not None
        return tensor, tensor.scale, tensor.zero_point

    def layer(self, node: Node) -> None:
        """A layer with weights, and the clamps behind it."""
        _, in_scale, in_zero = self.before(node)
        output, low, high = self.clamped(node)
        after, out_scale, out_zero = self.ranged(output)
        weight = node.consts["weight"].astype(np.float64)
        bias = node.consts["bias"].astype(np.float64)
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise GraphError(f"{node.name}: a weight or a bias is not finite")
        separate = node.op == "depthwise_convolution"
        rows = (np.moveaxis(weight, 3, 0) if separate else weight).reshape(len(bias), -1)
        least = out_scale / in_scale * 2.0**-30  # what the multiplier and shift can express
        per_channel = self.per_channel or node.op != "dense"
        scales = self.weight_scales.get(node.name)
        if scales is None:
            scales = _weight_scales(rows, bias / in_scale, least, per_channel)
        else:
            steps = rows / scales[:, None]
            if np.abs(steps - round_away(steps)).max() > 1e-3 or np.abs(steps).max() > 128:
                raise GraphError(f"{node.name}: its weights are not int8 steps of their scale")
        pairs = []
        for scale in scales.tolist():
            try:
                pairs.append(quantize_multiplier(in_scale * scale / out_scale))
            except ValueError as error:
                raise GraphError(
                    f"{node.name}: input x weight / output {error}; calibrate with samples that "
                    "reach its outputs"
                ) from error
        lowest_weight = -127 if node.name not in self.weight_scales else -128
        matrix = np.clip(round_away(rows / scales[:, None]), lowest_weight, 127).astype(np.int8)
        offset = round_away(bias / (in_scale * scales))
        if np.abs(offset).max(initial=0) >= _LIMIT:
            raise GraphError(f"{node.name}: its bias can overflow int32")
        if separate:
            shaped = np.moveaxis(matrix.reshape(len(bias), *weight.shape[:3]), 0, 3)
        else:
            shaped = matrix.reshape(weight.shape)
        consts: dict[str, Array] = {
            "weight": np.ascontiguousarray(shaped),
            "bias": offset.astype(np.int32),
            "multiplier": np.array([q for q, _ in pairs], np.int64),
            "shift": np.array([s for _, s in pairs], np.int64),
        }
        lowest, highest = accumulator_range(matrix, consts["bias"], in_zero)
        left = 0 if node.op == "dense" else np.maximum(consts["shift"], 0)
        if (lowest << left).min() < -_LIMIT or (highest << left).max() >= _LIMIT:
            raise GraphError(f"{node.name}: its accumulators can overflow int32")
        rounding = "single" if node.op == "dense" else "double"
        attrs = {**node.attrs, "rounding": rounding, "clamp": _steps(after, low, high)}
        self.nodes.append(Node(node.name, _INT8[node.op], node.inputs, after.name, attrs, consts))

    def clamped(self, node: Node) -> tuple[str, float, float]:
        """The last tensor of the relu and clip nodes behind a node, and their bounds together."""
        low, high = -math.inf, math.inf
        output = node.output
        while output not in self.source.outputs:
            followers = self.source.consumers(output)
            if len(followers) != 1 or followers[0].op not in CLAMPS:
                break
            lo, hi = _bounds(followers[0])
            low, high = min(max(low, lo), hi), min(max(high, lo), hi)
            output = followers[0].output
            self.fused.add(followers[0].name)
        return output, low, high

    def keep(self, node: Node) -> None:
        """Operators that keep scale and zero point."""
        before, in_scale, in_zero = self.before(node)
        attrs, output = dict(node.attrs), node.output
        if node.op.endswith("pool_2d"):
            output, low, high = self.clamped(node)
            attrs["clamp"] = _steps(before, low, high)
        shape = self.source.tensors[node.output].shape
        after = replace(before, name=output, shape=shape)
        other = output in self.grids and self.grids[output] != (in_scale, in_zero)
        if other:  # the operator itself cannot change the scale
            after = replace(after, name=f"{output}/{node.name}")
        self.tensors[after.name] = after
        self.nodes.append(replace(node, output=after.name, attrs=attrs))
        if other:
            target, _, _ = self.ranged(output)
            self.rescale(f"{node.name}_rescale", after.name, target, in_scale, (-128, 127))

    def mean(self, node: Node) -> None:
        """The mean over space, with a scale of its own."""
        before, in_scale, _ = self.before(node)
        after, out_scale, _ = self.ranged(node.output)
        pair = _ratio(node, in_scale / out_scale)
        multiplier, shift = mean_parameters(*pair, before.shape[0] * before.shape[1])
        attrs = {"multiplier": multiplier, "shift": shift}
        self.nodes.append(replace(node, attrs=attrs, output=after.name))

    def add(self, node: Node) -> None:
        """A residual: both scales are brought to that of the sum."""
        output, low, high = self.clamped(node)
        after, out_scale, _ = self.ranged(output)
        (_, first, _), (_, second, _) = self.before(node, 0), self.before(node, 1)
        try:
            p = add_parameters(first, second, out_scale)
        except ValueError as error:
            raise GraphError(f"{node.name}: input / output {error}") from error
        attrs = {
            "left_shift": p.left_shift,
            "multipliers": p.multipliers,
            "shifts": p.shifts,
            "multiplier": p.multiplier,
            "shift": p.shift,
            "clamp": _steps(after, low, high),
        }
        self.nodes.append(replace(node, attrs=attrs, output=output))

    def concatenation(self, node: Node) -> None:
        """Inputs that have another scale than the output get a change of scale in front."""
        after, scale, zero_point = self.ranged(node.output)
        names = []
        for position, name in enumerate(node.inputs):
            before, in_scale, in_zero = self.before(node, position)
            if (in_scale, in_zero) != (scale, zero_point):
                label = f"{node.name}_rescale{position}"
                before = replace(before, name=f"{name}/{label}", scale=scale, zero_point=zero_point)
                self.tensors[before.name] = before
                self.rescale(label, name, before, in_scale, (-128, 127))
            names.append(before.name)
        self.nodes.append(replace(node, inputs=tuple(names), output=after.name))

    def rescale(
        self, label: str, source: str, after: Tensor, in_scale: float, clamp: tuple[int, int]
    ) -> None:
        """Append a change of scale."""
        assert after.scale is not None
        node = Node(label, "rescale", (source,), after.name)
        multiplier, shift = _ratio(node, in_scale / after.scale)
        attrs = {"multiplier": multiplier, "shift": shift, "clamp": clamp}
        self.nodes.append(replace(node, attrs=attrs))

    def pointwise(self, node: Node) -> None:
        """A relu or clip that is no clamp of the node before it."""
        producer = self.source.producer(node.inputs[0])
        if producer is None or producer.op == "dense":
            raise GraphError(
                f"{node.name}: {node.op} must follow a dense layer that nothing else uses, or an "
                "operator on images"
            )
        _, in_scale, _ = self.before(node)
        after, _, _ = self.ranged(node.output)
        low, high = _bounds(node)
        self.rescale(node.name, node.inputs[0], after, in_scale, _steps(after, low, high))

    def tanh(self, node: Node) -> None:
        """A table of all values, with the scale 1/128 as TFLite has it."""
        before, scale, zero_point = self.before(node)
        given = self.grids.get(node.output, (1 / 128, 0))
        after = Tensor(node.output, before.shape, *given)
        self.tensors[after.name] = after
        table = tabulate(np.tanh, scale, zero_point, *given).astype(np.int8)
        self.nodes.append(replace(node, op="lut", consts={"table": table}))

    def closing(self, node: Node) -> None:
        """Softmax and logistic have one scale and zero point."""
        before, _, _ = self.before(node)
        self.tensors[node.output] = Tensor(node.output, before.shape, 1 / 256, -128)
        self.nodes.append(node)


_QUANTIZE: dict[str, Callable[[Quantizer, Node], None]] = {
    **dict.fromkeys(_KEEPING, Quantizer.keep),
    **dict.fromkeys(CLAMPS, Quantizer.pointwise),
    "add": Quantizer.add,
    "concatenation": Quantizer.concatenation,
    "logistic": Quantizer.closing,
    "mean": Quantizer.mean,
    "softmax": Quantizer.closing,
    "tanh": Quantizer.tanh,
}


def _joined(graph: Graph) -> dict[str, str]:
    """For tensors that only a concatenation sees: the tensor whose range they take.

    So a layer in front of a concatenation gives its scale at once, without a change of scale.
    """
    leaders: dict[str, str] = {}
    for node in reversed(graph.nodes):
        leader = leaders.get(node.output, node.output)
        keeping = node.op in ("reshape", "pad", "max_pool_2d", *CLAMPS)
        if node.op == "concatenation" or (keeping and node.output in leaders):
            for name in node.inputs:
                producer = graph.producer(name)
                alone = len(graph.consumers(name)) == 1 and name not in graph.outputs
                if alone and producer is not None and not OPS[producer.op].host:
                    leaders[name] = leader
    return leaders


def _bounds(node: Node) -> tuple[float, float]:
    return (node.attrs["lo"], node.attrs["hi"]) if node.op == "clip" else (0.0, math.inf)


def _steps(tensor: Tensor, low: float, high: float) -> tuple[int, int]:
    """Real bounds as int8 values of a tensor."""
    assert tensor.scale is not None and tensor.zero_point is not None
    first, last = (
        int(np.clip(round_away(bound / tensor.scale) + tensor.zero_point, -128, 127))
        for bound in (low, high)
    )
    return first, last


def _ratio(node: Node, real: float) -> tuple[int, int]:
    try:
        multiplier, shift = quantize_multiplier(real)
    except ValueError as error:
        raise GraphError(f"{node.name}: input / output {error}") from error
    if shift > 22:  # 255 steps of the input, scaled up
        raise GraphError(f"{node.name}: input / output scale must be below 2**22, not {real!r}")
    return multiplier, shift


def grid(lowest: float, highest: float) -> tuple[float, int]:
    """Scale and zero point of a range: zero is exact, the ends are within half a step."""
    low, high = min(lowest, 0.0), max(highest, 0.0)
    if not high - low < float(np.finfo(np.float32).max):
        raise ValueError(f"batch must keep every layer within float32, not {low!r} to {high!r}")
    scale = float(np.float32((high - low) / 255))
    if scale < 1e-30:  # nothing but zeros: any scale will do
        return 1.0, 0
    return scale, int(np.clip(round_away(-128 - low / scale), -128, 127))


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
