"""How each operator of a graph is computed: int8 ones by the golden operators, others in float64.

Every function takes the node, its input tensors, its output and the values (samples, *shape).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from prunus.sim import ops, ops_conv, ops_join, ops_pool

from .nodes import Array, Node, Tensor

__all__ = ["RUN", "accumulate"]

Tensors = tuple[Tensor, ...]


def _parameters(tensor: Tensor) -> tuple[float, int]:
    assert tensor.scale is not None and tensor.zero_point is not None
    return tensor.scale, tensor.zero_point


def _geometry(node: Node) -> tuple[Any, ...]:
    return tuple(node.attrs[key] for key in ("stride", "padding", "dilation"))


def accumulate(node: Node, before: Tensors, x: Array) -> Array:
    """The sums of a layer with weights, without its bias: (samples, ..., outputs)."""
    weight = node.consts["weight"]
    if node.op == "dense":
        product: Array = x.astype(np.float64) @ weight.astype(np.float64).T
        return product
    geometry = () if node.op == "fully_connected" else _geometry(node)
    if node.op in _CORRELATIONS:
        run = _CORRELATIONS[node.op]
        return run(x.astype(np.float64), weight.astype(np.float64), *geometry)
    return _SUMS[node.op](x, weight, _parameters(before[0])[1], *geometry)


def _layer(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    """An int8 layer with weights: bias and requantization of its sums."""
    c = node.consts
    lo, hi = node.attrs["clamp"]
    return ops.requantize(
        accumulate(node, before, x) + c["bias"],
        c["multiplier"],
        c["shift"],
        node.attrs["rounding"],
        _parameters(after)[1],
        lo,
        hi,
    )


def _real_layer(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    result: Array = accumulate(node, before, x) + node.consts["bias"]
    return result


def _rescale(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    centred = x.astype(np.int64) - _parameters(before[0])[1]
    multiplier, shift = node.attrs["multiplier"], node.attrs["shift"]
    return ops.requantize(
        centred, multiplier, shift, "double", _parameters(after)[1], *node.attrs["clamp"]
    )


def _add(node: Node, before: Tensors, after: Tensor, x: Array, y: Array) -> Array:
    if not after.quantized:
        total: Array = x + y
        return total
    a = node.attrs
    parameters = ops_join.AddParameters(
        a["left_shift"], a["multipliers"], a["shifts"], a["multiplier"], a["shift"]
    )
    zeros = (_parameters(before[0])[1], _parameters(before[1])[1])
    return ops_join.add(x, y, zeros, parameters, _parameters(after)[1], *a["clamp"])


def _lut(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    result: Array = node.consts["table"][x.astype(np.int64) + 128]
    return result


def _where(node: Node) -> tuple[Any, Any, Any]:
    return node.attrs["kernel"], node.attrs["stride"], node.attrs["padding"]


def _average_pool(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    where = _where(node)
    if after.quantized:
        return ops_pool.average_pool_2d(x, *where, *node.attrs["clamp"])
    total = ops_conv.windows(x, *where).sum(axis=(3, 4))
    ones = np.ones((1, *x.shape[1:3], 1))
    result: Array = total / ops_conv.windows(ones, *where).sum(axis=(3, 4))
    return result


def _max_pool(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    where = _where(node)
    if after.quantized:
        return ops_pool.max_pool_2d(x, *where, *node.attrs["clamp"])
    result: Array = ops_conv.windows(x, *where, fill=-np.inf).max(axis=(3, 4))
    return result


def _mean(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    result: Array
    if after.quantized:
        scale = (node.attrs["multiplier"], node.attrs["shift"])
        result = ops_pool.mean_space(x, _parameters(before[0])[1], *scale, _parameters(after)[1])
    else:
        result = x.mean(axis=(1, 2))
    return result.reshape(len(x), *after.shape)


def _pad(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    space, channels = node.attrs["padding"], node.attrs["channels"]
    if after.quantized:
        return ops_join.pad(x, space, channels, _parameters(after)[1])
    return np.pad(x, ((0, 0), space[:2], space[2:], channels))


def _concatenation(node: Node, before: Tensors, after: Tensor, *x: Array) -> Array:
    return np.concatenate(x, axis=node.attrs["axis"] + 1)


def _quantize(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    if before[0].quantized:
        return ops.requantize_int8(x, *_parameters(before[0]), *_parameters(after))
    return ops.quantize(x, *_parameters(after))


def _dequantize(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    return ops.dequantize(x, *_parameters(before[0]))


def _softmax(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    beta = float(node.attrs.get("beta", 1.0))
    if before[0].quantized:
        return ops.softmax_int8(x, _parameters(before[0])[0], beta)
    e = np.exp(beta * (x.astype(np.float64) - x.max(axis=-1, keepdims=True)))
    result: Array = e / e.sum(axis=-1, keepdims=True)
    return result


def _logistic(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    if before[0].quantized:
        return ops.logistic_int8(x, *_parameters(before[0]))
    e = np.exp(-np.abs(x.astype(np.float64)))  # cannot overflow
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def _fake_quantize(node: Node, before: Tensors, after: Tensor, x: Array) -> Array:
    scale, zero, lo, hi = (node.attrs[key] for key in ("scale", "zero_point", "lo", "hi"))
    result: Array = (np.clip(np.rint(x / scale) + zero, lo, hi) - zero) * scale
    return result


_SUMS: dict[str, Callable[..., Array]] = {
    "fully_connected": ops.fully_connected,
    "conv_2d": ops_conv.conv_2d,
    "depthwise_conv_2d": ops_conv.depthwise_conv_2d,
}
_CORRELATIONS: dict[str, Callable[..., Array]] = {
    "convolution": ops_conv.correlate,
    "depthwise_convolution": ops_conv.correlate_depthwise,
}
RUN: dict[str, Callable[..., Array]] = {
    **dict.fromkeys(_SUMS, _layer),
    "average_pool_2d": _average_pool,
    "max_pool_2d": _max_pool,
    "mean": _mean,
    "pad": _pad,
    "add": _add,
    "concatenation": _concatenation,
    "reshape": lambda node, before, after, x: x.reshape(len(x), *after.shape),
    "rescale": _rescale,
    "lut": _lut,
    "softmax": _softmax,
    "logistic": _logistic,
    "quantize": _quantize,
    "dequantize": _dequantize,
    **dict.fromkeys(("dense", *_CORRELATIONS), _real_layer),
    "affine": lambda node, before, after, x: x * node.consts["scale"] + node.consts["offset"],
    "relu": lambda node, before, after, x: np.maximum(x, 0),
    "clip": lambda node, before, after, x: np.clip(x, node.attrs["lo"], node.attrs["hi"]),
    "tanh": lambda node, before, after, x: np.tanh(x),
    "fake_quantize": _fake_quantize,
    "binarize": lambda node, before, after, x: np.where(x >= 0, 1.0, -1.0) * node.attrs["scale"],
}
