"""Each operator of a graph in PyTorch: int8 ones in steps beside the zero point, others in floats.

Images are (samples, rows, columns, channels), as in the graph. A function takes the node, its input
tensors, its output, and the values; what an operator has as weights comes from its layer.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nn

from prunus.sim.ops import quantize_multiplier

from ..nodes import GraphError, Node, Tensor
from .rounding import away, limited, requantized, straight, table

__all__ = ["CLOSING", "RUN", "layer", "zero_of"]

Value = Any  # torch.Tensor, which is not there to be checked
Tensors = tuple[Tensor, ...]
CLOSING = ("softmax", "logistic", "dequantize")  # at the end, after what training looks at


def zero_of(tensor: Tensor) -> int:
    """The zero point; 0 of a float tensor."""
    return tensor.zero_point or 0


def _clamped(node: Node, after: Tensor, x: Value) -> Value:
    lo, hi = node.attrs["clamp"]
    return limited(x, lo - zero_of(after), hi - zero_of(after))


def _scaled(x: Value, multiplier: int, shift: int, rounding: str = "double") -> Value:
    return requantized(x, torch.tensor(multiplier), torch.tensor(shift), rounding)


def layer(node: Node, x: Value, weight: Value, bias: Value) -> Value:
    """The sums of a layer with weights, bias included; weights as the graph has them."""
    if node.op in ("dense", "fully_connected"):
        return nn.linear(x, weight, bias)
    top, bottom, left, right = node.attrs["padding"]
    x = x.permute(0, 3, 1, 2)
    if top == bottom and left == right:
        padding = (top, left)
    else:
        x, padding = nn.pad(x, (left, right, top, bottom)), (0, 0)
    separate = node.op.startswith("depthwise")
    kernel = weight.permute(3, 0, 1, 2) if separate else weight.permute(0, 3, 1, 2)
    groups = x.shape[1] if separate else 1
    stride, dilation = node.attrs["stride"], node.attrs["dilation"]
    return nn.conv2d(x, kernel, bias, stride, padding, dilation, groups).permute(0, 2, 3, 1)


def _windows(node: Node, x: Value, fill: float) -> Value:
    top, bottom, left, right = node.attrs["padding"]
    x = x.permute(0, 3, 1, 2)
    return nn.pad(x, (left, right, top, bottom), value=fill) if any(node.attrs["padding"]) else x


def _max_pool(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    windows = _windows(node, x, -torch.inf)
    result = nn.max_pool2d(windows, node.attrs["kernel"], node.attrs["stride"]).permute(0, 2, 3, 1)
    return _clamped(node, after, result) if after.quantized else result


def _average_pool(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    kernel, stride = node.attrs["kernel"], node.attrs["stride"]

    def total(value: Value) -> Value:
        windows = _windows(node, value, 0.0)
        return nn.avg_pool2d(windows, kernel, stride, divisor_override=1).permute(0, 2, 3, 1)

    count = total(torch.ones_like(x[:1]))
    if not after.quantized:
        return total(x) / count
    zero = zero_of(after)  # halves are those of the raw values
    return _clamped(node, after, away(total(x) / count + zero) - zero)


def _mean(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    if not after.quantized:
        return x.mean(dim=(1, 2)).reshape(len(x), *after.shape)
    total = _scaled(x.sum(dim=(1, 2)), node.attrs["multiplier"], node.attrs["shift"])
    zero = zero_of(after)
    return limited(total, -128 - zero, 127 - zero).reshape(len(x), *after.shape)


def _pad(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    top, bottom, left, right = node.attrs["padding"]
    return nn.pad(x, (*node.attrs["channels"], left, right, top, bottom))


def _add(node: Node, before: Tensors, after: Tensor, x: Value, y: Value) -> Value:
    if not after.quantized:
        return x + y
    a = node.attrs
    pairs = zip((x, y), a["multipliers"], a["shifts"], strict=True)
    # doubles: the sums have 28 bits
    terms = [_scaled(v.double() * 2 ** a["left_shift"], q, shift) for v, q, shift in pairs]
    total = _scaled(terms[0] + terms[1], a["multiplier"], a["shift"])
    return _clamped(node, after, total.to(x.dtype))


def _rescale(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    scaled = _scaled(x, node.attrs["multiplier"], node.attrs["shift"])
    return _clamped(node, after, scaled)


def _lut(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    values = torch.from_numpy(node.consts["table"].astype(np.float64)).to(x.dtype)
    return table(x + zero_of(before[0]), values) - zero_of(after)


def _quantize(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    zero, (source,) = zero_of(after), before
    assert after.scale is not None
    if source.scale is None:
        steps = away(x.float() / float(np.float32(after.scale))).to(x.dtype)
    else:
        ratio = float(np.float32(source.scale)) / float(np.float32(after.scale))
        steps = _scaled(x, *quantize_multiplier(ratio))
    return limited(steps, -128 - zero, 127 - zero)


def _concatenation(node: Node, before: Tensors, after: Tensor, *x: Value) -> Value:
    return torch.cat(x, dim=node.attrs["axis"] + 1)


def _constant(node: Node, key: str, x: Value) -> Value:
    return torch.from_numpy(np.array(node.consts[key])).to(x.dtype)


def _affine(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    return x * _constant(node, "scale", x) + _constant(node, "offset", x)


def _fake_quantize(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    scale, zero, lo, hi = (node.attrs[key] for key in ("scale", "zero_point", "lo", "hi"))
    steps = x / scale
    nearest = straight(steps, torch.round(steps.detach()))  # halves to even
    return limited(nearest, lo - zero, hi - zero) * scale


def _binarize(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    scale = node.attrs["scale"]
    sign = torch.where(x.detach() >= 0, scale, -scale).to(x.dtype)
    return straight(limited(x, -1.0, 1.0), sign)


def _closing(node: Node, before: Tensors, after: Tensor, x: Value) -> Value:
    raise GraphError(f"{node.name}: {node.op} must close the network to be trained")


RUN: dict[str, Callable[..., Any]] = {
    "average_pool_2d": _average_pool,
    "max_pool_2d": _max_pool,
    "mean": _mean,
    "pad": _pad,
    "add": _add,
    "concatenation": _concatenation,
    "reshape": lambda node, before, after, x: x.reshape(len(x), *after.shape),
    "rescale": _rescale,
    "lut": _lut,
    "quantize": _quantize,
    "dequantize": _closing,
    "softmax": _closing,
    "logistic": _closing,
    "affine": _affine,
    "relu": lambda node, before, after, x: nn.relu(x),
    "clip": lambda node, before, after, x: limited(x, node.attrs["lo"], node.attrs["hi"]),
    "tanh": lambda node, before, after, x: torch.tanh(x),
    "fake_quantize": _fake_quantize,
    "binarize": _binarize,
}
