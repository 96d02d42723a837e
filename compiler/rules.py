"""The rules of the operators on vectors and single values: which nodes a graph may hold.

A rule takes a node, its input tensors and its output, and returns what is wrong, or None.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .nodes import Node, Tensor

__all__ = [
    "Check",
    "OpInfo",
    "affine",
    "binarize",
    "clamped",
    "clip",
    "closing",
    "dense",
    "dequantize",
    "fake_quantize",
    "float_constants",
    "float_pointwise",
    "fully_connected",
    "int8_constants",
    "lut",
    "quantize",
    "rescale",
    "reshape",
    "same_grid",
    "scaled",
]

Check = Callable[[Node, tuple[Tensor, ...], Tensor], str | None]


@dataclass(frozen=True, slots=True)
class OpInfo:
    """The rules of an operator: ``check`` returns what is wrong, or None.

    ``inputs``: the fewest and the most inputs. ``quantized``: it computes on int8 constants of its
    own, a layer with weights; ``host``: never in the gates; ``floating``: never after calibration.
    """

    check: Check
    consts: tuple[str, ...] = ()
    inputs: tuple[int, int] = (1, 1)
    quantized: bool = False
    host: bool = False
    floating: bool = False


def same_grid(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors have one scale and zero point, or are both float."""
    return (first.scale, first.zero_point) == (second.scale, second.zero_point)


def float_constants(node: Node, *keys: str) -> str | None:
    """Constants of a float operator."""
    for key in keys:
        if node.consts[key].dtype.kind != "f":
            return f"{key} must be float, not {node.consts[key].dtype}"
    return None


def int8_constants(node: Node, outputs: int) -> str | None:
    """Constants and attributes that all int8 layers with weights have."""
    dtypes = {"weight": np.int8, "bias": np.int32, "multiplier": np.int64, "shift": np.int64}
    for key, dtype in dtypes.items():
        if node.consts[key].dtype != dtype:
            return f"{key} must be {np.dtype(dtype)}, not {node.consts[key].dtype}"
    for key in ("multiplier", "shift"):
        if node.consts[key].shape not in ((1,), (outputs,)):
            return f"{key} must have shape (1,) or {(outputs,)}, not {node.consts[key].shape}"
    q, shift = node.consts["multiplier"], node.consts["shift"]
    if np.any(q < 1 << 30) or np.any(q >= 1 << 31):
        return "multiplier must be 2**30 to 2**31 - 1"
    if np.any(shift < -31) or np.any(shift > 30):
        return "shift must be -31 to 30"
    if node.attrs.get("rounding") not in ("single", "double"):
        return f"rounding must be 'single' or 'double', not {node.attrs.get('rounding')!r}"
    return clamped(node)


def clamped(node: Node) -> str | None:
    """The int8 range that an operator's results are limited to."""
    lo, hi = node.attrs.get("clamp", (0, -1))
    if not -128 <= lo <= hi <= 127:
        return f"clamp must be two ordered int8 values, not {node.attrs.get('clamp')!r}"
    return None


def scaled(multiplier: object, shift: object, least: int = 1 << 30) -> str | None:
    """One multiplier and shift among the attributes; ``least`` is the smallest multiplier."""
    if not isinstance(multiplier, int) or not least <= multiplier < 1 << 31:
        return f"multiplier must be {least} to 2**31 - 1, not {multiplier!r}"
    if not isinstance(shift, int) or not -31 <= shift <= 30:
        return f"shift must be -31 to 30, not {shift!r}"
    return None


def _same_shape(inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if inputs[0].shape != output.shape:
        return f"output shape must be {inputs[0].shape}, not {output.shape}"
    return None


def float_pointwise(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """relu, tanh: a function of each value."""
    if inputs[0].quantized or output.quantized:
        return f"{node.op} takes float tensors"
    return _same_shape(inputs, output)


def clip(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """A clamp between two bounds."""
    if not node.attrs.get("lo", 1) < node.attrs.get("hi", 0):
        return f"lo must be below hi, not {node.attrs.get('lo')!r} and {node.attrs.get('hi')!r}"
    return float_pointwise(node, inputs, output)


def fake_quantize(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """To the nearest of the levels (q - zero_point) * scale, q = lo..hi; halves to even q."""
    scale, zero, lo, hi = (node.attrs.get(key) for key in ("scale", "zero_point", "lo", "hi"))
    if not isinstance(scale, float) or not (np.isfinite(scale) and scale > 0):
        return f"scale must be positive and finite, not {scale!r}"
    if not (isinstance(zero, int) and isinstance(lo, int) and isinstance(hi, int) and lo < hi):
        return f"zero_point, lo and hi must be integers, lo below hi, not {zero!r}, {lo!r}, {hi!r}"
    return float_pointwise(node, inputs, output)


def binarize(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """scale where the input is 0 or more, else -scale."""
    scale = node.attrs.get("scale")
    if not isinstance(scale, float) or not (np.isfinite(scale) and scale > 0):
        return f"scale must be positive and finite, not {scale!r}"
    return float_pointwise(node, inputs, output)


def affine(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """A scale and an offset for each value of a sample."""
    for key in ("scale", "offset"):
        if node.consts[key].shape != output.shape:
            return f"{key} must have shape {output.shape}, not {node.consts[key].shape}"
    return float_constants(node, "scale", "offset") or float_pointwise(node, inputs, output)


def _matrix(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if len(inputs[0].shape) != 1 or len(output.shape) != 1:
        return f"input and output must be vectors, not {inputs[0].shape} and {output.shape}"
    shape = (*output.shape, *inputs[0].shape)
    if node.consts["weight"].shape != shape:
        return f"weight must have shape {shape}, not {node.consts['weight'].shape}"
    if node.consts["bias"].shape != output.shape:
        return f"bias must have shape {output.shape}, not {node.consts['bias'].shape}"
    return None


def dense(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """A float matrix and bias."""
    if inputs[0].quantized or output.quantized:
        return "dense takes float tensors"
    return float_constants(node, "weight", "bias") or _matrix(node, inputs, output)


def fully_connected(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """An int8 matrix, int32 bias and requantization."""
    if not (inputs[0].quantized and output.quantized):
        return "fully_connected takes int8 tensors"
    outputs = output.shape[0] if output.shape else 0
    return int8_constants(node, outputs) or _matrix(node, inputs, output)


def rescale(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """Int8 to int8 of another scale and zero point, with a clamp."""
    if not (inputs[0].quantized and output.quantized):
        return "rescale takes int8 tensors"
    problem = scaled(node.attrs.get("multiplier"), node.attrs.get("shift"))
    return problem or clamped(node) or _same_shape(inputs, output)


def lut(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """A table of 256 int8 values, for the inputs -128 to 127."""
    if not (inputs[0].quantized and output.quantized):
        return "lut takes int8 tensors"
    table = node.consts["table"]
    if table.shape != (256,) or table.dtype != np.int8:
        return f"table must be 256 int8 values, not {table.shape} of {table.dtype}"
    return _same_shape(inputs, output)


def reshape(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """The same values in the same order."""
    if inputs[0].size != output.size:
        return f"output must have {inputs[0].size} elements, not {output.size}"
    if not same_grid(inputs[0], output):
        return "output must have the scale and the zero point of the input"
    return None


def closing(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """softmax and logistic: scale 1/256 and zero point -128 when int8."""
    if inputs[0].quantized != output.quantized:
        return f"{node.op} takes and gives int8, or float"
    if output.quantized and (output.scale, output.zero_point) != (1 / 256, -128):
        return f"output must have scale 1/256 and zero point -128, not {output.scale}"
    return _same_shape(inputs, output)


def quantize(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """Float or int8 to int8."""
    if not output.quantized:
        return "output must be int8"
    return _same_shape(inputs, output)


def dequantize(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """Int8 to float."""
    if not inputs[0].quantized or output.quantized:
        return "dequantize takes int8 and gives float"
    return _same_shape(inputs, output)
