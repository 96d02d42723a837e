"""ONNX models in QDQ form: QuantizeLinear and DequantizeLinear say where the int8 tensors are.

The operators between them are imported as float ones; what is noted here, the scale and zero point
of activations and the scales of weights, turns the finished graph into an int8 one. The results
are those of TFLite's integer arithmetic, within a step of what a float evaluation rounds to.
"""

import numpy as np

from ..ir import Array
from .onnx_base import Builder

__all__ = ["dequantize_linear", "layer_scales", "quantize_linear", "transposed"]

_OFFSETS = {np.dtype(np.uint8): 128, np.dtype(np.int8): 0}


def quantize_linear(build: Builder) -> None:
    """QuantizeLinear: of constants computed, of an activation noted."""
    scale, zero = _grid(build)
    name, output = build.given(0), build.node.output[0]
    if zero.dtype not in _OFFSETS:
        raise build.fail(f"only INT8 and UINT8 are supported, not {zero.dtype}")
    if name in build.constants:
        value, axis = build.floats(0), _axis(build)
        steps = np.rint(value / _along(scale, value, axis)) + _along(zero, value, axis)
        bounds = np.iinfo(zero.dtype)
        build.constants[output] = np.clip(steps, bounds.min, bounds.max).astype(zero.dtype)
        return
    view = build.activation(0)
    if scale.size != 1 or zero.size != 1:
        raise build.fail("an activation must have one scale and zero point")
    grid = (float(scale.item()), int(zero.item()) - _OFFSETS[zero.dtype])
    if build.grids.setdefault(view.tensor.name, grid) != grid:
        raise build.fail(
            f"input {name!r} has scale and zero point {grid} here, and "
            f"{build.grids[view.tensor.name]} elsewhere"
        )
    build.known[output] = view


def dequantize_linear(build: Builder) -> None:
    """DequantizeLinear: constants become float, with their scales noted."""
    scale, zero = _grid(build)
    name, output = build.given(0), build.node.output[0]
    if name in build.known:
        grid = (float(scale.item()), int(zero.item()) - _OFFSETS.get(zero.dtype, 0))
        view = build.known[name]
        if build.grids.get(view.tensor.name) != grid:
            raise build.fail(f"input {name!r} was not quantized with scale and zero point {grid}")
        build.known[output] = view
        return
    value = build.constant(0)
    if value is None or value.dtype not in (np.int8, np.uint8, np.int32):
        kind = "nothing" if value is None else str(value.dtype)
        raise build.fail(f"constants must be INT8, UINT8 or INT32, not {kind}")
    axis = _axis(build)
    centred = value.astype(np.float64) - _along(zero, value, axis)
    build.constants[output] = centred * _along(scale, value, axis)
    build.scales[output] = (scale.ravel(), axis)


def transposed(build: Builder) -> None:
    """A Transpose of dequantized weights moves the axis of their scales."""
    name = build.given(0)
    if name in build.scales:
        scale, axis = build.scales[name]
        rank = build.constants[name].ndim
        perm = list(build.attr("perm", tuple(reversed(range(rank)))))
        build.scales[build.node.output[0]] = (scale, perm.index(axis % rank) if rank else 0)


def layer_scales(build: Builder, axis: int) -> None:
    """Note the scales of the weights of the layer just added, one or one for each output."""
    if build.given(1) not in build.scales:
        return
    scale, along = build.scales[build.given(1)]
    if scale.size > 1 and along % build.constants[build.given(1)].ndim != axis:
        raise build.fail(f"weights must have their scales along axis {axis}, not {along}")
    build.weight_scales[build.nodes[-1].name] = scale


def _grid(build: Builder) -> tuple[Array, Array]:
    """Scale and zero point, checked."""
    scale, zero = build.floats(1).astype(np.float64), build.constant(2)
    if not (scale.size and (scale > 0).all()):
        raise build.fail("scale must be positive")
    if zero is None:
        given = build.constants.get(build.given(0))
        kind = np.uint8 if given is None or given.dtype.kind == "f" else given.dtype
        zero = np.zeros(scale.shape, kind)
    if zero.shape != scale.shape and zero.size != scale.size:
        raise build.fail(f"scale and zero point must have one shape, not {scale.shape} and "
                         f"{zero.shape}")  # fmt: skip
    return scale, zero


def _axis(build: Builder) -> int:
    return int(build.attr("axis", 1))


def _along(parameter: Array, value: Array, axis: int) -> Array:
    """A parameter of each slice along an axis, to be broadcast against the value."""
    if parameter.size == 1:
        return parameter.reshape(()).astype(np.float64)
    shape = [1] * value.ndim
    shape[axis] = -1
    return parameter.reshape(shape).astype(np.float64)
