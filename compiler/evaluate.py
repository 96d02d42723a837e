"""Runs a graph on numpy, int8 layers by the golden operators; splits off what the host does."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from prunus.sim import ops

from .ir import OPS, Array, Graph, GraphError, Node, Tensor, verify

__all__ = ["output", "quantize_input", "run", "split_host"]


def run(graph: Graph, x: ArrayLike) -> dict[str, Array]:
    """The value of every tensor, each (samples, *shape); int8 for int8 tensors, else float.

    Float layers are computed in float64, int8 layers with :mod:`prunus.sim.ops`.

    Raises
    ------
    ValueError
        x has the wrong shape or type for the input.
    """
    if len(graph.inputs) != 1:
        raise GraphError(f"{graph.name}: the graph must have one input, not {len(graph.inputs)}")
    source = graph.tensors[graph.inputs[0]]
    values: dict[str, Array] = {source.name: _checked(source, np.asarray(x))}
    for node in graph.nodes:
        before, after = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        result = _RUN[node.op](node, before, after, values[before.name])
        values[after.name] = result.astype(np.int8) if after.quantized else result
    return values


def output(graph: Graph, x: ArrayLike) -> Array:
    """The value of the graph's only output."""
    if len(graph.outputs) != 1:
        raise GraphError(f"{graph.name}: the graph must have one output, not {len(graph.outputs)}")
    return run(graph, x)[graph.outputs[0]]


def quantize_input(graph: Graph, x: ArrayLike) -> Array:
    """Samples for the graph's input: floats become int8 when the input is int8.

    Int8 samples are only checked. A single sample, without the batch axis, is refused.
    """
    source = graph.tensors[graph.inputs[0]]
    array = np.asarray(x)
    if source.scale is None or source.zero_point is None or array.dtype.kind != "f":
        return _checked(source, array)
    if array.shape[1:] != source.shape or array.ndim != len(source.shape) + 1:
        return _checked(source, array)  # which says what is wrong
    if not np.isfinite(array).all():
        raise ValueError(f"{source.name}: x must be free of NaN and infinity")
    return ops.quantize(array, source.scale, source.zero_point).astype(np.int8)


def split_host(graph: Graph) -> tuple[Graph, Graph, Graph]:
    """``(pre, core, post)``: what the host does first, what the gates do, what the host does last.

    The core holds every fully_connected node and the reshapes that no host operator precedes or
    separates from them; each part is a graph whose input is the output of the part before, and
    may be empty (input and output are then one tensor).

    Raises
    ------
    GraphError
        The graph is float, or has no layer for the gates, or an operator that only the host can do
        lies between two of them, or more than one tensor crosses from part to part.
    """
    verify(graph)
    floating = next((n for n in graph.nodes if n.op in ("dense", "affine", "relu", "clip")), None)
    if floating is not None:
        raise GraphError(f"{floating.name}: {floating.op} is float; calibrate the graph first")
    layers = {n for n, node in enumerate(graph.nodes) if node.op == "fully_connected"}
    if not layers:
        raise GraphError(f"{graph.name}: the graph has no fully_connected layer")
    origin = {name: frozenset[int]() for name in graph.inputs}  # the nodes behind each tensor
    for number, node in enumerate(graph.nodes):
        origin[node.output] = origin[node.inputs[0]] | {number}
    needed = frozenset[int]().union(*(origin[graph.nodes[n].output] for n in layers))
    pre, post = set[int](), set[int]()
    for number, node in enumerate(graph.nodes):
        behind = origin[node.output]
        if OPS[node.op].host and number in needed:
            if behind & layers:
                raise GraphError(
                    f"{node.name}: {node.op} runs on the host and must not stand between layers "
                    f"({graph.nodes[max(behind & layers)].name} is before it)"
                )
            pre |= behind
        elif OPS[node.op].host or behind & post:
            post.add(number)
    core = set(range(len(graph.nodes))) - pre - post
    middle = _part(graph, "core", core)
    (entry,), (result,) = middle.inputs, middle.outputs
    if not set(graph.outputs) <= {graph.nodes[n].output for n in post} | {result}:
        raise GraphError(f"{graph.name}: every output must come from the last layer or after it")
    return _part(graph, "pre", pre, entry), middle, _part(graph, "post", post, result)


def _part(graph: Graph, suffix: str, numbers: set[int], border: str | None = None) -> Graph:
    """The graph of some nodes; without any, one of the tensor at the border alone."""
    nodes = tuple(graph.nodes[number] for number in sorted(numbers))
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    if not nodes and border is not None:
        inputs = outputs = (border,)
    else:
        made = {node.output for node in nodes}
        others = (node for n, node in enumerate(graph.nodes) if n not in numbers)
        wanted = {name for node in others for name in node.inputs}.union(graph.outputs)
        inputs = tuple(
            dict.fromkeys(node.inputs[0] for node in nodes if node.inputs[0] not in made)
        )
        outputs = tuple(node.output for node in nodes if node.output in wanted)
    if len(inputs) != 1 or (len(outputs) != 1 and suffix != "post"):
        raise GraphError(
            f"{graph.name}: one tensor must enter and one must leave the {suffix} part, not "
            f"{inputs} and {outputs}"
        )
    part = Graph(f"{graph.name}.{suffix}", inputs, outputs, dict(graph.tensors), nodes)
    return verify(part.with_nodes(nodes))


def _checked(tensor: Tensor, x: Array) -> Array:
    if x.ndim != len(tensor.shape) + 1 or x.shape[1:] != tensor.shape:
        wanted = ", ".join(map(str, ("samples", *tensor.shape)))
        raise ValueError(f"{tensor.name}: x must have shape ({wanted}), not {x.shape}")
    if tensor.quantized and x.dtype != np.int8:
        raise ValueError(f"{tensor.name}: x must be int8, not {x.dtype}")
    if not tensor.quantized and x.dtype.kind != "f":
        raise ValueError(f"{tensor.name}: x must be float, not {x.dtype}")
    return x


def _parameters(tensor: Tensor) -> tuple[float, int]:
    assert tensor.scale is not None and tensor.zero_point is not None
    return tensor.scale, tensor.zero_point


def _fully_connected(node: Node, before: Tensor, after: Tensor, x: Array) -> Array:
    c = node.consts
    acc = ops.fully_connected(x, c["weight"], _parameters(before)[1]) + c["bias"]
    lo, hi = node.attrs["clamp"]
    return ops.requantize(
        acc, c["multiplier"], c["shift"], node.attrs["rounding"], _parameters(after)[1], lo, hi
    )


def _quantize(node: Node, before: Tensor, after: Tensor, x: Array) -> Array:
    if before.quantized:
        return ops.requantize_int8(x, *_parameters(before), *_parameters(after))
    return ops.quantize(x, *_parameters(after))


def _softmax(node: Node, before: Tensor, after: Tensor, x: Array) -> Array:
    beta = float(node.attrs.get("beta", 1.0))
    if before.quantized:
        return ops.softmax_int8(x, _parameters(before)[0], beta)
    e = np.exp(beta * (x.astype(np.float64) - x.max(axis=-1, keepdims=True)))
    result: Array = e / e.sum(axis=-1, keepdims=True)
    return result


def _logistic(node: Node, before: Tensor, after: Tensor, x: Array) -> Array:
    if before.quantized:
        return ops.logistic_int8(x, *_parameters(before))
    e = np.exp(-np.abs(x.astype(np.float64)))  # cannot overflow
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def _dense(node: Node, before: Tensor, after: Tensor, x: Array) -> Array:
    weight = node.consts["weight"].astype(np.float64)
    result: Array = x.astype(np.float64) @ weight.T + node.consts["bias"]
    return result


_RUN: dict[str, Callable[[Node, Tensor, Tensor, Array], Array]] = {
    "fully_connected": _fully_connected,
    "reshape": lambda node, before, after, x: x.reshape(len(x), *after.shape),
    "softmax": _softmax,
    "logistic": _logistic,
    "quantize": _quantize,
    "dequantize": lambda node, before, after, x: ops.dequantize(x, *_parameters(before)),
    "dense": _dense,
    "affine": lambda node, before, after, x: x * node.consts["scale"] + node.consts["offset"],
    "relu": lambda node, before, after, x: np.maximum(x, 0),
    "clip": lambda node, before, after, x: np.clip(x, node.attrs["lo"], node.attrs["hi"]),
}
