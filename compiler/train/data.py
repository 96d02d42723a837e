"""Samples with labels, checked and split: what trains, and what is held out from training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..evaluate import quantize_input
from ..ir import Array, Graph

__all__ = ["Data", "DataError", "make_data", "outputs"]

_FEWEST = 10  # samples that can be split


class DataError(ValueError):
    """Samples or labels that training cannot use; one line."""


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Samples (n, *shape) float32; labels int64 classes, or float32 targets (n, values)."""

    x: Array
    y: Array
    held_x: Array
    held_y: Array

    @property
    def classes(self) -> bool:
        """Whether the labels are classes rather than values."""
        return self.y.dtype.kind == "i"


def outputs(graph: Graph) -> int:
    """Values that a sample has at the graph's output."""
    return graph.tensors[graph.outputs[0]].size


def make_data(
    graph: Graph,
    x: ArrayLike,
    y: ArrayLike,
    held: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    share: float = 0.2,
    seed: int = 0,
) -> Data:
    """Samples for a graph; where none are ``held`` out, ``share`` of each class is.

    Raises
    ------
    DataError
        The shapes do not fit the graph or each other, a value is not finite, or a label is no
        class of the graph.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1, not {share!r}")
    samples, labels = _samples(graph, "x", x), _labels(graph, "y", y)
    _equal("x", samples, "y", labels)
    if held is not None:
        held_x, held_y = _samples(graph, "x_test", held[0]), _labels(graph, "y_test", held[1])
        _equal("x_test", held_x, "y_test", held_y)
        if held_y.dtype != labels.dtype:
            raise DataError(f"y_test must be {labels.dtype} as y is, not {held_y.dtype}")
        return Data(samples, labels, held_x, held_y)
    if len(samples) < _FEWEST:
        raise DataError(f"x must have at least {_FEWEST} samples, not {len(samples)}")
    order = np.random.default_rng(seed).permutation(len(samples))
    if labels.dtype.kind == "i":  # class by class, then dealt out
        order = order[np.argsort(labels[order], kind="stable")]
    every = max(2, round(1 / share))
    chosen = np.zeros(len(samples), bool)
    chosen[order[::every]] = True
    return Data(samples[~chosen], labels[~chosen], samples[chosen], labels[chosen])


def _samples(graph: Graph, name: str, x: ArrayLike) -> Array:
    array = np.asarray(x)
    source = graph.tensors[graph.inputs[0]]
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} must be numbers, not {array.dtype}")
    if array.dtype == np.int8 and source.scale is not None and source.zero_point is not None:
        array = (array.astype(np.float64) - source.zero_point) * source.scale
    array = array.astype(np.float32)
    if len(array) == 0 or array.ndim == 0:
        raise DataError(f"{name} must have at least one sample")
    if not np.isfinite(array).all():
        raise DataError(f"{name} must be finite, and it holds NaN or infinity")
    try:
        quantize_input(graph, array[:1])
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
    return array


def _labels(graph: Graph, name: str, y: ArrayLike) -> Array:
    array = np.asarray(y)
    count = outputs(graph)
    if array.dtype.kind in "iub" and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind == "f" and array.ndim == 1 and count > 1:
        whole = np.isfinite(array).all() and (array == np.floor(array)).all()
        if not whole:
            raise DataError(f"{name} must be class numbers, and it holds fractions")
        array = array.astype(np.int64)
    if array.dtype.kind in "iub" and array.ndim == 1:
        classes = max(count, 2)
        if array.size and not 0 <= array.min() <= array.max() < classes:
            wrong = array.min() if array.min() < 0 else array.max()
            raise DataError(
                f"{name} must hold classes 0 to {classes - 1}, as the network has {count} "
                f"output{'s' * (count != 1)}, not {int(wrong)}"
            )
        return array.astype(np.int64)
    if array.dtype.kind == "f" and array.shape[1:] == graph.tensors[graph.outputs[0]].shape:
        if not np.isfinite(array).all():
            raise DataError(f"{name} must be finite, and it holds NaN or infinity")
        return array.astype(np.float32)
    raise DataError(
        f"{name} must be classes (samples,) or values "
        f"{('samples', *graph.tensors[graph.outputs[0]].shape)}, not {array.dtype} {array.shape}"
    )


def _equal(first: str, a: Array, second: str, b: Array) -> None:
    if len(a) != len(b):
        raise DataError(f"{second} must have {len(a)} entries as {first} has, not {len(b)}")
