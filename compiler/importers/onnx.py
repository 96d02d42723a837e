"""Float ONNX models of fully-connected networks."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..ir import Array, Graph, GraphError, ModelError, Node, Tensor, live, verify
from ..passes.fold_affine import fold_affine
from .onnx_constants import FOLDED, attributes, constant, first_line, fold, initializer

__all__ = ["import_onnx", "parse"]

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
_LARGEST = 1 << 31  # protobuf's own limit
_MOST_NODES = 2048


def import_onnx(path: str | Path) -> Graph:
    """The float graph of an ``.onnx`` file, its scales and offsets folded into the layers.

    Raises
    ------
    ModelError
        One line that names the file and what in it cannot be taken.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise ModelError(f"{path}: no such file")
        if file.stat().st_size >= _LARGEST:
            raise ModelError(f"{path}: larger than an .onnx file can be (2 GB)")
        raw = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    return parse(raw, str(path))


def parse(raw: bytes, name: str) -> Graph:
    """The graph of the bytes of an ``.onnx`` file; ``name`` stands in messages."""
    try:
        model = onnx.ModelProto.FromString(raw)
    except Exception as error:  # protobuf's implementations raise types of their own
        raise ModelError(f"{name}: not an .onnx file, or damaged") from error
    if not model.graph.node:
        raise ModelError(f"{name}: not an .onnx file, or one without nodes")
    if len(model.graph.node) > _MOST_NODES:
        raise ModelError(f"{name}: has {len(model.graph.node)} nodes, more than {_MOST_NODES}")
    try:
        with np.errstate(all="ignore"):  # the result is checked instead
            return _Importer(model, Path(name).stem or "model").graph()
    except (ModelError, GraphError) as error:
        raise ModelError(f"{name}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{name}: damaged: {first_line(error)}") from error


class _Importer:
    """Walks the nodes in order, with constants on one side and activations on the other."""

    def __init__(self, model: Any, name: str):
        self.model = model
        self.name = name
        self.opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
                         default=1)  # fmt: skip
        self.constants: dict[str, Array] = {}
        self.tensors: dict[str, Tensor] = {}
        self.known: dict[str, Tensor] = {}  # by the name in the file: identities share a tensor
        self.nodes: list[Node] = []
        self.node: Any = None
        self.number = 0

    def graph(self) -> Graph:
        proto = self.model.graph
        self.refuse()
        for tensor in proto.initializer:
            self.constants[tensor.name] = initializer(tensor)
        sources = [value for value in proto.input if value.name not in self.constants]
        for kind, values in (("input", sources), ("output", proto.output)):
            if len(values) != 1:
                raise ModelError(f"has {len(values)} {kind}s; one is supported")
        source = self.source(sources[0])
        for number, node in enumerate(proto.node):
            self.number, self.node = number, node
            self.step()
        target = self.known.get(proto.output[0].name)
        if target is None:
            raise ModelError(f"output {proto.output[0].name!r} is never computed from the input")
        nodes = live(self.nodes, (target.name,))
        graph = Graph(self.name, (source.name,), (target.name,), self.tensors, nodes)
        graph = verify(fold_affine(verify(graph.with_nodes(nodes))))
        for node in graph.nodes:
            if not all(np.isfinite(value).all() for value in node.consts.values()):
                raise ModelError(f"node {node.name!r}: a weight or a bias is not finite")
            if node.op in ("softmax", "logistic") and graph.consumers(node.output):
                raise ModelError(f"node {node.name!r}: {node.op} must close the network")
        return graph

    def refuse(self) -> None:
        """Name the first node that is not supported, then let the checker look for damage."""
        for number, node in enumerate(self.model.graph.node):
            self.number, self.node = number, node
            kind, domain = node.op_type, node.domain
            if domain not in ("", "ai.onnx"):
                raise ModelError(f"{self.at()} of domain {domain!r} is not supported")
            if kind not in _CONVERT and kind not in FOLDED and kind not in ("Constant", "Shape"):
                raise ModelError(f"{self.at()} is not supported; supported are {_SUPPORTED}")
        for tensor in self.model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                initializer(tensor)  # which refuses it
        try:
            onnx.checker.check_model(self.model)
        except Exception as error:  # ValidationError, and others from the C++ underneath
            raise ModelError(f"not a valid model: {first_line(error)}") from error

    def source(self, value: Any) -> Tensor:
        kind = value.type.tensor_type
        if kind.elem_type not in _FLOATS:
            names = onnx.TensorProto.DataType.Name(kind.elem_type)
            raise ModelError(f"input {value.name!r} is {names}; only FLOAT models are supported")
        dims = [dim.dim_value for dim in kind.shape.dim]
        if len(dims) < 2 or dims[0] not in (0, 1):
            raise ModelError(
                f"input {value.name!r} has shape {tuple(dims)}; the first axis must be a batch, "
                "of 1 or of any size"
            )
        if min(dims[1:]) < 1 or math.prod(dims[1:]) > 1 << 26:
            raise ModelError(
                f"input {value.name!r} has shape {tuple(dims)}; sizes must be fixed and positive, "
                f"at most {1 << 26} together"
            )
        return self.tensor(value.name, tuple(dims[1:]))

    def at(self) -> str:
        label = f" {self.node.name!r}" if self.node.name else ""
        return f"node {self.number}{label}, {self.node.op_type}"

    def fail(self, problem: str) -> ModelError:
        return ModelError(f"{self.at()}: {problem}")

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = self.tensors[name] = self.known[name] = Tensor(name, shape)
        return tensor

    def step(self) -> None:
        """Convert one node, or compute it when all it needs is constant."""
        node = self.node
        fixed = all(not name or name in self.constants for name in node.input)
        if node.op_type == "Constant":
            self.constants[node.output[0]] = constant(node)
        elif node.op_type == "Shape" and not fixed:
            shape = np.array([1, *self.activation(0).shape], np.int64)
            self.constants[node.output[0]] = shape[self.attr("start", 0) : self.attr("end", None)]
        elif node.op_type in FOLDED and fixed:
            values = [self.constants[name] if name else None for name in node.input]
            self.constants[node.output[0]] = fold(node, values, self.model.opset_import)
        elif node.op_type in _CONVERT:
            _CONVERT[node.op_type](self)
        else:
            raise self.fail("is supported on constants only")

    def attr(self, name: str, default: Any) -> Any:
        return attributes(self.node).get(name, default)

    def activation(self, position: int) -> Tensor:
        name = self.node.input[position] if position < len(self.node.input) else ""
        if name not in self.known:
            raise self.fail(f"input {name!r} must come from the network's input")
        return self.known[name]

    def constant(self, position: int) -> Array | None:
        """A constant input; None when it is left out."""
        name = self.node.input[position] if position < len(self.node.input) else ""
        if not name:
            return None
        if name not in self.constants:
            raise self.fail(f"input {name!r} must be constant")
        return self.constants[name]

    def number_input(self, position: int, key: str, default: float) -> float:
        """A scalar that is an attribute in older operator sets and an input in newer ones."""
        value = self.constant(position)
        if value is None:
            return float(self.attr(key, default))
        if value.size != 1:
            raise self.fail(f"{key} must be one number, not of shape {value.shape}")
        return float(value.item())

    def floats(self, position: int) -> Array:
        value = self.constant(position)
        if value is None or value.dtype not in (np.float32, np.float64):
            raise self.fail(f"input {position} must be a float32 constant")
        if not np.isfinite(value).all():
            raise self.fail(f"input {self.node.input[position]!r} is not finite")
        return value

    def add(
        self, op: str, before: Tensor, shape: tuple[int, ...], suffix: str = "", **more: Any
    ) -> Tensor:
        """Append a node; the last one of a file's node has its output's name."""
        label = (self.node.name or f"{self.node.op_type.lower()}_{self.number}") + suffix
        if any(label == node.name for node in self.nodes):
            label = f"{label}#{self.number}"
        name = self.node.output[0] + suffix
        if name in self.known:
            raise self.fail(f"output {name!r} is computed twice")
        tensor = self.tensor(name, shape)
        self.nodes.append(Node(label, op, (before.name,), name, **more))
        return tensor

    def layer(self, before: Tensor, weight: Array, bias: Array) -> None:
        """A dense layer on the last axis; every other one must be 1."""
        if before.size != weight.shape[1] or before.shape[-1] != before.size:
            raise self.fail(
                f"input has shape {before.shape} a sample for {weight.shape[1]} rows of weights"
            )
        consts = {"weight": np.ascontiguousarray(weight), "bias": bias}
        outputs = len(weight)
        if len(before.shape) == 1:
            self.add("dense", before, (outputs,), consts=consts)
            return
        flat = self.add("reshape", before, (before.size,), "_flat")
        product = self.add("dense", flat, (outputs,), "_dense", consts=consts)
        self.add("reshape", product, (*before.shape[:-1], outputs))

    def gemm(self) -> None:
        before, matrix = self.activation(0), self.floats(1)
        if self.attr("transA", 0):
            raise self.fail("transA exchanges the batch with the features; only 0 is supported")
        if matrix.ndim != 2:
            raise self.fail(f"weights must have 2 axes, not shape {matrix.shape}")
        weight = matrix if self.attr("transB", 0) else matrix.T
        dtype = matrix.dtype.type
        bias = np.zeros(len(weight), dtype)
        if self.constant(2) is not None:
            bias = self.per_sample(self.floats(2), (len(weight),)) * dtype(self.attr("beta", 1.0))
        self.layer(before, weight * dtype(self.attr("alpha", 1.0)), bias.astype(dtype))

    def matmul(self) -> None:
        if self.node.input[0] in self.constants:
            raise self.fail("weights must be the second input")
        matrix = self.floats(1)
        if matrix.ndim != 2:
            raise self.fail(f"weights must have 2 axes, not shape {matrix.shape}")
        self.layer(self.activation(0), matrix.T, np.zeros(matrix.shape[1], matrix.dtype))

    def per_sample(self, value: Array, shape: tuple[int, ...]) -> Array:
        """A constant broadcast to one sample."""
        try:
            sample: Array = np.broadcast_to(value, (1, *shape))[0].copy()
            return sample
        except ValueError:
            raise self.fail(f"constant of shape {value.shape} does not fit {shape}") from None

    def arithmetic(self) -> None:
        names = list(self.node.input)
        if all(name in self.known for name in names):
            raise self.fail("two activations are combined; one must be constant")
        position = 1 if names[0] in self.known else 0
        kind, before = self.node.op_type, self.activation(1 - position)
        value = self.per_sample(self.floats(position), before.shape)
        ones, zeros = np.ones_like(value), np.zeros_like(value)
        if kind == "Div" and (position == 0 or not value.all()):
            raise self.fail("only a division by a constant other than 0 is supported")
        scale, offset = {
            "Add": (ones, value),
            "Sub": (ones, -value) if position else (-ones, value),
            "Mul": (value, zeros),
            "Div": (1 / np.where(value == 0, 1, value), zeros),
        }[kind]
        consts = {"scale": scale, "offset": offset}
        self.add("affine", before, before.shape, consts=consts)

    def batch_normalization(self) -> None:
        before = self.activation(0)
        if self.attr("training_mode", 0):
            raise self.fail("is in training mode; export the model for inference")
        gamma, beta, mean, variance = (
            self.floats(position).astype(np.float64) for position in (1, 2, 3, 4)
        )
        if {gamma.shape, beta.shape, mean.shape, variance.shape} != {before.shape[:1]}:
            raise self.fail(f"parameters must have shape {before.shape[:1]}")
        spread = variance + self.attr("epsilon", 1e-5)
        if not (spread > 0).all():
            raise self.fail("a variance is not positive")
        scale = gamma / np.sqrt(spread)
        axes = (-1,) + (1,) * (len(before.shape) - 1)
        consts = {
            key: np.broadcast_to(value.reshape(axes), before.shape).astype(np.float32)
            for key, value in (("scale", scale), ("offset", beta - mean * scale))
        }
        self.add("affine", before, before.shape, consts=consts)

    def relu(self) -> None:
        before = self.activation(0)
        self.add("relu", before, before.shape)

    def clip(self) -> None:
        before = self.activation(0)
        lo = self.number_input(1, "min", -math.inf)
        hi = self.number_input(2, "max", math.inf)
        if not lo < hi:
            raise self.fail(f"min must be below max, not {lo!r} and {hi!r}")
        if lo == 0 and hi == math.inf:
            self.add("relu", before, before.shape)
        else:
            self.add("clip", before, before.shape, attrs={"lo": lo, "hi": hi})

    def same(self) -> None:
        """Identity, Dropout at inference, a Cast between floats."""
        if self.node.op_type == "Dropout":
            training = self.constant(2) if len(self.node.input) > 2 else None
            if training is not None and training.any():
                raise self.fail("is in training mode; export the model for inference")
        if self.node.op_type == "Cast" and self.attr("to", 0) not in _FLOATS:
            raise self.fail("only a cast to FLOAT is supported")
        self.known[self.node.output[0]] = self.activation(0)

    def reshape(self) -> None:
        before = self.activation(0)
        full = (1, *before.shape)
        shape = _SHAPES[self.node.op_type](self, full)
        if shape[0] != 1 or len(shape) < 2 or math.prod(shape) != before.size:
            raise self.fail(f"makes {shape} of {full}; the batch must stay the first axis")
        self.add("reshape", before, shape[1:])

    def flatten_shape(self, full: tuple[int, ...]) -> tuple[int, ...]:
        axis = self.attr("axis", 1)
        axis += len(full) if axis < 0 else 0
        return math.prod(full[:axis]), math.prod(full[axis:])

    def reshape_shape(self, full: tuple[int, ...]) -> tuple[int, ...]:
        given = self.constant(1)
        wanted = [int(size) for size in (self.attr("shape", ()) if given is None else given)]
        if not self.attr("allowzero", 0):
            if any(size == 0 and n >= len(full) for n, size in enumerate(wanted)):
                raise self.fail(f"shape {wanted} copies an axis that {full} does not have")
            wanted = [size or full[n] for n, size in enumerate(wanted)]
        rest = math.prod(size for size in wanted if size != -1)
        if wanted.count(-1) > 1 or rest < 1 or any(size < -1 for size in wanted):
            raise self.fail(f"shape {wanted} is not one")
        return tuple(math.prod(full) // rest if size == -1 else size for size in wanted)

    def axes(self) -> list[int]:
        given = self.constant(1)
        axes = self.attr("axes", ()) if given is None else given
        return [int(axis) for axis in axes]

    def squeeze_shape(self, full: tuple[int, ...]) -> tuple[int, ...]:
        gone = {axis % len(full) for axis in self.axes()}
        gone = gone or {n for n, size in enumerate(full) if n and size == 1}
        return tuple(size for n, size in enumerate(full) if n not in gone)

    def unsqueeze_shape(self, full: tuple[int, ...]) -> tuple[int, ...]:
        rank = len(full) + len(self.axes())
        new = {axis % rank for axis in self.axes()}
        sizes = iter(full)
        return tuple(1 if n in new else next(sizes) for n in range(rank))

    def softmax(self) -> None:
        before = self.activation(0)
        axis = self.attr("axis", 1 if self.opset < 13 else -1)
        if len(before.shape) != 1 or axis not in (1, -1):
            raise self.fail(f"must be over the last of 2 axes, not over axis {axis}")
        self.add("softmax", before, before.shape, attrs={"beta": 1.0})

    def sigmoid(self) -> None:
        before = self.activation(0)
        self.add("logistic", before, before.shape)


_SHAPES: dict[str, Callable[[_Importer, tuple[int, ...]], tuple[int, ...]]] = {
    "Flatten": _Importer.flatten_shape,
    "Reshape": _Importer.reshape_shape,
    "Squeeze": _Importer.squeeze_shape,
    "Unsqueeze": _Importer.unsqueeze_shape,
}
_CONVERT: dict[str, Callable[[_Importer], None]] = {
    "Add": _Importer.arithmetic,
    "BatchNormalization": _Importer.batch_normalization,
    "Cast": _Importer.same,
    "Clip": _Importer.clip,
    "Div": _Importer.arithmetic,
    "Dropout": _Importer.same,
    "Flatten": _Importer.reshape,
    "Gemm": _Importer.gemm,
    "Identity": _Importer.same,
    "MatMul": _Importer.matmul,
    "Mul": _Importer.arithmetic,
    "Relu": _Importer.relu,
    "Reshape": _Importer.reshape,
    "Sigmoid": _Importer.sigmoid,
    "Softmax": _Importer.softmax,
    "Squeeze": _Importer.reshape,
    "Sub": _Importer.arithmetic,
    "Unsqueeze": _Importer.reshape,
}
_SUPPORTED = ", ".join(_CONVERT)
