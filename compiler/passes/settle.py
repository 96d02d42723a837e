"""Float graphs whose layers stand between quantizers to int8 graphs that compute the same."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from prunus.sim.ops import accumulator_range

from ..ir import Array, Graph, GraphError, Node, Tensor, verify
from ..staircase import Requantization, fit, steps
from .levels import Held, Levels, Open, Pair, Sums, levels_of, nearest, opened, over, upward
from .quantizer import grid

__all__ = ["QUANTIZERS", "settle", "settles"]

QUANTIZERS = ("fake_quantize", "binarize")
_INT8 = {"dense": "fully_connected", "convolution": "conv_2d",
         "depthwise_convolution": "depthwise_conv_2d"}  # fmt: skip
_KEEPING = ("reshape", "max_pool_2d", "pad", "concatenation")
_ONE = {"multiplier": 1 << 30, "shift": 1}  # a multiplication by 1
_TINY = 2.0**-20  # a step of an input of which only the sign counts
_FACTORS = (1, 2, 4, 16)  # weights may be so many times as large


def settles(graph: Graph) -> bool:
    """Whether :func:`settle` needs no ranges: a quantizer is the first to see the input."""
    names = set(graph.inputs)
    for node in graph.nodes:
        if node.inputs[0] in names:
            if node.op in ("reshape", "affine", "relu", "clip"):
                names.add(node.output)
            elif node.op not in QUANTIZERS:
                return False
    return True


def settle(graph: Graph, ranges: Mapping[str, tuple[float, float]] | None = None) -> Graph:
    """``quantizer -> layer -> [affine | relu | clip]* -> quantizer`` becomes one int8 layer.

    Its requantization has every step where the quantizer has it, as far as 31 bits can express
    that; else, as where halves are rounded to even numbers, it rounds halves up. A layer at the
    end gets the scale that its largest sums need. Affine nodes in front of the first quantizer go
    into the input's scale; where they do not fit there, into a table. Quantizers of what is int8
    already become tables.

    The attribute ``weight_scales`` of a layer has the scales of its weights, one or one for each
    output; ``ranges`` those of an input without a quantizer, and of outputs.

    Needs: a float graph with quantizers. Keeps: the function, at the sums' precision.

    Raises
    ------
    GraphError
        An operator stands where the gates have none for it; begins with the node's name.
    """
    return _Settler(graph, ranges or {}).graph()


class _Settler:
    """The int8 tensors and nodes of one graph, as they are made."""

    def __init__(self, source: Graph, ranges: Mapping[str, tuple[float, float]]):
        self.source = source
        self.ranges = ranges
        self.values: dict[str, Held | Open] = {}
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []

    def graph(self) -> Graph:
        """The int8 graph."""
        (name,) = self.source.inputs
        tensor = self.source.tensors[name]
        if settles(self.source):
            self.values[name] = opened(None, name, tensor.shape, 1.0, 0.0, 1)
        elif name in self.ranges:
            self.values[name] = self.hold(tensor, *grid(*self.ranges[name]))
        else:
            raise GraphError(f"{name}: the input has no quantizer; calibrate with samples")
        for node in self.source.nodes:
            _SETTLE.get(node.op, _Settler.refuse)(self, node)
        for output in self.source.outputs:
            if self.close(output).offset:
                raise GraphError(f"{output}: an output must not be binary")
        result = replace(self.source, tensors=self.tensors, nodes=tuple(self.nodes))
        return verify(result.with_nodes(result.nodes))

    def hold(self, like: Tensor, scale: float, zero: int, offset: float = 0.0,
             span: Pair = (-128, 127)) -> Held:  # fmt: skip
        """Make an int8 tensor."""
        tensor = replace(like, scale=scale, zero_point=zero)
        self.tensors[tensor.name] = tensor
        return Held(tensor, offset, span)

    def refuse(self, node: Node) -> None:
        """An operator that only graphs without quantizers may have."""
        raise GraphError(
            f"{node.name}: {node.op} is not supported beside quantizers; supported are "
            f"{', '.join(sorted(_SETTLE))}"
        )

    def held(self, node: Node, position: int = 0) -> Held:
        """An input that must be int8."""
        value = self.values[node.inputs[position]]
        if isinstance(value, Open):
            raise GraphError(
                f"{node.name}: its input is not quantized; a quantizer must stand in front of "
                f"{node.op}"
            )
        return value

    def layer(self, node: Node) -> None:
        """Dense layers and convolutions: integer sums."""
        before = self.held(node)
        weight = node.consts["weight"].astype(np.float64)
        rows = np.moveaxis(weight, 3, 0) if node.op == "depthwise_convolution" else weight
        given = node.attrs.get("weight_scales")
        if given is None:
            raise GraphError(f"{node.name}: its weights are not quantized; put a quantizer there")
        scales = np.broadcast_to(np.array(given), (len(rows),))
        levels = rows / over(scales, rows)
        integers = np.rint(levels)
        if np.abs(levels - integers).max() > 1e-3 or np.abs(integers).max() > 127:
            raise GraphError(f"{node.name}: its weights are not int8 steps of their scale")
        if before.offset and any(node.attrs.get("padding", ())):
            raise GraphError(f"{node.name}: pads with zeros what has no level of zero")
        added = before.offset * scales * integers.reshape(len(rows), -1).sum(axis=1)
        self.values[node.output] = opened(
            Sums(node, before, integers.astype(np.int64)), node.output,
            self.source.tensors[node.output].shape, before.scale * scales,
            added + node.consts["bias"], len(rows),
        )  # fmt: skip

    def opened(self, node: Node) -> Open:
        """An input of an operator on each value, not int8 yet."""
        value = self.values[node.inputs[0]]
        if isinstance(value, Open):
            return value
        start = value.offset - value.zero * value.scale
        return opened(None, value.tensor.name, value.tensor.shape, value.scale, start, 1)

    def affine(self, node: Node) -> None:
        """A scale and an offset for each channel."""
        value = self.opened(node)
        channels = []
        for key in ("scale", "offset"):
            flat = node.consts[key].astype(np.float64).reshape(-1, node.consts[key].shape[-1])
            if value.layer is None and (flat != flat[0, 0]).any():
                raise GraphError(f"{node.name}: {key} must be one number where no layer precedes")
            if (flat != flat[0]).any():
                raise GraphError(f"{node.name}: {key} must be one number for each channel")
            channels.append(flat[0] if value.layer else flat[0, :1])
        scale, offset = channels
        # What is multiplied by 0 has no bounds: there is nothing left to clamp.
        factor = np.where(scale == 0, np.nan, scale)
        ends = [bound * factor + offset for bound in (value.low, value.high)]
        self.values[node.output] = replace(
            value, slope=value.slope * scale, offset=value.offset * scale + offset,
            low=np.nan_to_num(np.minimum(*ends), nan=-np.inf, posinf=np.inf, neginf=-np.inf),
            high=np.nan_to_num(np.maximum(*ends), nan=np.inf, posinf=np.inf, neginf=-np.inf),
        )  # fmt: skip

    def clamp(self, node: Node) -> None:
        """relu and clip."""
        value = self.opened(node)
        low = node.attrs["lo"] if node.op == "clip" else 0.0
        high = node.attrs["hi"] if node.op == "clip" else np.inf
        self.values[node.output] = replace(
            value, low=np.clip(value.low, low, high), high=np.clip(value.high, low, high)
        )

    def keep(self, node: Node) -> None:
        """Operators that keep scale and zero point."""
        value, target = self.values[node.inputs[0]], self.source.tensors[node.output]
        if node.op == "reshape" and isinstance(value, Open) and value.layer is None:
            self.values[node.output] = replace(value, shape=target.shape)
            return
        first, *others = (self.held(node, n) for n in range(len(node.inputs)))
        if any((v.scale, v.zero, v.offset) != (first.scale, first.zero, first.offset)
               for v in others):  # fmt: skip
            raise GraphError(f"{node.name}: its inputs must have one scale and zero point")
        if node.op == "pad" and first.offset:
            raise GraphError(f"{node.name}: pads with zeros what has no level of zero")
        spans = [value.span for value in (first, *others)]
        span = (min(span[0] for span in spans), max(span[1] for span in spans))
        if node.op == "pad":
            span = min(span[0], first.zero), max(span[1], first.zero)
        self.values[node.output] = self.hold(target, first.scale, first.zero, first.offset, span)
        names = tuple(value.tensor.name for value in (first, *others))
        clamp = {"clamp": (-128, 127)} if node.op == "max_pool_2d" else {}
        self.nodes.append(replace(node, inputs=names, attrs={**node.attrs, **clamp}))

    def quantizer(self, node: Node) -> None:
        """A quantizer: of a layer's sums, of the input, or of an int8 tensor."""
        value, levels = self.opened(node), levels_of(node)
        reached = {levels.within(*ends) for ends in zip(value.low, value.high, strict=True)}
        if len(reached) > 1:
            raise GraphError(f"{node.name}: the clamps in front of it differ by channel")
        (clamp,) = reached
        target = self.source.tensors[node.output]
        if value.layer is None and value.source in self.source.inputs:
            if value.source not in self.tensors:
                self.values[node.output] = self.enter(node, value, levels, clamp)
                return
            if isinstance(self.values[value.source], Open):
                raise GraphError(f"{node.name}: the input has another quantizer already")
        span = (clamp[0] + levels.zero, clamp[1] + levels.zero)
        made = self.hold(target, levels.scale, levels.zero, levels.offset, span)
        self.values[node.output] = made
        if value.layer is None:
            self.table(node, value, levels, clamp)
            return
        self.append(value.layer, made, *self.stairs(value, value.layer, levels, clamp))

    def stairs(
        self, value: Open, layer: Sums, levels: Levels, clamp: Pair
    ) -> tuple[Array, list[Requantization]]:
        """Weights and requantization with every step of each channel at the right sum."""
        weight, flips = upward(layer.weight, value.slope)
        wanted = np.arange(clamp[0] + 1, clamp[1] + 1)
        spans = np.stack(layer.span(weight), axis=1)
        stairs = []
        for channel, (flip, span) in enumerate(zip(flips, spans.tolist(), strict=True)):
            real, start = value.slope[channel] * flip, value.offset[channel]
            ends = np.clip(levels.count(real * np.array(span) + start), *clamp).tolist()
            if ends[0] == ends[1]:  # the same level, whatever the input is
                weight[channel], spans[channel] = 0, 0
                stairs.append((wanted[:0], 1.0, float(ends[0])))
                continue

            def exact(sums: Array, real: float = real, start: float = start) -> Array:
                return levels.count(real * sums + start)

            slope, offset = real / levels.scale, (start - levels.offset) / levels.scale
            stairs.append((steps(exact, slope, offset, wanted), slope, offset))
        best: tuple[int, list[Requantization]] = (0, [])
        largest = max(1, int(np.abs(weight).max()))
        for factor in (*(f for f in _FACTORS if f * largest < 127), 127 // largest):
            found = [
                fit(at, wanted[: len(at)], slope, offset, (low, high), factor)
                for (at, slope, offset), (low, high) in zip(stairs, spans.tolist(), strict=True)
            ]
            if not best[1] or sum(r.exact for r in found) > sum(r.exact for r in best[1]):
                best = factor, found
            if all(r.exact for r in found):
                break
        return weight * best[0], best[1]

    def append(self, layer: Sums, made: Held, weight: Array, found: list[Requantization]) -> None:
        """The int8 layer."""
        node, before = layer.node, layer.before
        bias = np.array([r.bias for r in found], np.int64)
        low, high = accumulator_range(weight.reshape(len(weight), -1), bias, before.zero)
        if low.min() < -(1 << 31) or high.max() >= 1 << 31:
            raise GraphError(f"{node.name}: its accumulators can overflow int32")
        if node.op == "depthwise_convolution":
            weight = np.moveaxis(weight, 0, 3)
        consts: dict[str, Array] = {
            "weight": np.ascontiguousarray(weight, np.int8),
            "bias": bias.astype(np.int32),
            "multiplier": np.array([r.multiplier for r in found], np.int64),
            "shift": np.array([r.shift for r in found], np.int64),
        }
        attrs = {key: value for key, value in node.attrs.items() if key != "weight_scales"}
        attrs |= {"rounding": "single", "clamp": made.span}
        source, target = (before.tensor.name,), made.tensor.name
        self.nodes.append(Node(node.name, _INT8[node.op], source, target, attrs, consts))

    def enter(self, node: Node, value: Open, levels: Levels, clamp: Pair) -> Held:
        """The network's input: a scale with which the quantizer is a clamp, or else a table."""
        source, target = self.source.tensors[value.source], self.source.tensors[node.output]
        slope, offset = float(value.slope[0]), float(value.offset[0])
        scale, moved = levels.scale / slope, offset / levels.scale
        if node.op == "binarize":  # half a step is where halves go up
            threshold = -offset / slope
            scale, moved = max(2 * abs(threshold), _TINY), float(threshold <= 0)
        step = round(moved)
        first, last = clamp[0] - step, clamp[1] - step  # steps of the input itself
        zero = levels.zero
        if not -128 <= first + zero <= last + zero <= 127:
            zero = -128 - first
        same = slope > 0 and abs(moved - step) < 1e-6 and -128 <= zero <= 127
        if same and (step == 0 or not self.padded(node.output)):
            self.hold(source, float(np.float32(scale)), zero)
            span = (first + zero, last + zero)
            made = self.hold(target, levels.scale, zero, levels.offset + step * levels.scale, span)
            attrs = {**_ONE, "clamp": span}
            before = self.shaped(node, source, value.shape)
            self.nodes.append(Node(node.name, "rescale", (before,), node.output, attrs))
            return made
        if not slope:
            raise GraphError(f"{node.name}: the input is multiplied by 0")
        ends = [(end * levels.scale + levels.offset - offset) / slope
                for end in (clamp[0] - 1, clamp[1] + 1)]  # fmt: skip
        steps_of = (float(np.float32(scale)), zero) if same else grid(min(ends), max(ends))
        fine = self.hold(source, *steps_of)
        made = self.hold(
            target, levels.scale, levels.zero, levels.offset,
            (clamp[0] + levels.zero, clamp[1] + levels.zero),
        )  # fmt: skip
        before = self.shaped(node, source, value.shape)
        bytes_ = replace(
            value, source=before, slope=value.slope * fine.scale,
            offset=value.offset - value.slope * fine.scale * fine.zero,
        )  # fmt: skip
        self.table(node, bytes_, levels, clamp)
        return made

    def padded(self, name: str) -> bool:
        """Whether a layer, or what keeps levels in front of one, puts zeros around a tensor."""
        names = {name}
        for node in self.source.nodes:
            if not names.isdisjoint(node.inputs):
                if node.op == "pad" or (node.op in _INT8 and any(node.attrs.get("padding", ()))):
                    return True
                if node.op in _KEEPING:
                    names.add(node.output)
        return False

    def shaped(self, node: Node, source: Tensor, shape: tuple[int, ...]) -> str:
        """The input's tensor in the shape that its quantizer has."""
        held = self.tensors[source.name]
        if held.shape == shape:
            return held.name
        name = f"{source.name}/{node.name}"
        self.tensors[name] = replace(held, name=name, shape=shape)
        self.nodes.append(Node(f"{node.name}_reshape", "reshape", (held.name,), name))
        return name

    def table(self, node: Node, value: Open, levels: Levels, clamp: Pair) -> None:
        """A quantizer of an int8 tensor."""
        real = value.slope[0] * np.arange(-128, 128) + value.offset[0]
        real = np.clip(real, value.low[0], value.high[0])
        table = np.clip(levels.count(real), *clamp) + levels.zero
        consts = {"table": table.astype(np.int8)}
        self.nodes.append(Node(node.name, "lut", (value.source,), node.output, {}, consts))

    def close(self, name: str) -> Held:
        """An output of a layer without a quantizer: a scale of its own."""
        value = self.values[name]
        if isinstance(value, Held):
            return value
        if value.layer is None:
            raise GraphError(f"{name}: a layer or a quantizer must be the last, for int8 outputs")
        weight, flips = upward(value.layer.weight, value.slope)
        slope = np.maximum(value.slope * flips, 2.0**-60)
        spans = value.layer.span(weight)
        low, high = (np.clip(slope * span + value.offset, value.low, value.high) for span in spans)
        scale, zero = grid(float(low.min()), float(high.max()))
        if name in self.ranges:
            scale, zero = grid(*self.ranges[name])
        elif (slope == slope[0]).all() and scale <= slope[0]:
            # A whole number of steps for each sum: so the outputs lose nothing.
            scale = float(slope[0]) / int(slope[0] / scale)
            zero = int(np.clip(np.rint(-128 - min(0.0, float(low.min())) / scale), -128, 127))
        levels = Levels(nearest(scale), scale, 0.0, -128 - zero, 127 - zero, zero)
        first, last = levels.within(float(value.low.min()), float(value.high.max()))
        span = (first + zero, last + zero)
        made = self.values[name] = self.hold(self.source.tensors[name], scale, zero, span=span)
        factor = 127 // max(1, int(np.abs(weight).max()))
        nothing = np.zeros(0, np.int64)
        found = [
            fit(nothing, nothing, a / scale, b / scale, (0, 0), factor)
            for a, b in zip(slope.tolist(), value.offset.tolist(), strict=True)
        ]
        self.append(value.layer, made, weight * factor, found)
        return made

    def closing(self, node: Node) -> None:
        """Softmax and logistic, on the host."""
        before = self.close(node.inputs[0])
        if before.offset:
            raise GraphError(f"{node.name}: {node.op} must not be of what is binary")
        self.values[node.output] = self.hold(self.source.tensors[node.output], 1 / 256, -128)
        self.nodes.append(node)


_SETTLE: dict[str, Callable[[_Settler, Node], None]] = {
    **dict.fromkeys(_INT8, _Settler.layer),
    **dict.fromkeys(("relu", "clip"), _Settler.clamp),
    **dict.fromkeys(_KEEPING, _Settler.keep),
    **dict.fromkeys(("softmax", "logistic"), _Settler.closing),
    **dict.fromkeys(QUANTIZERS, _Settler.quantizer),
    "affine": _Settler.affine,
}
