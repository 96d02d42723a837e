"""Removes channels that are constant, or that nothing depends on, without changing a result.

A channel whose weights are all zero is the constant that its bias gives. What a layer behind it
makes of a constant is a constant too, and goes into that layer's bias.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..ir import Array, Graph, GraphError, Node, Tensor, verify
from ..operators import RUN

__all__ = ["constants", "fold_constants"]

Mask = NDArray[np.bool_]
_POINTWISE = ("rescale", "lut", "max_pool_2d", "average_pool_2d", "mean", "pad")
_UNKNOWN = 1 << 10  # no int8 value


def fold_constants(graph: Graph) -> Graph:
    """``layer -> layer`` loses the channels between them that are constant, or that are not used.

    The border of a padded layer sees the zero point and not the constant: a padded convolution
    takes a constant only if it is the zero point, else the channel stays; and what a padded
    depthwise layer makes of a constant is only then a constant.

    Needs: an int8 graph. Keeps: every output, bit for bit; the inputs and outputs themselves; at
    least one channel of each tensor.
    """
    if not graph.quantized:
        raise GraphError(f"{graph.name}: fold_constants takes an int8 graph; calibrate it first")
    verify(graph)
    values = constants(graph)
    gone = _removable(graph, values)
    tensors = {
        name: replace(tensor, shape=_shrunk(graph, tensor, gone[name]))
        for name, tensor in graph.tensors.items()
    }
    nodes = tuple(_smaller(graph, node, values, gone) for node in graph.nodes)
    return verify(replace(graph, nodes=nodes, tensors=tensors))


def constants(graph: Graph) -> dict[str, Array]:
    """The value of each channel (last axis) of every int8 tensor; 1024 where it is not constant."""
    values = {name: np.full(graph.tensors[name].shape[-1:], _UNKNOWN) for name in graph.inputs}
    for node in graph.nodes:
        inputs = tuple(graph.tensors[name] for name in node.inputs)
        after = graph.tensors[node.output]
        given = [values[name] for name in node.inputs]
        channels = after.shape[-1] if after.shape else 0
        unknown = np.full(channels, _UNKNOWN)
        if not after.quantized or not all(tensor.quantized for tensor in inputs):
            values[node.output] = unknown
            continue
        known = _known(node, inputs, after, given)
        if not known.any():
            values[node.output] = unknown
            continue
        # whatever stands in for a value that is not known, known outputs do not depend on it
        samples = [
            np.broadcast_to(np.where(v == _UNKNOWN, 0, v), (1, *tensor.shape)).astype(np.int8)
            for v, tensor in zip(given, inputs, strict=True)
        ]
        result = RUN[node.op](node, inputs, after, *samples).reshape(-1, channels)[0]
        values[node.output] = np.where(known, result.astype(np.int64), _UNKNOWN)
    return values


def _known(node: Node, inputs: tuple[Tensor, ...], after: Tensor, given: list[Array]) -> Mask:
    """Which channels of a node's output are constant."""
    (before, *_), (value, *_) = inputs, given
    known: Mask
    fixed = [v != _UNKNOWN for v in given]
    channels = after.shape[-1]
    if "weight" in node.consts:
        used = node.consts["weight"] != 0
        steady = _steady(node, before, value)
        if node.op == "depthwise_conv_2d":
            quiet = ~used.any(axis=(0, 1, 2))
            known = quiet | np.repeat(steady, channels // len(steady))
            return known
        moving: Mask = used.reshape(channels, -1, len(steady))[:, :, ~steady].any(axis=(1, 2))
        return ~moving
    if node.op == "add":
        known = fixed[0] & fixed[1]
        return known
    if node.op == "concatenation" and _joins_channels(node, after):
        return np.concatenate(fixed)
    if node.op == "pad":
        front, back = node.attrs["channels"]
        space = any(node.attrs["padding"])
        inside = fixed[0] & ((value == before.zero_point) | (not space))
        return np.concatenate([np.ones(front, bool), inside, np.ones(back, bool)])
    known = np.zeros(channels, bool)
    if node.op in _POINTWISE:
        known = fixed[0]
    elif node.op == "reshape" and (places := _places(before, after)) is not None:
        known = fixed[0][places]
    return known


def _steady(node: Node, before: Tensor, value: Array) -> Mask:
    """Which input channels of a layer add the same to every output position."""
    inner = any(node.attrs.get("padding", ()))
    steady: Mask = (value != _UNKNOWN) & ((value == before.zero_point) | (not inner))
    return steady


def _places(before: Tensor, after: Tensor) -> Array | None:
    """For each last-axis position behind a reshape, the channel in front; None if they mix.

    Flattening makes a vector in which the channels repeat; other axes of size 1 may come and go.
    """
    channels = before.shape[-1]
    if len(after.shape) == 1:
        return np.arange(after.shape[0]) % channels
    return np.arange(channels) if after.shape[-1] == channels else None


def _joins_channels(node: Node, after: Tensor) -> bool:
    return bool(node.attrs["axis"] == len(after.shape) - 1)


def _removable(graph: Graph, values: dict[str, Array]) -> dict[str, Mask]:
    """The channels of each tensor that go: all, less what the operators on both sides need."""
    gone = {name: np.ones(tensor.shape[-1:], bool) for name, tensor in graph.tensors.items()}
    for name in (*graph.inputs, *graph.outputs):
        gone[name][:] = False
    changed = True
    while changed:
        before = {name: mask.copy() for name, mask in gone.items()}
        for node in reversed(graph.nodes):
            _limit(graph, node, values, gone)
        for mask in gone.values():
            if mask.all():
                mask[0] = False
        changed = any((before[name] != gone[name]).any() for name in gone)
    return gone


def _limit(graph: Graph, node: Node, values: dict[str, Array], gone: dict[str, Mask]) -> None:
    """Take from ``gone`` what one node needs."""
    first, after = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    behind = gone[node.output]
    if node.op == "depthwise_conv_2d":
        groups = behind.reshape(len(gone[first.name]), -1)
        gone[first.name] &= groups.all(axis=1)
        behind &= np.repeat(gone[first.name], groups.shape[1])
    elif "weight" in node.consts:
        steady = _steady(node, first, values[first.name])
        used = (node.consts["weight"] != 0).reshape(len(behind), -1, len(steady))
        gone[first.name] &= steady | ~used[~behind].any(axis=(0, 1))
    elif node.op in (*_POINTWISE, "add"):
        front, _ = node.attrs.get("channels", (0, 0))
        inner = slice(front, front + len(gone[first.name]))
        shared = behind[inner].copy()
        for name in node.inputs:
            shared &= gone[name]
        behind[:] = False
        behind[inner] = shared
        for name in node.inputs:
            gone[name] &= shared
    elif node.op == "concatenation" and _joins_channels(node, after):
        start = 0
        for name in node.inputs:
            part = behind[start : start + len(gone[name])]
            start += len(part)
            shared = part & gone[name]
            part &= shared
            gone[name] &= shared
    elif node.op == "reshape" and (places := _places(first, after)) is not None:
        counts = np.bincount(places, ~behind, minlength=len(gone[first.name]))
        gone[first.name] &= counts == 0
        behind &= gone[first.name][places]
    else:
        behind[:] = False
        for name in node.inputs:
            gone[name][:] = False


def _shrunk(graph: Graph, tensor: Tensor, gone: Mask) -> tuple[int, ...]:
    return (*tensor.shape[:-1], int((~gone).sum())) if tensor.shape else ()


def _smaller(graph: Graph, node: Node, values: dict[str, Array], gone: dict[str, Mask]) -> Node:
    """A node without the channels that are gone; what they added is in the bias."""
    if "weight" not in node.consts:
        return node
    before, kept = graph.tensors[node.inputs[0]], ~gone[node.output]
    entering = ~gone[node.inputs[0]]
    weight = node.consts["weight"]
    consts = {
        key: node.consts[key] if len(node.consts[key]) == 1 < len(kept) else node.consts[key][kept]
        for key in ("multiplier", "shift")
    }
    bias = node.consts["bias"].astype(np.int64)
    if node.op == "depthwise_conv_2d":
        return node.with_consts(
            weight=weight[..., kept], bias=bias[kept].astype(np.int32), **consts
        )
    assert before.zero_point is not None
    value = values[before.name]
    value = np.where(value == _UNKNOWN, before.zero_point, value)  # then it is not used
    rows = weight.astype(np.int64).reshape(len(kept), -1, len(value)).sum(axis=1)
    bias = bias + (rows * ~entering) @ (value - before.zero_point)
    return node.with_consts(
        weight=np.ascontiguousarray(weight[kept][..., entering]),
        bias=bias[kept].astype(np.int32),
        **consts,
    )
