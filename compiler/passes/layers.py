"""What the passes on weights have in common: which nodes have them, and what they are worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..ir import OPS, Array, Graph, Node

__all__ = ["Change", "changes", "layers", "macs", "per_layer", "real_weight"]

T = TypeVar("T")


def layers(graph: Graph) -> tuple[Node, ...]:
    """The nodes with weights, float or int8."""
    return tuple(node for node in graph.nodes if "weight" in node.consts)


def per_layer(graph: Graph, value: T | Mapping[str, T]) -> dict[str, T]:
    """A setting for each layer: one value for all, or a mapping that names layers."""
    names = [node.name for node in layers(graph)]
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    for name in value:
        if name not in names:
            raise ValueError(f"layer must be one of {', '.join(names)}, not {name!r}")
    return dict(value)


def real_weight(graph: Graph, node: Node) -> Array:
    """The weights in real units, up to the rounding of the layer's multiplier."""
    weight = node.consts["weight"].astype(np.float64)
    if not OPS[node.op].quantized:
        return weight
    before, after = graph.tensors[node.inputs[0]].scale, graph.tensors[node.output].scale
    assert before is not None and after is not None
    ratio = node.consts["multiplier"] * 2.0 ** (node.consts["shift"] - 31) * after / before
    outputs = 3 if node.op == "depthwise_conv_2d" else 0  # the axis of the weights
    axes = tuple(axis for axis in range(weight.ndim) if axis != outputs)
    scaled: Array = weight * np.expand_dims(ratio, axes)
    return scaled


def macs(graph: Graph, node: Node) -> int:
    """Multiplications of one sample in a layer with weights; padding counts."""
    places = graph.tensors[node.output].shape[:-1]
    return int(np.prod(places, dtype=np.int64)) * int(node.consts["weight"].size)


@dataclass(frozen=True, slots=True)
class Change:
    """What passes did to one layer; errors in real units."""

    name: str
    weights: int
    nonzeros: int
    distinct: int
    max_error: float
    mean_error: float


def changes(before: Graph, after: Graph) -> list[Change]:
    """The change of every layer between two graphs of the same layers and the same kind."""
    rows = []
    for old, new in zip(layers(before), layers(after), strict=True):
        error = np.abs(real_weight(after, new) - real_weight(before, old))
        weight = new.consts["weight"]
        rows.append(
            Change(
                new.name,
                weight.size,
                int(np.count_nonzero(weight)),
                len(np.unique(weight)),
                float(error.max()),
                float(error.mean()),
            )
        )
    return rows
