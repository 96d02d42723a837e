"""TensorFlow Lite models: fully int8 ones, kept bit for bit, and float ones, to be calibrated."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prunus.sim.ops import accumulator_range

from ..ir import Array, Graph, GraphError, ModelError, Node, Tensor, live, verify
from ..rescale import exact_multiplier
from .flatbuffer import Model, Operator, RawTensor, read

__all__ = ["import_tflite", "parse"]

SUPPORTED = ("FULLY_CONNECTED", "RESHAPE", "SOFTMAX", "LOGISTIC", "QUANTIZE", "DEQUANTIZE")
_LARGEST = 1 << 31  # a flatbuffer's own limit
_ACTIVATIONS: dict[str, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


def import_tflite(path: str | Path) -> Graph:
    """The graph of a ``.tflite`` file.

    Raises
    ------
    ModelError
        One line that names the file and what in it cannot be taken.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise ModelError(f"{path}: no such file")
        if file.stat().st_size >= _LARGEST:
            raise ModelError(f"{path}: larger than a .tflite file can be (2 GB)")
        raw = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    return parse(raw, str(path))


def parse(raw: bytes, name: str) -> Graph:
    """The graph of the bytes of a ``.tflite`` file; ``name`` stands in messages."""
    if raw[4:8] != b"TFL3":
        raise ModelError(f"{name}: not a .tflite file (its identifier is {raw[4:8]!r})")
    try:
        model = read(raw)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    except (struct.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise ModelError(f"{name}: damaged: a table points outside the file") from None
    try:
        return _Importer(model, Path(name).stem or "model").graph()
    except (ModelError, GraphError) as error:
        raise ModelError(f"{name}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{name}: damaged: a value is out of its range") from error


@dataclass
class _Importer:
    """Collects the nodes of one model."""

    model: Model
    name: str

    def __post_init__(self) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}

    def graph(self) -> Graph:
        model = self.model
        self.refuse()
        source, target = self.activation(model.inputs[0]), self.activation(model.outputs[0])
        for operator in model.operators:
            _CONVERT[operator.code](self, operator)
        nodes = live(self.nodes, (target.name,))
        graph = Graph(self.name, (source.name,), (target.name,), self.tensors, nodes)
        return verify(graph.with_nodes(nodes))

    def refuse(self) -> None:
        """Name the first thing that rules the whole model out."""
        model = self.model
        for kind, numbers in (("input", model.inputs), ("output", model.outputs)):
            if len(numbers) != 1:
                raise ModelError(f"has {len(numbers)} {kind}s; one is supported")
            self.raw(numbers[0])
        for op in model.operators:
            tensors = [self.raw(number) for number in op.inputs if number >= 0]
            moving = [t for t in tensors if t.data is None]
            fixed = [t for t in tensors if t.data is not None]
            if op.code == "DEQUANTIZE" and fixed:
                raise ModelError(
                    f"{_at(op)}: {fixed[0].dtype} weights, dequantized at run time (tensor "
                    f"{_short(fixed[0])}); convert with full-integer quantization, or to float32"
                )
            if (
                op.code not in ("QUANTIZE", "DEQUANTIZE")
                and any(t.dtype == "FLOAT32" for t in moving)
                and any(t.dtype in ("INT8", "INT4", "UINT8") for t in fixed)
            ):
                raise ModelError(
                    f"{_at(op)}: float activations with int8 weights: dynamic-range quantization; "
                    "convert with full-integer quantization"
                )
        for op in model.operators:
            if op.code not in SUPPORTED:
                output = f" (tensor {_short(self.raw(op.outputs[0]))})" if op.outputs else ""
                raise ModelError(
                    f"{_at(op)}{output} is not supported; supported are {', '.join(SUPPORTED)}"
                )

    def raw(self, number: int) -> RawTensor:
        tensor = self.model.tensors.get(number)
        if tensor is None:
            raise ModelError(f"damaged: there is no tensor {number}")
        return tensor

    def activation(self, number: int) -> Tensor:
        """A tensor of the graph, checked: int8 with one scale, or float32."""
        raw = self.raw(number)
        where = f"tensor {_short(raw)}"
        if raw.data is not None:
            raise ModelError(f"{where} is constant, where an activation is needed")
        if raw.dtype not in ("INT8", "FLOAT32"):
            raise ModelError(f"{where} is {raw.dtype}; activations must be INT8 or FLOAT32")
        if len(raw.shape) < 2 or raw.shape[0] != 1:
            raise ModelError(f"{where} has shape {raw.shape}; the first axis must be a batch of 1")
        if any(size < 1 for size in (*raw.shape[1:], *map(abs, raw.signature[1:]))):
            raise ModelError(f"{where} has shape {raw.shape}; sizes must be fixed and positive")
        if any(size < 0 for size in raw.signature[1:]):
            raise ModelError(f"{where} has a dynamic shape {raw.signature}; sizes must be fixed")
        if raw.dtype == "FLOAT32":
            tensor = Tensor(raw.name, raw.shape[1:])
        else:
            if len(raw.scales) != 1 or len(raw.zero_points) != 1:
                raise ModelError(f"{where} is INT8 without one scale and zero point")
            if not -128 <= raw.zero_points[0] <= 127:
                raise ModelError(
                    f"{where} has zero point {raw.zero_points[0]}; it must be -128 to 127"
                )
            tensor = Tensor(raw.name, raw.shape[1:], raw.scales[0], raw.zero_points[0])
        if tensor.size > 1 << 26:
            raise ModelError(f"{where} has {tensor.size} elements, more than {1 << 26}")
        self.tensors[tensor.name] = tensor
        return tensor

    def pair(self, op: Operator) -> tuple[Tensor, Tensor]:
        """The activations in front of and behind an operator."""
        if not op.inputs or len(op.outputs) != 1 or op.inputs[0] < 0:
            raise ModelError(f"{_at(op)} must have an input and one output")
        return self.activation(op.inputs[0]), self.activation(op.outputs[0])

    def constant(self, op: Operator, position: int, role: str, dtype: str) -> RawTensor:
        raw = self.raw(op.inputs[position])
        if raw.data is None:
            raise ModelError(f"{_at(op)}: {role} {_short(raw)} must be constant")
        if raw.dtype != dtype:
            raise ModelError(f"{_at(op)}: {role} {_short(raw)} is {raw.dtype}, not {dtype}")
        return raw

    def reshaped(self, op: Operator, tensor: Tensor, role: str, size: int) -> Tensor:
        """A flat view of a tensor, of the same name when it is flat already."""
        if tensor.size != size:
            raise ModelError(
                f"{_at(op)}: {role} {_short(tensor)} has {tensor.size} values a sample for "
                f"{size} of the weights: a product for each row is not supported"
            )
        if len(tensor.shape) == 1:
            return tensor
        name = f"{tensor.name}/{_name(op)}_flat"
        flat = Tensor(name, (size,), tensor.scale, tensor.zero_point)
        self.tensors[name] = flat
        return flat

    def add(
        self,
        op: Operator,
        kind: str,
        before: Tensor,
        after: Tensor,
        suffix: str = "",
        **more: Mapping[str, Any],
    ) -> None:
        node = Node(_name(op) + suffix, kind, (before.name,), after.name, **more)
        self.nodes.append(node)

    def fully_connected(self, op: Operator) -> None:
        before, after = self.pair(op)
        if len(op.inputs) not in (2, 3):
            raise ModelError(f"{_at(op)} must have 2 or 3 inputs, not {len(op.inputs)}")
        if op.activation not in _ACTIVATIONS:
            raise ModelError(f"{_at(op)}: fused activation {op.activation} is not supported")
        if op.weights_format != "DEFAULT":
            raise ModelError(f"{_at(op)}: weights format {op.weights_format} is not supported")
        if before.quantized != after.quantized:
            raise ModelError(f"{_at(op)}: input and output must both be INT8 or both FLOAT32")
        weight = self.constant(op, 1, "weight", "INT8" if before.quantized else "FLOAT32")
        if len(weight.shape) != 2:
            raise ModelError(f"{_at(op)}: weight {_short(weight)} must have 2 axes")
        outputs, inputs = weight.shape
        bias = None
        if len(op.inputs) == 3 and op.inputs[2] >= 0:
            bias = self.constant(op, 2, "bias", "INT32" if before.quantized else "FLOAT32")
            if bias.shape != (outputs,):
                raise ModelError(f"{_at(op)}: bias {_short(bias)} must have shape ({outputs},)")
        flat = self.reshaped(op, before, "input", inputs)
        if flat is not before:
            self.add(op, "reshape", before, flat, "_flatten")
        result = self.reshaped(op, after, "output", outputs)
        if before.quantized:
            self.int8_layer(op, flat, result, weight, bias)
        else:
            self.float_layer(op, flat, result, weight, bias)
        if result is not after:
            self.add(op, "reshape", result, after, "_unflatten")

    def float_layer(
        self, op: Operator, before: Tensor, after: Tensor, weight: RawTensor, bias: RawTensor | None
    ) -> None:
        values = np.zeros(after.shape, np.float32) if bias is None else bias.array()
        for role, array in (("weight", weight.array()), ("bias", values)):
            if not np.isfinite(array).all():
                raise ModelError(f"{_at(op)}: a {role} is not finite")
        consts = {"weight": weight.array(), "bias": values}
        lo, hi = _ACTIVATIONS[op.activation]
        if lo is None:
            self.add(op, "dense", before, after, consts=consts)
            return
        middle = Tensor(f"{after.name}/{_name(op)}_linear", after.shape)
        self.tensors[middle.name] = middle
        self.add(op, "dense", before, middle, consts=consts)
        if hi is None:
            self.add(op, "relu", middle, after, "_relu")
        else:
            self.add(op, "clip", middle, after, "_clip", attrs={"lo": lo, "hi": hi})

    def int8_layer(
        self, op: Operator, before: Tensor, after: Tensor, weight: RawTensor, bias: RawTensor | None
    ) -> None:
        assert before.scale and after.scale and after.zero_point is not None
        (outputs,) = after.shape
        if any(weight.zero_points):
            raise ModelError(f"{_at(op)}: weight zero points must be 0, not {weight.zero_points}")
        if len(weight.scales) not in (1, outputs) or (len(weight.scales) > 1 and weight.axis != 0):
            raise ModelError(
                f"{_at(op)}: weight {_short(weight)} must have a scale, or one for each of its "
                f"{outputs} outputs, not {len(weight.scales)}"
            )
        if bias is not None and bias.scales:
            wanted = before.scale * np.array(weight.scales)
            if np.any(np.abs(np.array(bias.scales) - wanted) > 0.02 * after.scale):
                raise ModelError(f"{_at(op)}: bias scale must be that of input x weight")
        if bias is not None and any(bias.zero_points):
            raise ModelError(f"{_at(op)}: bias zero points must be 0, not {bias.zero_points}")
        consts = {
            "weight": weight.array(),
            "bias": np.zeros(outputs, np.int32) if bias is None else bias.array(),
        }
        scales = [before.scale * scale / after.scale for scale in weight.scales]
        clamp = _clamp(op.activation, after)
        multiplier, shift = self.exact(op, consts, scales, before, after.zero_point, clamp)
        self.add(
            op,
            "fully_connected",
            before,
            after,
            attrs={"rounding": "single", "clamp": clamp},
            consts={**consts, "multiplier": multiplier, "shift": shift},
        )

    def exact(
        self,
        op: Operator,
        consts: Mapping[str, Array],
        scales: list[float],
        before: Tensor,
        out_zero: int,
        clamp: tuple[int, int],
    ) -> tuple[Array, Array]:
        """Multipliers and shifts that round as the reference kernel does."""
        assert before.zero_point is not None
        lowest, highest = accumulator_range(consts["weight"], consts["bias"], before.zero_point)
        if lowest.min() < -(1 << 31) or highest.max() >= 1 << 31:
            raise ModelError(f"{_at(op)}: its accumulators can overflow int32")
        if len(scales) == 1:
            lowest, highest = lowest.min(keepdims=True), highest.max(keepdims=True)
        pairs = []
        for scale, low, high in zip(scales, lowest.tolist(), highest.tolist(), strict=True):
            first, last = (bound - out_zero for bound in clamp)
            try:
                pair = exact_multiplier(scale, low, high, first, last)
            except (ValueError, OverflowError) as error:
                raise ModelError(f"{_at(op)}: input x weight / output {error}") from error
            if pair is None:
                raise ModelError(
                    f"{_at(op)}: no 31-bit multiplier rounds its accumulators {low} to {high} as "
                    f"scale {scale!r} does"
                )
            pairs.append(pair)
        both = np.array(pairs, np.int64)
        return both[:, 0], both[:, 1]

    def reshape(self, op: Operator) -> None:
        for number in op.inputs[1:]:
            if number >= 0 and self.raw(number).data is None:
                raise ModelError(f"{_at(op)}: the new shape must be constant")
        self.add(op, "reshape", *self.pair(op))

    def softmax(self, op: Operator) -> None:
        if not (np.isfinite(op.beta) and op.beta > 0):
            raise ModelError(f"{_at(op)}: beta must be positive, not {op.beta!r}")
        self.add(op, "softmax", *self.pair(op), attrs={"beta": op.beta})

    def logistic(self, op: Operator) -> None:
        self.add(op, "logistic", *self.pair(op))

    def quantize(self, op: Operator) -> None:
        self.add(op, "quantize", *self.pair(op))

    def dequantize(self, op: Operator) -> None:
        self.add(op, "dequantize", *self.pair(op))


_CONVERT: dict[str, Callable[[_Importer, Operator], None]] = {
    "FULLY_CONNECTED": _Importer.fully_connected,
    "RESHAPE": _Importer.reshape,
    "SOFTMAX": _Importer.softmax,
    "LOGISTIC": _Importer.logistic,
    "QUANTIZE": _Importer.quantize,
    "DEQUANTIZE": _Importer.dequantize,
}


def _name(op: Operator) -> str:
    return f"{op.code.lower()}_{op.number}"


def _at(op: Operator) -> str:
    return f"operator {op.number}, {op.code}"


def _short(tensor: RawTensor | Tensor) -> str:
    """A tensor's name for a message: converters join many with semicolons."""
    name = tensor.name.split(";")[0]
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def _clamp(activation: str, tensor: Tensor) -> tuple[int, int]:
    """The int8 range of a fused activation. Source: ``CalculateActivationRangeQuantized``."""
    assert tensor.scale is not None and tensor.zero_point is not None
    lo, hi = -128, 127
    low, high = _ACTIVATIONS[activation]
    scale = np.float32(tensor.scale)
    if low is not None:
        lo = max(lo, tensor.zero_point + _round(np.float32(low) / scale))
    if high is not None:
        hi = min(hi, tensor.zero_point + _round(np.float32(high) / scale))
    return lo, max(lo, hi)


def _round(x: np.float32) -> int:
    """To the nearest, halves away from zero, within int32."""
    return int(np.copysign(np.floor(min(abs(float(x)), 2.0**30) + 0.5), x))
