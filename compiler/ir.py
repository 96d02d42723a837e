"""The graph: tensors, nodes, and the rules that every pass may rely on.

Everything is immutable; a pass returns a new graph. Shapes leave the batch axis out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "OPS",
    "Array",
    "Graph",
    "GraphError",
    "ModelError",
    "Node",
    "Tensor",
    "equal",
    "live",
    "verify",
]

Array = NDArray[Any]


class GraphError(ValueError):
    """A graph that breaks a rule, or that a pass cannot take; begins with the node's name."""


class ModelError(ValueError):
    """A model file that cannot be read, or holds something that is not supported; one line."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.splitlines()))  # names in a file may hold anything


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation: int8 when it has a scale and a zero point, else float."""

    name: str
    shape: tuple[int, ...]
    scale: float | None = None
    zero_point: int | None = None

    @property
    def quantized(self) -> bool:
        return self.scale is not None

    @property
    def size(self) -> int:
        """Elements of one sample."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator; ``consts`` are its weights, read-only. See :data:`OPS` for the operators."""

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    attrs: Mapping[str, Any] = field(default_factory=dict)
    consts: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frozen = {}
        for key, value in self.consts.items():
            frozen[key] = np.asarray(value).view()
            frozen[key].flags.writeable = False
        object.__setattr__(self, "consts", frozen)
        object.__setattr__(self, "attrs", dict(self.attrs))

    def with_consts(self, **consts: Array) -> "Node":
        """The same node with some constants exchanged."""
        return replace(self, consts={**self.consts, **consts})


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in an order in which every input is defined before it is used."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    nodes: tuple[Node, ...]

    @property
    def quantized(self) -> bool:
        """Whether the layers are int8 (rather than float, to be calibrated)."""
        return any(OPS[node.op].quantized for node in self.nodes if node.op in OPS)

    def producer(self, tensor: str) -> Node | None:
        """The node that makes a tensor; None for an input."""
        return next((node for node in self.nodes if node.output == tensor), None)

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if tensor in node.inputs)

    def with_nodes(
        self, nodes: Iterable[Node], tensors: Mapping[str, Tensor] | None = None
    ) -> "Graph":
        """The same inputs and outputs with other nodes; tensors that nobody uses are dropped."""
        kept = tuple(nodes)
        used = {*self.inputs, *self.outputs}
        used.update(name for node in kept for name in (*node.inputs, node.output))
        every = {**self.tensors, **(tensors or {})}
        return replace(
            self, nodes=kept, tensors={name: every[name] for name in every if name in used}
        )


Check = Callable[[Node, tuple[Tensor, ...], Tensor], str | None]


@dataclass(frozen=True, slots=True)
class OpInfo:
    """The rules of an operator: ``check`` returns what is wrong, or None.

    ``quantized``: it computes on int8 constants of its own; ``host``: never in the gates.
    """

    check: Check
    consts: tuple[str, ...] = ()
    quantized: bool = False
    host: bool = False


def _same_shape(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if inputs[0].shape != output.shape:
        return f"output shape must be {inputs[0].shape}, not {output.shape}"
    return None


def _float_pointwise(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if inputs[0].quantized or output.quantized:
        return f"{node.op} takes float tensors"
    return _same_shape(node, inputs, output)


def _clip(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if not node.attrs.get("lo", 1) < node.attrs.get("hi", 0):
        return f"lo must be below hi, not {node.attrs.get('lo')!r} and {node.attrs.get('hi')!r}"
    return _float_pointwise(node, inputs, output)


def _affine(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    for key in ("scale", "offset"):
        if node.consts[key].shape != output.shape:
            return f"{key} must have shape {output.shape}, not {node.consts[key].shape}"
        if node.consts[key].dtype.kind != "f":
            return f"{key} must be float, not {node.consts[key].dtype}"
    return _float_pointwise(node, inputs, output)


def _matrix(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if len(inputs[0].shape) != 1 or len(output.shape) != 1:
        return f"input and output must be vectors, not {inputs[0].shape} and {output.shape}"
    shape = (*output.shape, *inputs[0].shape)
    if node.consts["weight"].shape != shape:
        return f"weight must have shape {shape}, not {node.consts['weight'].shape}"
    if node.consts["bias"].shape != output.shape:
        return f"bias must have shape {output.shape}, not {node.consts['bias'].shape}"
    return None


def _dense(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if inputs[0].quantized or output.quantized:
        return "dense takes float tensors"
    for key in ("weight", "bias"):
        if node.consts[key].dtype.kind != "f":
            return f"{key} must be float, not {node.consts[key].dtype}"
    return _matrix(node, inputs, output)


def _fully_connected(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if not (inputs[0].quantized and output.quantized):
        return "fully_connected takes int8 tensors"
    dtypes = {"weight": np.int8, "bias": np.int32, "multiplier": np.int64, "shift": np.int64}
    for key, dtype in dtypes.items():
        if node.consts[key].dtype != dtype:
            return f"{key} must be {np.dtype(dtype)}, not {node.consts[key].dtype}"
    for key in ("multiplier", "shift"):
        if node.consts[key].shape not in ((1,), output.shape):
            return f"{key} must have shape (1,) or {output.shape}, not {node.consts[key].shape}"
    q, shift = node.consts["multiplier"], node.consts["shift"]
    if np.any(q < 1 << 30) or np.any(q >= 1 << 31):
        return "multiplier must be 2**30 to 2**31 - 1"
    if np.any(shift < -31) or np.any(shift > 30):
        return "shift must be -31 to 30"
    if node.attrs.get("rounding") not in ("single", "double"):
        return f"rounding must be 'single' or 'double', not {node.attrs.get('rounding')!r}"
    lo, hi = node.attrs.get("clamp", (0, -1))
    if not -128 <= lo <= hi <= 127:
        return f"clamp must be two ordered int8 values, not {node.attrs.get('clamp')!r}"
    return _matrix(node, inputs, output)


def _reshape(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if inputs[0].size != output.size:
        return f"output must have {inputs[0].size} elements, not {output.size}"
    if (inputs[0].scale, inputs[0].zero_point) != (output.scale, output.zero_point):
        return "output must have the scale and the zero point of the input"
    return None


def _closing(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if inputs[0].quantized != output.quantized:
        return f"{node.op} takes and gives int8, or float"
    if output.quantized and (output.scale, output.zero_point) != (1 / 256, -128):
        return f"output must have scale 1/256 and zero point -128, not {output.scale}"
    return _same_shape(node, inputs, output)


def _quantize(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if not output.quantized:
        return "output must be int8"
    return _same_shape(node, inputs, output)


def _dequantize(node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> str | None:
    if not inputs[0].quantized or output.quantized:
        return "dequantize takes int8 and gives float"
    return _same_shape(node, inputs, output)


# int8:  fully_connected (attrs rounding, clamp), reshape, softmax (beta), logistic, quantize
#        (float or int8 to int8), dequantize
# float: dense, affine (x * scale + offset), relu, clip (lo, hi), reshape, softmax, logistic
OPS: dict[str, OpInfo] = {
    "fully_connected": OpInfo(
        _fully_connected, consts=("weight", "bias", "multiplier", "shift"), quantized=True
    ),
    "reshape": OpInfo(_reshape),
    "softmax": OpInfo(_closing, host=True),
    "logistic": OpInfo(_closing, host=True),
    "quantize": OpInfo(_quantize, host=True),
    "dequantize": OpInfo(_dequantize, host=True),
    "dense": OpInfo(_dense, consts=("weight", "bias")),
    "affine": OpInfo(_affine, consts=("scale", "offset")),
    "relu": OpInfo(_float_pointwise),
    "clip": OpInfo(_clip),
}


def verify(graph: Graph) -> Graph:
    """The graph itself, when it keeps every rule.

    Raises
    ------
    GraphError
        Beginning with the name of the node (or tensor) that does not.
    """
    if not graph.inputs or not graph.outputs:
        raise GraphError(f"{graph.name}: the graph must have an input and an output")
    for key, tensor in graph.tensors.items():
        _verify_tensor(key, tensor)
    for name in (*graph.inputs, *graph.outputs):
        if name not in graph.tensors:
            raise GraphError(f"{name}: no such tensor")
    defined, names = set(graph.inputs), set[str]()
    for node in graph.nodes:
        if node.op not in OPS:
            raise GraphError(f"{node.name}: unknown operator {node.op!r}")
        if node.name in names:
            raise GraphError(f"{node.name}: two nodes have this name")
        names.add(node.name)
        if len(node.inputs) != 1:
            raise GraphError(f"{node.name}: {node.op} takes 1 input, not {len(node.inputs)}")
        for name in node.inputs:
            if name not in defined:
                raise GraphError(f"{node.name}: input {name!r} is not defined before it")
        if node.output in defined:
            raise GraphError(f"{node.name}: output {node.output!r} is defined twice")
        if node.output not in graph.tensors:
            raise GraphError(f"{node.name}: output {node.output!r} is not a tensor of the graph")
        defined.add(node.output)
        info = OPS[node.op]
        if set(node.consts) != set(info.consts):
            raise GraphError(
                f"{node.name}: constants must be {info.consts}, not {tuple(node.consts)}"
            )
        inputs = tuple(graph.tensors[name] for name in node.inputs)
        problem = info.check(node, inputs, graph.tensors[node.output])
        if problem:
            raise GraphError(f"{node.name}: {problem}")
    for name in graph.outputs:
        if name not in defined:
            raise GraphError(f"{name}: the output is never computed")
    return graph


def live(nodes: Iterable[Node], outputs: Iterable[str]) -> tuple[Node, ...]:
    """The nodes that the outputs depend on, in their order."""
    needed, kept = set(outputs), list[Node]()
    for node in reversed(tuple(nodes)):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def _verify_tensor(key: str, tensor: Tensor) -> None:
    if key != tensor.name:
        raise GraphError(f"{key}: its tensor is called {tensor.name!r}")
    if any(not isinstance(size, int) or size < 1 for size in tensor.shape):
        raise GraphError(f"{key}: shape must be positive integers, not {tensor.shape}")
    if (tensor.scale is None) != (tensor.zero_point is None):
        raise GraphError(f"{key}: scale and zero_point go together")
    if tensor.scale is not None and tensor.zero_point is not None:
        if not (np.isfinite(tensor.scale) and tensor.scale > 0):
            raise GraphError(f"{key}: scale must be positive and finite, not {tensor.scale!r}")
        if not -128 <= tensor.zero_point <= 127:
            raise GraphError(f"{key}: zero_point must be -128 to 127, not {tensor.zero_point!r}")


def equal(a: Graph, b: Graph) -> bool:
    """Whether two graphs are the same, constants included."""
    return (
        (a.name, a.inputs, a.outputs, dict(a.tensors), len(a.nodes))
        == (b.name, b.inputs, b.outputs, dict(b.tensors), len(b.nodes))
    ) and all(
        (p.name, p.op, p.inputs, p.output, p.attrs, p.consts.keys())
        == (q.name, q.op, q.inputs, q.output, q.attrs, q.consts.keys())
        and all(
            p.consts[key].dtype == q.consts[key].dtype
            and np.array_equal(p.consts[key], q.consts[key])
            for key in p.consts
        )
        for p, q in zip(a.nodes, b.nodes, strict=True)
    )
