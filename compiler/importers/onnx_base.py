"""What the converters of all ONNX operators share: values, checks, nodes as they are made.

ONNX puts channels first; here images are (rows, columns, channels). So a value of the file is a
:class:`View`: a tensor of the graph, the shape that the file gives it, and where each of its
values stands in that shape. A transposition or a reshape of the file then moves nothing.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..ir import Array, ModelError, Node, Tensor
from .onnx_constants import attributes

__all__ = ["Builder", "View", "image_order", "plain_order"]


@cache
def plain_order(size: int) -> Array:
    """Values in the order that the file has."""
    return np.arange(size)


@cache
def image_order(channels: int, rows: int, columns: int) -> Array:
    """Where the values of an image with channels last stand in one with channels first.

    >>> image_order(2, 1, 3).tolist()
    [0, 3, 1, 4, 2, 5]
    """
    size = channels * rows * columns
    return plain_order(size).reshape(channels, rows, columns).transpose(1, 2, 0).ravel()


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A value of the file: without the batch, value n of ``tensor`` is value ``order[n]`` of it."""

    tensor: Tensor
    shape: tuple[int, ...]
    order: Array

    @property
    def plain(self) -> bool:
        """Whether the tensor has the file's order."""
        return np.array_equal(self.order, plain_order(self.tensor.size))

    def stored(self, value: Array) -> Array:
        """An array of the file's shape as the tensor has it."""
        return np.ascontiguousarray(value.ravel()[self.order].reshape(self.tensor.shape))


class Builder:
    """Nodes in order, with constants on one side and activations on the other."""

    def __init__(self, model: Any):
        self.model = model
        self.opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
                         default=1)  # fmt: skip
        self.constants: dict[str, Array] = {}
        self.tensors: dict[str, Tensor] = {}
        self.known: dict[str, View] = {}  # by the name in the file: identities share a tensor
        self.nodes: list[Node] = []
        self.grids: dict[str, tuple[float, int]] = {}  # of tensors, where the file has them
        self.scales: dict[str, tuple[Array, int]] = {}  # of dequantized constants, and their axis
        self.weight_scales: dict[str, Array] = {}  # of layers
        self.node: Any = None
        self.number = 0

    def at(self) -> str:
        """The node, for a message."""
        label = f" {self.node.name!r}" if self.node.name else ""
        return f"node {self.number}{label}, {self.node.op_type}"

    def fail(self, problem: str) -> ModelError:
        """An error that begins with the node."""
        return ModelError(f"{self.at()}: {problem}")

    def define(self, name: str, tensor: Tensor, shape: tuple[int, ...], order: Array) -> View:
        """A new tensor of the graph, by its name in the file."""
        view = self.known[name] = View(tensor, shape, order)
        self.tensors[tensor.name] = tensor
        return view

    def attr(self, name: str, default: Any) -> Any:
        """An attribute of the node."""
        return attributes(self.node).get(name, default)

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """An attribute that is a list, of the length of its default."""
        value = tuple(int(item) for item in self.attr(name, default))
        if len(value) != len(default):
            raise self.fail(f"{name} must have {len(default)} entries, not {value}")
        return value

    def given(self, position: int) -> str:
        """The name of an input; empty when it is left out."""
        return self.node.input[position] if position < len(self.node.input) else ""

    def activation(self, position: int) -> View:
        """An input that comes from the network's input."""
        name = self.given(position)
        if name not in self.known:
            raise self.fail(f"input {name!r} must come from the network's input")
        return self.known[name]

    def constant(self, position: int) -> Array | None:
        """A constant input; None when it is left out."""
        name = self.given(position)
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
        """A constant float input, finite."""
        value = self.constant(position)
        if value is None or value.dtype not in (np.float32, np.float64):
            raise self.fail(f"input {position} must be a float32 constant")
        if not np.isfinite(value).all():
            raise self.fail(f"input {self.node.input[position]!r} is not finite")
        return value

    def integer_input(self, position: int, key: str) -> list[int] | None:
        """A list that is an attribute in older operator sets and an input in newer ones."""
        value = self.constant(position)
        value = self.attr(key, None) if value is None else value.ravel()
        return None if value is None else [int(item) for item in value]

    def add(
        self,
        op: str,
        before: Tensor | tuple[Tensor, ...],
        shape: tuple[int, ...],
        suffix: str = "",
        like: View | None = None,
        **more: Any,
    ) -> View:
        """Append a node; the last one of a file's node has its output's name.

        ``like`` is the view whose file shape and order the output has; without it they are plain.
        """
        label = (self.node.name or f"{self.node.op_type.lower()}_{self.number}") + suffix
        if any(label == node.name for node in self.nodes):
            label = f"{label}#{self.number}"
        name = self.node.output[0] + suffix
        if name in self.known:
            raise self.fail(f"output {name!r} is computed twice")
        inputs = before if isinstance(before, tuple) else (before,)
        names = tuple(tensor.name for tensor in inputs)
        self.nodes.append(Node(label, op, names, name, **more))
        tensor = Tensor(name, shape)
        if like is None:
            return self.define(name, tensor, shape, plain_order(tensor.size))
        return self.define(name, tensor, like.shape, like.order)

    def add_image(self, op: str, before: Tensor | tuple[Tensor, ...], shape: tuple[int, ...],
                  suffix: str = "", **more: Any) -> View:  # fmt: skip
        """Append a node whose output is an image (rows, columns, channels)."""
        rows, columns, channels = shape
        if min(shape) < 1:
            raise self.fail(f"makes an image of {shape}; the window does not fit its input")
        if rows * columns * channels > 1 << 26:
            raise self.fail(f"makes an image of {shape}, of more than {1 << 26} values")
        order = image_order(channels, rows, columns)
        view = View(Tensor("", shape), (channels, rows, columns), order)
        return self.add(op, before, shape, suffix, like=view, **more)

    def flat(self, view: View, suffix: str = "_flat") -> Tensor:
        """The tensor of a view as a vector, in the order that it has."""
        if len(view.tensor.shape) == 1:
            return view.tensor
        return self.add("reshape", view.tensor, (view.tensor.size,), suffix).tensor

    def image(self, position: int = 0) -> tuple[Tensor, tuple[int, int, int]]:
        """An input as an image (rows, columns, channels), and that shape."""
        view = self.activation(position)
        if len(view.shape) != 3:
            raise self.fail(
                f"input must be an image (batch, channels, rows, columns), not of shape "
                f"{(1, *view.shape)}"
            )
        channels, rows, columns = view.shape
        if not np.array_equal(view.order, image_order(channels, rows, columns)):
            raise self.fail("its input would have to be transposed, which is not supported")
        shape = (rows, columns, channels)
        if view.tensor.shape == shape:
            return view.tensor, shape
        return self.add_image("reshape", view.tensor, shape, f"_image{position}").tensor, shape
