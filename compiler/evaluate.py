"""Runs a graph on numpy, int8 layers by the golden operators; splits off what the host does."""

import numpy as np
from numpy.typing import ArrayLike

from prunus.sim import ops

from .ir import OPS, Array, Graph, GraphError, Tensor, verify
from .operators import RUN

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
        before = tuple(graph.tensors[name] for name in node.inputs)
        after = graph.tensors[node.output]
        result = RUN[node.op](node, before, after, *(values[name] for name in node.inputs))
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
    with np.errstate(over="ignore"):  # the reference divides in float32
        finite = np.isfinite(array.astype(np.float32))
    if not finite.all():
        raise ValueError(f"{source.name}: x must be free of NaN and infinity")
    return ops.quantize(array, source.scale, source.zero_point).astype(np.int8)


def split_host(graph: Graph) -> tuple[Graph, Graph, Graph]:
    """``(pre, core, post)``: what the host does first, what the gates do, what the host does last.

    The core holds every layer with weights and what no host operator precedes or separates from
    them; each part is a graph whose input is the output of the part before, and
    may be empty (input and output are then one tensor).

    Raises
    ------
    GraphError
        The graph is float, or has no layer for the gates, or an operator that only the host can do
        lies between two of them, or more than one tensor crosses from part to part.
    """
    verify(graph)
    floating = next((node for node in graph.nodes if OPS[node.op].floating), None)
    if floating is not None:
        raise GraphError(f"{floating.name}: {floating.op} is float; calibrate the graph first")
    layers = {n for n, node in enumerate(graph.nodes) if OPS[node.op].quantized}
    if not layers:
        raise GraphError(f"{graph.name}: the graph has no layer with weights")
    origin = {name: frozenset[int]() for name in graph.inputs}  # the nodes behind each tensor
    for number, node in enumerate(graph.nodes):
        origin[node.output] = frozenset({number}).union(*(origin[name] for name in node.inputs))
    needed = frozenset[int]().union(*(origin[graph.nodes[n].output] for n in layers))
    pre, post = set[int](), set[int]()
    for number, node in enumerate(graph.nodes):
        behind = origin[node.output]
        host = OPS[node.op].host
        if node.op == "rescale":  # at the edges the host does it, between layers the gates
            host = number not in needed or not behind & layers
        if host and number in needed:
            if behind & layers:
                raise GraphError(
                    f"{node.name}: {node.op} runs on the host and must not stand between layers "
                    f"({graph.nodes[max(behind & layers)].name} is before it)"
                )
            pre |= behind
        elif host or behind & post:
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
            dict.fromkeys(name for node in nodes for name in node.inputs if name not in made)
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
        hint = ""
        if len(tensor.shape) == 3 and x.shape[1:] == (tensor.shape[2], *tensor.shape[:2]):
            hint = "; channels come last, as after x.transpose(0, 2, 3, 1)"
        raise ValueError(f"{tensor.name}: x must have shape ({wanted}), not {x.shape}{hint}")
    if tensor.quantized and x.dtype != np.int8:
        raise ValueError(f"{tensor.name}: x must be int8, not {x.dtype}")
    if not tensor.quantized and x.dtype.kind != "f":
        raise ValueError(f"{tensor.name}: x must be float, not {x.dtype}")
    return x
