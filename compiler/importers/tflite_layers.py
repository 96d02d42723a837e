"""TFLite's layers with weights: fully-connected ones and convolutions, int8 and float."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from prunus.sim.ops import accumulator_range, quantize_multiplier

from ..ir import Array, ModelError, Tensor
from ..rescale import exact_multiplier
from .flatbuffer import Operator, RawTensor
from .tflite_base import Builder, at, clamp, name_of, short

__all__ = ["convolution", "fully_connected", "same_padding", "window"]

_LOWEST, _HIGHEST = -(1 << 31), (1 << 31) - 1


def fully_connected(build: Builder, op: Operator) -> None:
    """FULLY_CONNECTED: a matrix on each sample, with reshapes where the file is not flat."""
    before, after = build.pair(op)
    if len(op.inputs) not in (2, 3):
        raise ModelError(f"{at(op)} must have 2 or 3 inputs, not {len(op.inputs)}")
    if op.weights_format != "DEFAULT":
        raise ModelError(f"{at(op)}: weights format {op.weights_format} is not supported")
    weight = build.constant(op, 1, "weight", "INT8" if before.quantized else "FLOAT32")
    if len(weight.shape) != 2:
        raise ModelError(f"{at(op)}: weight {short(weight)} must have 2 axes")
    outputs, inputs = weight.shape
    _, bias = build.parameters(op, before, outputs)
    flat = _flat(build, op, before, "input", inputs)
    if flat is not before:
        build.add(op, "reshape", before, flat, "_flatten")
    result = _flat(build, op, after, "output", outputs)
    if not before.quantized:
        consts = {"weight": weight.array(), "bias": bias}
        build.fused(op, "dense", flat, result, consts=consts)
    else:
        matrix = weight.array()
        scales, ranges, limits = _int8(build, op, before, result, weight, matrix, bias, 0)
        first, last = (bound - (after.zero_point or 0) for bound in limits)
        pairs = []
        for scale, (low, high) in zip(scales, ranges, strict=True):
            try:
                pair = exact_multiplier(scale, low, high, first, last)
            except (ValueError, OverflowError) as error:
                raise ModelError(f"{at(op)}: input x weight / output {error}") from error
            if pair is None:
                raise ModelError(
                    f"{at(op)}: no 31-bit multiplier rounds its accumulators {low} to {high} as "
                    f"scale {scale!r} does"
                )
            pairs.append(pair)
        consts = {"weight": matrix, "bias": bias, **_constants(pairs)}
        attrs = {"rounding": "single", "clamp": limits}
        build.add(op, "fully_connected", flat, result, attrs=attrs, consts=consts)
    if result is not after:
        build.add(op, "reshape", result, after, "_unflatten")


def convolution(build: Builder, op: Operator) -> None:
    """CONV_2D and DEPTHWISE_CONV_2D; a convolution in groups gets zeros outside of its groups."""
    before, after = build.pair(op)
    separate = op.code == "DEPTHWISE_CONV_2D"
    weight = build.constant(op, 1, "weight", "INT8" if before.quantized else "FLOAT32")
    if len(weight.shape) != 4 or len(before.shape) != 3 or len(after.shape) != 3:
        raise ModelError(
            f"{at(op)}: input, weight {short(weight)} and output must have 4 axes, not "
            f"{len(before.shape) + 1}, {len(weight.shape)} and {len(after.shape) + 1}"
        )
    outputs = weight.shape[3] if separate else weight.shape[0]
    _, bias = build.parameters(op, before, outputs)
    array = weight.array()
    if not separate:
        array = _ungrouped(op, array, before.shape[2])
    attrs: dict[str, Any] = window(op, before, (weight.shape[1], weight.shape[2]))
    if not before.quantized:
        kind = "depthwise_convolution" if separate else "convolution"
        consts = {"weight": array, "bias": bias}
        build.fused(op, kind, before, after, attrs=attrs, consts=consts)
        return
    rows = np.moveaxis(array, 3, 0) if separate else array
    axis = 3 if separate else 0
    scales, ranges, limits = _int8(
        build, op, before, after, weight, rows.reshape(outputs, -1), bias, axis
    )
    pairs = [
        _double_pair(op, scale, low, high)
        for scale, (low, high) in zip(scales, ranges, strict=True)
    ]
    build.add(
        op,
        "depthwise_conv_2d" if separate else "conv_2d",
        before,
        after,
        attrs={**attrs, "rounding": "double", "clamp": limits},
        consts={"weight": array, "bias": bias, **_constants(pairs)},
    )


def window(op: Operator, before: Tensor, kernel: tuple[int, int]) -> dict[str, Any]:
    """Stride, padding and dilation of an operator with a window over an image."""
    size = (before.shape[0], before.shape[1])
    for key, values in (("stride", op.stride), ("dilation", op.dilation), ("kernel", kernel)):
        if min(values) < 1:
            raise ModelError(f"{at(op)}: {key} must be positive, not {values}")
    if op.padding not in ("SAME", "VALID"):
        raise ModelError(f"{at(op)}: padding {op.padding} is not supported")
    padding = (0, 0, 0, 0)
    if op.padding == "SAME":
        top, bottom = same_padding(size[0], kernel[0], op.stride[0], op.dilation[0])
        padding = (top, bottom, *same_padding(size[1], kernel[1], op.stride[1], op.dilation[1]))
    return {"stride": op.stride, "padding": padding, "dilation": op.dilation}


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Before and after, so that there are ``ceil(size / stride)`` windows.

    >>> same_padding(49, 10, 2, 1)
    (4, 5)
    """
    total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return total // 2, total - total // 2


def _flat(build: Builder, op: Operator, tensor: Tensor, role: str, size: int) -> Tensor:
    """A flat view of a tensor, itself when it is flat already."""
    if tensor.size != size:
        raise ModelError(
            f"{at(op)}: {role} {short(tensor)} has {tensor.size} values a sample for "
            f"{size} of the weights: a product for each row is not supported"
        )
    if len(tensor.shape) == 1:
        return tensor
    name = f"{tensor.name}/{name_of(op)}_flat"
    return build.tensor(Tensor(name, (size,), tensor.scale, tensor.zero_point))


def _ungrouped(op: Operator, weight: Array, channels: int) -> Array:
    """Weights (outputs, kh, kw, channels of a group) as a convolution over all channels has them.

    Output o of g groups sees the channels of group ``o * g // outputs``.
    """
    outputs, kh, kw, width = weight.shape
    if width == channels:
        return weight
    groups = channels // width
    if channels % width or outputs % groups:
        raise ModelError(
            f"{at(op)}: {outputs} outputs of {width} channels do not divide its {channels} channels"
        )
    spread = np.zeros((outputs, kh, kw, channels), weight.dtype)
    for output in range(outputs):
        first = output * groups // outputs * width
        spread[output, :, :, first : first + width] = weight[output]
    return spread


def _int8(
    build: Builder,
    op: Operator,
    before: Tensor,
    after: Tensor,
    weight: RawTensor,
    rows: Array,
    bias: Array,
    axis: int,
) -> tuple[list[float], list[tuple[int, int]], tuple[int, int]]:
    """Scales input x weight / output, accumulators that each can reach, and the clamp.

    ``rows`` holds the weights of each output; one scale for all has the range of all.
    """
    assert before.scale and after.scale and before.zero_point is not None
    outputs = len(rows)
    if any(weight.zero_points):
        raise ModelError(f"{at(op)}: weight zero points must be 0, not {weight.zero_points}")
    if len(weight.scales) not in (1, outputs) or (len(weight.scales) > 1 and weight.axis != axis):
        raise ModelError(
            f"{at(op)}: weight {short(weight)} must have a scale, or one for each of its "
            f"{outputs} outputs, not {len(weight.scales)}"
        )
    given = build.raw(op.inputs[2]) if len(op.inputs) > 2 and op.inputs[2] >= 0 else None
    if given is not None and given.scales:
        wanted = before.scale * np.array(weight.scales)
        if len(given.scales) not in (1, len(wanted)):
            raise ModelError(f"{at(op)}: bias must have a scale, or one for each of its outputs")
        if np.any(np.abs(np.array(given.scales) - wanted) > 0.02 * after.scale):
            raise ModelError(f"{at(op)}: bias scale must be that of input x weight")
    lowest, highest = accumulator_range(rows, bias, before.zero_point)
    if lowest.min() < _LOWEST or highest.max() > _HIGHEST:
        raise ModelError(f"{at(op)}: its accumulators can overflow int32")
    if len(weight.scales) == 1:
        lowest, highest = lowest.min(keepdims=True), highest.max(keepdims=True)
    scales = [before.scale * scale / after.scale for scale in weight.scales]
    ranges = list(zip(lowest.tolist(), highest.tolist(), strict=True))
    return scales, ranges, clamp(op.activation, after)


def _double_pair(op: Operator, scale: float, low: int, high: int) -> tuple[int, int]:
    """Multiplier and shift of a convolution. Source: TFLite ``QuantizeMultiplier``.

    The reference takes a scale below 2**-32 for zero. A scale of 2**-32 rounds to zero as well,
    unless an accumulator is at the very end of int32.
    """
    if 0 < scale < 2.0**-32 and max(-low, high) < _HIGHEST:
        return 1 << 30, -31
    try:
        multiplier, shift = quantize_multiplier(scale)
    except ValueError as error:
        raise ModelError(f"{at(op)}: input x weight / output {error}") from error
    if shift > 0 and (low << shift < _LOWEST or high << shift > _HIGHEST):
        raise ModelError(f"{at(op)}: its accumulators, scaled up, can overflow int32")
    return multiplier, shift


def _constants(pairs: list[tuple[int, int]]) -> Mapping[str, Array]:
    both = np.array(pairs, np.int64)
    return {"multiplier": both[:, 0], "shift": both[:, 1]}
