"""ONNX operators on vectors, on each value, and those that only change a shape."""

import math

import numpy as np
import onnx

from ..ir import Array
from .onnx_base import Builder, View, plain_order
from .onnx_quantized import layer_scales

__all__ = [
    "FLOATS",
    "arithmetic",
    "batch_normalization",
    "clip",
    "gemm",
    "matmul",
    "relu",
    "reshape",
    "same",
    "sigmoid",
    "softmax",
    "tanh",
    "transpose",
]

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


def _layer(build: Builder, before: View, weight: Array, bias: Array, axis: int) -> None:
    """A dense layer on the last axis; every other one must be 1.

    ``axis`` is that of the outputs in the file's weights.
    """
    size = before.tensor.size
    if size != weight.shape[1] or before.shape[-1] != size:
        raise build.fail(
            f"input has shape {before.shape} a sample for {weight.shape[1]} rows of weights"
        )
    consts = {"weight": np.ascontiguousarray(weight[:, before.order]), "bias": bias}
    outputs = len(weight)
    flat = build.flat(before)
    if len(before.shape) == 1:
        build.add("dense", flat, (outputs,), consts=consts)
        layer_scales(build, axis)
        return
    product = build.add("dense", flat, (outputs,), "_dense", consts=consts)
    layer_scales(build, axis)
    build.add("reshape", product.tensor, (*before.shape[:-1], outputs))


def gemm(build: Builder) -> None:
    """Gemm with constant weights."""
    before, matrix = build.activation(0), build.floats(1)
    if build.attr("transA", 0):
        raise build.fail("transA exchanges the batch with the features; only 0 is supported")
    if matrix.ndim != 2:
        raise build.fail(f"weights must have 2 axes, not shape {matrix.shape}")
    weight = matrix if build.attr("transB", 0) else matrix.T
    dtype = matrix.dtype.type
    bias = np.zeros(len(weight), dtype)
    if build.constant(2) is not None:
        beta = dtype(build.attr("beta", 1.0))
        bias = _per_sample(build, build.floats(2), (len(weight),)) * beta
    alpha = dtype(build.attr("alpha", 1.0))
    _layer(build, before, weight * alpha, bias.astype(dtype), 1 - build.attr("transB", 0))


def matmul(build: Builder) -> None:
    """MatMul with constant weights behind."""
    if build.node.input[0] in build.constants:
        raise build.fail("weights must be the second input")
    matrix = build.floats(1)
    if matrix.ndim != 2:
        raise build.fail(f"weights must have 2 axes, not shape {matrix.shape}")
    _layer(build, build.activation(0), matrix.T, np.zeros(matrix.shape[1], matrix.dtype), 1)


def _per_sample(build: Builder, value: Array, shape: tuple[int, ...]) -> Array:
    """A constant broadcast to one sample."""
    try:
        sample: Array = np.broadcast_to(value, (1, *shape))[0].copy()
        return sample
    except ValueError:
        raise build.fail(f"constant of shape {value.shape} does not fit {shape}") from None


def arithmetic(build: Builder) -> None:
    """Add, Sub, Mul, Div with a constant; Add of two activations."""
    names = list(build.node.input)
    kind = build.node.op_type
    if all(name in build.known for name in names):
        if kind != "Add":
            raise build.fail("two activations are combined; one must be constant")
        _residual(build)
        return
    position = 1 if names[0] in build.known else 0
    before = build.activation(1 - position)
    value = before.stored(_per_sample(build, build.floats(position), before.shape))
    ones, zeros = np.ones_like(value), np.zeros_like(value)
    if kind == "Div" and (position == 0 or not value.all()):
        raise build.fail("only a division by a constant other than 0 is supported")
    scale, offset = {
        "Add": (ones, value),
        "Sub": (ones, -value) if position else (-ones, value),
        "Mul": (value, zeros),
        "Div": (1 / np.where(value == 0, 1, value), zeros),
    }[kind]
    consts = {"scale": scale, "offset": offset}
    build.add("affine", before.tensor, before.tensor.shape, like=before, consts=consts)


def _residual(build: Builder) -> None:
    first, second = build.activation(0), build.activation(1)
    if first.shape != second.shape:
        raise build.fail(
            f"what is added must have one shape, not {first.shape} and {second.shape} a sample"
        )
    if not np.array_equal(first.order, second.order):
        raise build.fail("an input would have to be transposed, which is not supported")
    other = second.tensor
    if other.shape != first.tensor.shape:
        other = build.add("reshape", other, first.tensor.shape, "_alike", like=second).tensor
    build.add("add", (first.tensor, other), first.tensor.shape, like=first)


def batch_normalization(build: Builder) -> None:
    """A scale and an offset for each channel."""
    before = build.activation(0)
    if build.attr("training_mode", 0):
        raise build.fail("is in training mode; export the model for inference")
    gamma, beta, mean, variance = (
        build.floats(position).astype(np.float64) for position in (1, 2, 3, 4)
    )
    if {gamma.shape, beta.shape, mean.shape, variance.shape} != {before.shape[:1]}:
        raise build.fail(f"parameters must have shape {before.shape[:1]}")
    spread = variance + build.attr("epsilon", 1e-5)
    if not (spread > 0).all():
        raise build.fail("a variance is not positive")
    scale = gamma / np.sqrt(spread)
    axes = (-1,) + (1,) * (len(before.shape) - 1)
    consts = {
        key: before.stored(np.broadcast_to(value.reshape(axes), before.shape)).astype(np.float32)
        for key, value in (("scale", scale), ("offset", beta - mean * scale))
    }
    build.add("affine", before.tensor, before.tensor.shape, like=before, consts=consts)


def relu(build: Builder) -> None:
    """Relu."""
    before = build.activation(0)
    build.add("relu", before.tensor, before.tensor.shape, like=before)


def tanh(build: Builder) -> None:
    """Tanh."""
    before = build.activation(0)
    build.add("tanh", before.tensor, before.tensor.shape, like=before)


def clip(build: Builder) -> None:
    """Clip between constants."""
    before = build.activation(0)
    lo = build.number_input(1, "min", -math.inf)
    hi = build.number_input(2, "max", math.inf)
    if not lo < hi:
        raise build.fail(f"min must be below max, not {lo!r} and {hi!r}")
    if lo == 0 and hi == math.inf:
        build.add("relu", before.tensor, before.tensor.shape, like=before)
    else:
        attrs = {"lo": lo, "hi": hi}
        build.add("clip", before.tensor, before.tensor.shape, like=before, attrs=attrs)


def same(build: Builder) -> None:
    """Identity, Dropout at inference, a Cast between floats."""
    if build.node.op_type == "Dropout":
        training = build.constant(2) if len(build.node.input) > 2 else None
        if training is not None and training.any():
            raise build.fail("is in training mode; export the model for inference")
    if build.node.op_type == "Cast" and build.attr("to", 0) not in FLOATS:
        raise build.fail("only a cast to FLOAT is supported")
    build.known[build.node.output[0]] = build.activation(0)


def reshape(build: Builder) -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze: another shape for the same values in their order."""
    before = build.activation(0)
    full = (1, *before.shape)
    shape = _SHAPES[build.node.op_type](build, full)
    if shape[0] != 1 or len(shape) < 2 or math.prod(shape) != before.tensor.size:
        raise build.fail(f"makes {shape} of {full}; the batch must stay the first axis")
    if before.plain:
        build.add("reshape", before.tensor, shape[1:])
    else:
        build.known[build.node.output[0]] = View(before.tensor, shape[1:], before.order)


def transpose(build: Builder) -> None:
    """Transpose: the file's order changes, the values stay."""
    before = build.activation(0)
    full = (1, *before.shape)
    axes = build.attr("perm", tuple(reversed(range(len(full)))))
    if sorted(axes) != list(range(len(full))) or axes[0] != 0:
        raise build.fail(f"perm {list(axes)} of {full}; the batch must stay the first axis")
    perm = [axis - 1 for axis in axes[1:]]
    moved = plain_order(before.tensor.size).reshape(before.shape).transpose(perm)
    place = np.empty(before.tensor.size, np.int64)
    place[moved.ravel()] = plain_order(before.tensor.size)
    shape = tuple(before.shape[axis] for axis in perm)
    build.known[build.node.output[0]] = View(before.tensor, shape, place[before.order])


def _flatten_shape(build: Builder, full: tuple[int, ...]) -> tuple[int, ...]:
    axis = build.attr("axis", 1)
    axis += len(full) if axis < 0 else 0
    return math.prod(full[:axis]), math.prod(full[axis:])


def _reshape_shape(build: Builder, full: tuple[int, ...]) -> tuple[int, ...]:
    given = build.constant(1)
    wanted = [int(size) for size in (build.attr("shape", ()) if given is None else given)]
    if not build.attr("allowzero", 0):
        if any(size == 0 and n >= len(full) for n, size in enumerate(wanted)):
            raise build.fail(f"shape {wanted} copies an axis that {full} does not have")
        wanted = [size or full[n] for n, size in enumerate(wanted)]
    rest = math.prod(size for size in wanted if size != -1)
    if wanted.count(-1) > 1 or rest < 1 or any(size < -1 for size in wanted):
        raise build.fail(f"shape {wanted} is not one")
    return tuple(math.prod(full) // rest if size == -1 else size for size in wanted)


def _axes(build: Builder) -> list[int]:
    return build.integer_input(1, "axes") or []


def _squeeze_shape(build: Builder, full: tuple[int, ...]) -> tuple[int, ...]:
    gone = {axis % len(full) for axis in _axes(build)}
    gone = gone or {n for n, size in enumerate(full) if n and size == 1}
    return tuple(size for n, size in enumerate(full) if n not in gone)


def _unsqueeze_shape(build: Builder, full: tuple[int, ...]) -> tuple[int, ...]:
    rank = len(full) + len(_axes(build))
    new = {axis % rank for axis in _axes(build)}
    sizes = iter(full)
    return tuple(1 if n in new else next(sizes) for n in range(rank))


_SHAPES = {
    "Flatten": _flatten_shape,
    "Reshape": _reshape_shape,
    "Squeeze": _squeeze_shape,
    "Unsqueeze": _unsqueeze_shape,
}


def softmax(build: Builder) -> None:
    """Softmax over the last of 2 axes."""
    before = build.activation(0)
    axis = build.attr("axis", 1 if build.opset < 13 else -1)
    if len(before.shape) != 1 or axis not in (1, -1):
        raise build.fail(f"must be over the last of 2 axes, not over axis {axis}")
    flat = build.flat(before)
    view = View(flat, before.shape, before.order)
    build.add("softmax", flat, flat.shape, like=view, attrs={"beta": 1.0})


def sigmoid(build: Builder) -> None:
    """Sigmoid."""
    before = build.activation(0)
    build.add("logistic", before.tensor, before.tensor.shape, like=before)
