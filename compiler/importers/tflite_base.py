"""What the converters of all TFLite operators share: tensors, checks, nodes as they are made."""

from typing import Any

import numpy as np

from prunus.sim.ops import round_away

from ..ir import Array, ModelError, Node, Tensor
from .flatbuffer import Model, Operator, RawTensor

__all__ = ["ACTIVATIONS", "Builder", "at", "clamp", "name_of", "short"]

ACTIVATIONS: dict[str, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


class Builder:
    """Collects the nodes and tensors of one model."""

    def __init__(self, model: Model):
        self.model = model
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}

    def raw(self, number: int) -> RawTensor:
        """A tensor as the file has it."""
        tensor = self.model.tensors.get(number)
        if tensor is None:
            raise ModelError(f"damaged: there is no tensor {number}")
        return tensor

    def activation(self, number: int) -> Tensor:
        """A tensor of the graph, checked: int8 with one scale, or float32."""
        raw = self.raw(number)
        where = f"tensor {short(raw)}"
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
        """The activations in front of and behind an operator, both int8 or both float."""
        before, after = self.ends(op)
        if before.quantized != after.quantized:
            raise ModelError(f"{at(op)}: input and output must both be INT8 or both FLOAT32")
        return before, after

    def ends(self, op: Operator) -> tuple[Tensor, Tensor]:
        """The activations in front of and behind an operator, of any kind."""
        if not op.inputs or len(op.outputs) != 1 or op.inputs[0] < 0:
            raise ModelError(f"{at(op)} must have an input and one output")
        return self.activation(op.inputs[0]), self.activation(op.outputs[0])

    def constant(self, op: Operator, position: int, role: str, dtype: str) -> RawTensor:
        """A constant input of an operator."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            raise ModelError(f"{at(op)} must have an input for its {role}")
        raw = self.raw(op.inputs[position])
        if raw.data is None:
            raise ModelError(f"{at(op)}: {role} {short(raw)} must be constant")
        if raw.dtype != dtype:
            raise ModelError(f"{at(op)}: {role} {short(raw)} is {raw.dtype}, not {dtype}")
        return raw

    def parameters(self, op: Operator, before: Tensor, outputs: int) -> tuple[RawTensor, Array]:
        """Weights, and a bias (zeros when there is none), of the kind of the input."""
        weight = self.constant(op, 1, "weight", "INT8" if before.quantized else "FLOAT32")
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            return weight, np.zeros(outputs, np.int32 if before.quantized else np.float32)
        bias = self.constant(op, 2, "bias", "INT32" if before.quantized else "FLOAT32")
        if bias.shape != (outputs,):
            raise ModelError(f"{at(op)}: bias {short(bias)} must have shape ({outputs},)")
        if any(bias.zero_points):
            raise ModelError(f"{at(op)}: bias zero points must be 0, not {bias.zero_points}")
        if not before.quantized:
            for role, array in (("weight", weight.array()), ("bias", bias.array())):
                if not np.isfinite(array).all():
                    raise ModelError(f"{at(op)}: a {role} is not finite")
        return weight, bias.array()

    def tensor(self, tensor: Tensor) -> Tensor:
        """Register a tensor that the file does not have."""
        self.tensors[tensor.name] = tensor
        return tensor

    def add(
        self,
        op: Operator,
        kind: str,
        before: Tensor | tuple[Tensor, ...],
        after: Tensor,
        suffix: str = "",
        **more: Any,
    ) -> None:
        """Append a node."""
        inputs = before if isinstance(before, tuple) else (before,)
        names = tuple(tensor.name for tensor in inputs)
        self.nodes.append(Node(name_of(op) + suffix, kind, names, after.name, **more))

    def fused(
        self,
        op: Operator,
        kind: str,
        before: Tensor | tuple[Tensor, ...],
        after: Tensor,
        **more: Any,
    ) -> None:
        """Append a float node, and one for its fused activation function."""
        lo, hi = ACTIVATIONS[op.activation]
        if lo is None:
            self.add(op, kind, before, after, **more)
            return
        middle = self.tensor(Tensor(f"{after.name}/{name_of(op)}_linear", after.shape))
        self.add(op, kind, before, middle, **more)
        if hi is None:
            self.add(op, "relu", middle, after, "_relu")
        else:
            self.add(op, "clip", middle, after, "_clip", attrs={"lo": lo, "hi": hi})


def name_of(op: Operator) -> str:
    """The name of an operator's node."""
    return f"{op.code.lower()}_{op.number}"


def at(op: Operator) -> str:
    """The operator, for a message."""
    return f"operator {op.number}, {op.code}"


def short(tensor: RawTensor | Tensor) -> str:
    """A tensor's name for a message: converters join many with semicolons."""
    name = tensor.name.split(";")[0]
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def clamp(activation: str, tensor: Tensor) -> tuple[int, int]:
    """The int8 range of a fused activation. Source: ``CalculateActivationRangeQuantized``."""
    assert tensor.scale is not None and tensor.zero_point is not None
    lo, hi = -128, 127
    low, high = ACTIVATIONS[activation]
    scale = np.float32(tensor.scale)
    if low is not None:
        lo = min(max(lo, tensor.zero_point + _round(np.float32(low) / scale)), 127)
    if high is not None:
        hi = min(hi, tensor.zero_point + _round(np.float32(high) / scale))
    return lo, max(lo, hi)


def _round(x: np.float32) -> int:
    """To the nearest, halves away from zero, within int32."""
    return int(np.clip(round_away(x), -(2.0**30), 2.0**30))
