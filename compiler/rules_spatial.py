"""The rules of the operators on images (rows, columns, channels), and of those that join tensors.

As in :mod:`prunus.compiler.rules`, a rule returns what is wrong with a node, or None.
"""

from collections.abc import Sequence

from prunus.sim.ops_conv import output_size

from .nodes import Node, Tensor
from .rules import clamped, float_constants, int8_constants, same_grid, scaled

__all__ = ["add", "concatenation", "conv_2d", "convolution", "depthwise_conv_2d",
           "depthwise_convolution", "mean",
           "pad", "pool"]  # fmt: skip


def _numbers(node: Node, key: str, count: int, least: int) -> str | None:
    value = node.attrs.get(key)
    if (
        not isinstance(value, tuple)
        or len(value) != count
        or any(not isinstance(item, int) or item < least for item in value)
    ):
        return f"{key} must be {count} integers of at least {least}, not {value!r}"
    return None


def _images(node: Node, inputs: Sequence[Tensor], output: Tensor) -> str | None:
    for tensor in (*inputs, output):
        if len(tensor.shape) != 3:
            return f"{node.op} takes images (rows, columns, channels), not {tensor.shape}"
    return None


def _window(
    node: Node, before: Tensor, after: Tensor, kernel: tuple[int, int], channels: int
) -> str | None:
    """A kernel that moves over an image: what it may be, and the shape that it makes."""
    problem = _images(node, (before,), after)
    problem = problem or _numbers(node, "stride", 2, 1) or _numbers(node, "padding", 4, 0)
    if problem:
        return problem
    if min(kernel) < 1:
        return f"kernel must have a positive size, not {kernel}"
    stride, padding = node.attrs["stride"], node.attrs["padding"]
    dilation, size = node.attrs.get("dilation", (1, 1)), before.shape[:2]
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(s > n for s, n in zip(stride, size, strict=True)):
        return f"stride {stride} is larger than the input {size}"
    if any(p >= reach[n // 2] for n, p in enumerate(padding)):
        return f"padding {padding} must be smaller than the kernel {reach}"
    made = tuple(
        output_size(size[n], kernel[n], stride[n], dilation[n], *padding[2 * n : 2 * n + 2])
        for n in range(2)
    )
    if min(made) < 1:
        return f"kernel {reach} does not fit the input {size} with padding {padding}"
    if after.shape != (*made, channels):
        return f"output shape must be {(*made, channels)}, not {after.shape}"
    return None


def _convolution(node: Node, before: Tensor, after: Tensor, separate: bool) -> str | None:
    problem = _images(node, (before,), after) or _numbers(node, "dilation", 2, 1)
    if problem:
        return problem
    weight, bias = node.consts["weight"], node.consts["bias"]
    channels, outputs = before.shape[2], after.shape[2]
    if weight.ndim != 4:
        return f"weight must have 4 axes, not shape {weight.shape}"
    kernel = (int(weight.shape[1]), int(weight.shape[2]))
    wanted = (1, *kernel, outputs) if separate else (outputs, *kernel, channels)
    if weight.shape != wanted:
        return f"weight must have shape {wanted}, not {weight.shape}"
    if separate and outputs % channels:
        return f"outputs must be a multiple of its {channels} channels, not {outputs}"
    if bias.shape != (outputs,):
        return f"bias must have shape {(outputs,)}, not {bias.shape}"
    return _window(node, before, after, kernel, outputs)


def _float_convolution(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if inputs[0].quantized or output.quantized:
        return f"{node.op} takes float tensors"
    problem = float_constants(node, "weight", "bias")
    return problem or _convolution(node, inputs[0], output, node.op == "depthwise_convolution")


def _int8_convolution(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if not (inputs[0].quantized and output.quantized):
        return f"{node.op} takes int8 tensors"
    problem = _images(node, inputs, output) or int8_constants(node, output.shape[2])
    return problem or _convolution(node, inputs[0], output, node.op == "depthwise_conv_2d")


convolution = depthwise_convolution = _float_convolution
conv_2d = depthwise_conv_2d = _int8_convolution


def pool(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """average_pool_2d and max_pool_2d: padding is not part of any window."""
    (before,) = inputs
    problem = _images(node, inputs, output) or _numbers(node, "kernel", 2, 1)
    if problem:
        return problem
    if not same_grid(before, output):
        return f"{node.op} must keep the scale and the zero point of its input"
    if output.quantized and (problem := clamped(node)):
        return problem
    return _window(node, before, output, node.attrs["kernel"], before.shape[2])


def mean(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """The mean over rows and columns, to (channels,) or (1, 1, channels)."""
    (before,) = inputs
    if len(before.shape) != 3:
        return f"mean takes images (rows, columns, channels), not {before.shape}"
    wanted = before.shape[2:]
    if output.shape not in (wanted, (1, 1, *wanted)):
        return f"output shape must be {wanted} or {(1, 1, *wanted)}, not {output.shape}"
    if before.quantized != output.quantized:
        return "mean takes and gives int8, or float"
    if output.quantized:  # a multiplier that was divided by the size may have one bit less
        return scaled(node.attrs.get("multiplier"), node.attrs.get("shift"), 1 << 29)
    return None


def pad(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """Zeros (zero points) around an image, and before and behind its channels."""
    problem = _images(node, inputs, output)
    problem = problem or _numbers(node, "padding", 4, 0) or _numbers(node, "channels", 2, 0)
    if problem:
        return problem
    top, bottom, left, right = node.attrs["padding"]
    h, w, c = inputs[0].shape
    wanted = (h + top + bottom, w + left + right, c + sum(node.attrs["channels"]))
    if output.shape != wanted:
        return f"output shape must be {wanted}, not {output.shape}"
    if not same_grid(inputs[0], output):
        return "pad must keep the scale and the zero point of its input"
    return None


def add(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """A residual: two tensors of one shape."""
    first, second = inputs
    if first.shape != second.shape:
        return f"the shapes of what is added must be equal, not {first.shape} and {second.shape}"
    if output.shape != first.shape:
        return f"output shape must be {first.shape}, not {output.shape}"
    if not first.quantized == second.quantized == output.quantized:
        return "add takes and gives int8, or float"
    if not output.quantized:
        return None
    if node.attrs.get("left_shift") != 20:
        return f"left_shift must be 20, not {node.attrs.get('left_shift')!r}"
    problem = _numbers(node, "multipliers", 2, 1 << 30) or _numbers(node, "shifts", 2, -31)
    if problem:
        return problem
    for multiplier, shift in (
        *zip(node.attrs["multipliers"], node.attrs["shifts"], strict=True),
        (node.attrs.get("multiplier"), node.attrs.get("shift")),
    ):
        problem = scaled(multiplier, shift)
        if not problem and shift > 0:
            problem = f"shift must be at most 0, not {shift}"
        if problem:
            return problem
    return clamped(node)


def concatenation(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    """Tensors of one scale and zero point, one behind the other."""
    axis = node.attrs.get("axis")
    rank = len(output.shape)
    if not isinstance(axis, int) or not 0 <= axis < rank:
        return f"axis must be 0 to {rank - 1}, not {axis!r}"
    for tensor in inputs:
        others = [shape[:axis] + shape[axis + 1 :] for shape in (tensor.shape, output.shape)]
        if len(tensor.shape) != rank or others[0] != others[1]:
            return f"{tensor.name} has shape {tensor.shape}, which does not fit {output.shape}"
        if not same_grid(tensor, output):
            return f"{tensor.name} must have the scale and the zero point of the output"
    total = sum(tensor.shape[axis] for tensor in inputs)
    if total != output.shape[axis]:
        return f"the inputs have {total} along axis {axis}, not {output.shape[axis]}"
    return None
