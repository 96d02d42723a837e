"""TFLite's operators without weights."""

from typing import Any

import numpy as np

from prunus.sim.ops import quantize_multiplier
from prunus.sim.ops_join import add_parameters
from prunus.sim.ops_pool import mean_parameters

from ..ir import ModelError, Tensor
from .flatbuffer import Operator
from .tflite_base import Builder, at, clamp, short
from .tflite_layers import window

__all__ = ["add", "concatenation", "dequantize", "logistic", "mean", "pad", "pool", "quantize",
           "relu", "reshape", "softmax"]  # fmt: skip


def reshape(build: Builder, op: Operator) -> None:
    """RESHAPE: the output's shape counts, which the new shape must not change at run time."""
    for number in op.inputs[1:]:
        if number >= 0 and build.raw(number).data is None:
            raise ModelError(f"{at(op)}: the new shape must be constant")
    build.add(op, "reshape", *build.ends(op))


def softmax(build: Builder, op: Operator) -> None:
    """SOFTMAX over the last axis."""
    if not (np.isfinite(op.beta) and op.beta > 0):
        raise ModelError(f"{at(op)}: beta must be positive, not {op.beta!r}")
    build.add(op, "softmax", *build.ends(op), attrs={"beta": op.beta})


def logistic(build: Builder, op: Operator) -> None:
    """LOGISTIC."""
    build.add(op, "logistic", *build.ends(op))


def quantize(build: Builder, op: Operator) -> None:
    """QUANTIZE: from float, or from int8 of another scale."""
    before, after = build.ends(op)
    if before.quantized and after.quantized:
        _rescale(build, op, before, after, _ratio(op, before, after), (-128, 127))
    else:
        build.add(op, "quantize", before, after)


def dequantize(build: Builder, op: Operator) -> None:
    """DEQUANTIZE."""
    build.add(op, "dequantize", *build.ends(op))


def relu(build: Builder, op: Operator) -> None:
    """RELU and RELU6 that stand alone: a clamp, and a change of scale when it is int8."""
    before, after = build.pair(op)
    if before.quantized:
        assert before.scale and after.scale
        # Source: TFLite activations.cc, where the division is one of float32
        ratio = float(np.float32(before.scale) / np.float32(after.scale))
        _rescale(build, op, before, after, ratio, clamp(op.code, after))
    elif op.code == "RELU":
        build.add(op, "relu", before, after)
    else:
        build.add(op, "clip", before, after, attrs={"lo": 0.0, "hi": 6.0})


def add(build: Builder, op: Operator) -> None:
    """ADD of two activations of one shape."""
    if len(op.inputs) != 2:
        raise ModelError(f"{at(op)} must have 2 inputs, not {len(op.inputs)}")
    first, after = build.pair(op)
    second = build.activation(op.inputs[1])
    if first.shape != second.shape:
        raise ModelError(
            f"{at(op)}: its inputs must have one shape, not {first.shape} and {second.shape}"
        )
    if second.quantized != first.quantized:
        raise ModelError(f"{at(op)}: its inputs must both be INT8 or both FLOAT32")
    if first.scale is None or second.scale is None or after.scale is None:
        build.fused(op, "add", (first, second), after)
        return
    try:
        p = add_parameters(first.scale, second.scale, after.scale)
    except ValueError as error:
        raise ModelError(f"{at(op)}: input / output {error}") from error
    attrs = {
        "left_shift": p.left_shift,
        "multipliers": p.multipliers,
        "shifts": p.shifts,
        "multiplier": p.multiplier,
        "shift": p.shift,
        "clamp": clamp(op.activation, after),
    }
    build.add(op, "add", (first, second), after, attrs=attrs)


def pool(build: Builder, op: Operator) -> None:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""
    before, after = build.pair(op)
    _image(op, before)
    place = window(op, before, op.kernel)
    attrs: dict[str, Any] = {key: place[key] for key in ("stride", "padding")}
    attrs["kernel"] = op.kernel
    if before.quantized:
        attrs["clamp"] = clamp(op.activation, after)
        build.add(op, op.code.lower(), before, after, attrs=attrs)
    else:
        build.fused(op, op.code.lower(), before, after, attrs=attrs)


def mean(build: Builder, op: Operator) -> None:
    """MEAN over rows and columns."""
    before, after = build.pair(op)
    _image(op, before)
    axes = build.constant(op, 1, "axes", "INT32").array().ravel().tolist()
    if sorted(axis % 4 for axis in axes) != [1, 2]:
        raise ModelError(f"{at(op)}: must be over axes 1 and 2 of 4, not {axes}")
    attrs = {}
    if before.quantized:
        count = before.shape[0] * before.shape[1]
        multiplier, shift = _multiplier(op, _ratio(op, before, after))
        multiplier, shift = mean_parameters(multiplier, shift, count)
        attrs = {"multiplier": multiplier, "shift": shift}
    build.add(op, "mean", before, after, attrs=attrs)


def pad(build: Builder, op: Operator) -> None:
    """PAD with zeros, of images."""
    before, after = build.pair(op)
    _image(op, before)
    if len(op.inputs) != 2:
        raise ModelError(f"{at(op)} must have 2 inputs, not {len(op.inputs)}")
    widths = build.constant(op, 1, "padding", "INT32").array()
    if widths.shape != (4, 2) or widths.min() < 0 or widths[0].any():
        raise ModelError(
            f"{at(op)}: padding must be two sizes of 0 or more for each of 4 axes, none for the "
            f"batch, not {widths.tolist()}"
        )
    space, channels = widths[1:3].ravel().tolist(), widths[3].tolist()
    attrs = {"padding": tuple(space), "channels": tuple(channels)}
    build.add(op, "pad", before, after, attrs=attrs)


def concatenation(build: Builder, op: Operator) -> None:
    """CONCATENATION along any axis but the batch; int8 inputs have the output's scale."""
    first, after = build.pair(op)
    inputs = tuple(build.activation(number) for number in op.inputs)
    if op.activation != "NONE":
        raise ModelError(f"{at(op)}: fused activation {op.activation} is not supported")
    rank = len(after.shape) + 1
    axis = op.axis + rank if op.axis < 0 else op.axis
    if not 1 <= axis < rank:
        raise ModelError(f"{at(op)}: axis must be 1 to {rank - 1}, not {op.axis}")
    for tensor in inputs:
        if (tensor.scale, tensor.zero_point) != (after.scale, after.zero_point):
            raise ModelError(
                f"{at(op)}: input {short(tensor)} must have the scale and the zero point of the "
                "output; TFLite's reference refuses others, too"
            )
    build.add(op, "concatenation", inputs, after, attrs={"axis": axis - 1})


def _image(op: Operator, tensor: Tensor) -> None:
    if len(tensor.shape) != 3:
        raise ModelError(
            f"{at(op)}: input {short(tensor)} must have 4 axes, not {len(tensor.shape) + 1}"
        )


def _ratio(op: Operator, before: Tensor, after: Tensor) -> float:
    assert before.scale and after.scale
    return before.scale / after.scale


def _multiplier(op: Operator, ratio: float) -> tuple[int, int]:
    try:
        multiplier, shift = quantize_multiplier(ratio)
    except ValueError as error:
        raise ModelError(f"{at(op)}: input / output {error}") from error
    if shift > 22:  # 255 steps of the input, scaled up
        raise ModelError(f"{at(op)}: input / output scale must be below 2**22, not {ratio!r}")
    return multiplier, shift


def _rescale(
    build: Builder,
    op: Operator,
    before: Tensor,
    after: Tensor,
    ratio: float,
    limits: tuple[int, int],
) -> None:
    multiplier, shift = _multiplier(op, ratio)
    attrs = {"multiplier": multiplier, "shift": shift, "clamp": limits}
    build.add(op, "rescale", before, after, attrs=attrs)
