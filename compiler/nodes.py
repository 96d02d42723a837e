"""Tensors and nodes, what graphs are made of, and the errors of whoever reads or changes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "GraphError", "ModelError", "Node", "Tensor"]

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
