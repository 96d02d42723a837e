"""ONNX operators on images: convolutions, pools, padding, and joining."""

import math
from typing import Any

import numpy as np

from prunus.sim.ops_conv import output_size

from ..ir import Array
from .onnx_base import Builder
from .onnx_quantized import layer_scales

__all__ = ["concat", "conv", "global_pool", "pad", "pool", "reduce_mean", "slice_", "spread"]


def conv(build: Builder) -> None:
    """Conv of images, in groups too; one group for each channel is a depthwise convolution."""
    before, (rows, columns, channels) = build.image()
    weight = build.floats(1)
    if weight.ndim != 4:
        raise build.fail(f"weights must have 4 axes, not shape {weight.shape}")
    outputs, width, *kernel = weight.shape
    groups = build.attr("group", 1)
    if groups < 1 or width * groups != channels or outputs % groups or not weight.size:
        raise build.fail(
            f"weights of shape {weight.shape} in {groups} groups do not fit {channels} channels"
        )
    if build.integers("kernel_shape", tuple(kernel)) != tuple(kernel):
        raise build.fail(f"kernel_shape must be that of the weights, {tuple(kernel)}")
    bias = np.zeros(outputs, weight.dtype)
    if build.constant(2) is not None:
        bias = build.floats(2)
        if bias.shape != (outputs,):
            raise build.fail(f"bias must have shape {(outputs,)}, not {bias.shape}")
    place = _placed(build, (rows, columns), (kernel[0], kernel[1]))
    if groups == channels and groups > 1:
        op, taps = "depthwise_convolution", weight[:, 0].transpose(1, 2, 0)[None]
    else:
        op, taps = "convolution", spread(weight.transpose(0, 2, 3, 1), groups)
    consts = {"weight": np.ascontiguousarray(taps), "bias": bias}
    shape = (*_result(place, (rows, columns), kernel), outputs)
    build.add_image(op, before, shape, attrs=place, consts=consts)
    layer_scales(build, 0)


def spread(weight: Array, groups: int) -> Array:
    """Weights (outputs, kh, kw, channels of a group) over all channels, with zeros elsewhere."""
    outputs, kh, kw, width = weight.shape
    if groups == 1:
        return weight
    result = np.zeros((outputs, kh, kw, width * groups), weight.dtype)
    for output in range(outputs):
        first = output * groups // outputs * width
        result[output, :, :, first : first + width] = weight[output]
    return result


def pool(build: Builder) -> None:
    """MaxPool and AveragePool."""
    before, (rows, columns, channels) = build.image()
    if len(build.node.output) > 1:
        raise build.fail("its second output is not supported")
    kernel = tuple(int(size) for size in build.attr("kernel_shape", ()))
    if len(kernel) != 2 or min(kernel) < 1:
        raise build.fail(f"kernel_shape must be 2 positive sizes, not {kernel}")
    place = _placed(build, (rows, columns), (kernel[0], kernel[1]))
    if place.pop("dilation") != (1, 1):
        raise build.fail("dilations other than 1 are not supported in a pool")
    padding, extra = place["padding"], (0, 0, 0, 0)
    if build.attr("ceil_mode", 0):
        extra = _ceiled((rows, columns), kernel, place["stride"], padding)
    op = "max_pool_2d" if build.node.op_type == "MaxPool" else "average_pool_2d"
    if op == "average_pool_2d" and build.attr("count_include_pad", 0) and any(padding):
        # zeros that count in the averages are a node of their own
        shape = (rows + sum(padding[:2]), columns + sum(padding[2:]), channels)
        attrs = {"padding": padding, "channels": (0, 0)}
        before = build.add_image("pad", before, shape, "_pad", attrs=attrs).tensor
        padding = (0, 0, 0, 0)
    ends = tuple(a + b for a, b in zip(padding, extra, strict=True))
    place = {"kernel": kernel, "stride": place["stride"], "padding": ends}
    shape = (*_result(place, before.shape[:2], kernel), channels)
    build.add_image(op, before, shape, attrs=place)


def _ceiled(
    size: tuple[int, int],
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, ...],
) -> tuple[int, int, int, int]:
    """More padding at the ends, so that a last window that is only begun counts.

    A window that would begin in the padding at the end does not count.
    """
    missing = []
    for axis in range(2):
        first, last = padding[2 * axis : 2 * axis + 2]
        over = size[axis] + first + last - kernel[axis]
        count = -(-over // stride[axis]) + 1
        if (count - 1) * stride[axis] >= size[axis] + first:
            count -= 1
        missing.append(max(0, (count - 1) * stride[axis] - over))
    return 0, missing[0], 0, missing[1]


def global_pool(build: Builder) -> None:
    """GlobalAveragePool and GlobalMaxPool."""
    before, (rows, columns, channels) = build.image()
    if build.node.op_type == "GlobalAveragePool":
        build.add_image("mean", before, (1, 1, channels))
        return
    attrs = {"kernel": (rows, columns), "stride": (1, 1), "padding": (0, 0, 0, 0)}
    build.add_image("max_pool_2d", before, (1, 1, channels), attrs=attrs)


def reduce_mean(build: Builder) -> None:
    """ReduceMean over rows and columns."""
    before, (_, _, channels) = build.image()
    axes = build.integer_input(1, "axes") or []
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise build.fail(f"must be over axes 2 and 3 of 4, not {axes}")
    if build.attr("keepdims", 1):
        build.add_image("mean", before, (1, 1, channels))
    else:
        build.add("mean", before, (channels,))


def pad(build: Builder) -> None:
    """Pad with zeros."""
    before, (rows, columns, channels) = build.image()
    mode = build.attr("mode", b"constant").decode()
    if mode != "constant":
        raise build.fail(f"mode {mode!r} is not supported; only 'constant' is")
    widths = build.integer_input(1, "pads") or []
    axes = build.integer_input(3, "axes")
    axes = list(range(4)) if axes is None else [axis % 4 for axis in axes]
    if len(widths) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise build.fail(f"pads must be two sizes for each of axes {axes}, not {widths}")
    ends = {axis: (widths[n], widths[n + len(axes)]) for n, axis in enumerate(axes)}
    if any(min(pair) < 0 for pair in ends.values()) or any(ends.get(0, (0, 0))):
        raise build.fail(f"pads must be 0 or more, none for the batch, not {widths}")
    value = build.number_input(2, "value", 0.0)
    if value != 0:
        raise build.fail(f"only padding with 0 is supported, not with {value!r}")
    (top, bottom), (left, right) = ends.get(2, (0, 0)), ends.get(3, (0, 0))
    front, back = ends.get(1, (0, 0))
    shape = (rows + top + bottom, columns + left + right, channels + front + back)
    attrs = {"padding": (top, bottom, left, right), "channels": (front, back)}
    build.add_image("pad", before, shape, attrs=attrs)


def slice_(build: Builder) -> None:
    """Slice, where it takes every n-th row and column: a pool with a window of 1."""
    before, (rows, columns, channels) = build.image()
    starts, ends = build.integer_input(1, "starts") or [], build.integer_input(2, "ends") or []
    axes = build.integer_input(3, "axes")
    axes = list(range(len(starts))) if axes is None else [axis % 4 for axis in axes]
    steps = build.integer_input(4, "steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise build.fail("starts, ends, axes and steps must have one length")
    sizes, stride = (1, channels, rows, columns), [1, 1, 1, 1]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if start % max(1, sizes[axis]) or start > 0 or end < sizes[axis] or step < 1:
            raise build.fail(
                f"only whole axes with a step are supported, not {start}:{end}:{step} on axis "
                f"{axis} of {sizes[axis]}"
            )
        stride[axis] = step
    if stride[:2] != [1, 1]:
        raise build.fail("a step over the batch or the channels is not supported")
    attrs = {"kernel": (1, 1), "stride": (stride[2], stride[3]), "padding": (0, 0, 0, 0)}
    shape = (-(-rows // stride[2]), -(-columns // stride[3]), channels)
    build.add_image("max_pool_2d", before, shape, attrs=attrs)


def concat(build: Builder) -> None:
    """Concat of images, or of vectors, along any axis but the batch."""
    views = [build.activation(n) for n in range(len(build.node.input))]
    rank = len(views[0].shape) + 1
    axis = build.attr("axis", 1)
    axis += rank if axis < 0 else 0
    if not 1 <= axis < rank:
        raise build.fail(f"axis must be 1 to {rank - 1}, not {axis}")
    shape = list(views[0].shape)
    for view in views[1:]:
        others = [s[: axis - 1] + s[axis:] for s in (view.shape, views[0].shape)]
        if len(view.shape) != rank - 1 or others[0] != others[1]:
            raise build.fail(f"inputs of {views[0].shape} and {view.shape} do not fit")
        shape[axis - 1] += view.shape[axis - 1]
    if all(view.plain and view.tensor.shape == view.shape for view in views):
        tensors = tuple(view.tensor for view in views)
        build.add("concatenation", tensors, tuple(shape), attrs={"axis": axis - 1})
    elif rank == 4:
        tensors = tuple(build.image(n)[0] for n in range(len(views)))
        attrs = {"axis": {1: 2, 2: 0, 3: 1}[axis]}
        channels, rows, columns = shape
        build.add_image("concatenation", tensors, (rows, columns, channels), attrs=attrs)
    elif rank == 2 and all(view.plain for view in views):
        tensors = tuple(build.flat(view, f"_flat{n}") for n, view in enumerate(views))
        build.add("concatenation", tensors, tuple(shape), attrs={"axis": 0})
    else:
        raise build.fail("an input would have to be transposed, which is not supported")


def _placed(build: Builder, size: tuple[int, int], kernel: tuple[int, int]) -> dict[str, Any]:
    """Stride, padding and dilation, from pads or auto_pad."""
    stride, dilation = build.integers("strides", (1, 1)), build.integers("dilations", (1, 1))
    if min(*stride, *dilation) < 1:
        raise build.fail(f"strides and dilations must be positive, not {stride} and {dilation}")
    if any(s > n for s, n in zip(stride, size, strict=True)):
        raise build.fail(f"strides {stride} are larger than the input {size}")
    mode = build.attr("auto_pad", b"NOTSET").decode()
    ends: list[int] = []
    for n in range(2):
        reach = dilation[n] * (kernel[n] - 1) + 1
        if mode == "NOTSET":
            pads = build.integers("pads", (0, 0, 0, 0))
            pair = [pads[n], pads[n + 2]]
        elif mode == "VALID":
            pair = [0, 0]
        elif mode in ("SAME_UPPER", "SAME_LOWER"):
            total = max(0, (math.ceil(size[n] / stride[n]) - 1) * stride[n] + reach - size[n])
            pair = [total // 2, total - total // 2]
            pair = pair if mode == "SAME_UPPER" else pair[::-1]
        else:
            raise build.fail(f"auto_pad {mode!r} is not supported")
        if min(pair) < 0 or max(pair) >= reach:
            raise build.fail(
                f"padding {pair} must be 0 or more and smaller than the kernel, {reach}"
            )
        ends += pair
    return {"stride": stride, "padding": tuple(ends), "dilation": dilation}


def _result(place: dict[str, Any], size: tuple[int, ...], kernel: Any) -> tuple[int, int]:
    made = [
        output_size(
            size[n],
            kernel[n],
            place["stride"][n],
            place.get("dilation", (1, 1))[n],
            *place["padding"][2 * n : 2 * n + 2],
        )
        for n in range(2)
    ]
    return made[0], made[1]
