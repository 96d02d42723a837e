"""Weight sharing: every layer's weights become a few values, found by k-means."""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from ..ir import Array, Graph, Node
from .layers import per_layer

__all__ = ["Init", "codebook", "share", "share_weights"]

Init = Literal["linear", "density", "random"]
_ROUNDS = 1000


def share(
    graph: Graph,
    bits: int | Mapping[str, int],
    init: Init = "linear",
    *,
    zero_free: bool | None = None,
) -> Graph:
    """Every layer's weights become at most ``2**bits`` values; zeros stay zeros.

    A mapping names the layers that are shared. ``zero_free`` says that a layer is stored sparse,
    where zeros take no codebook entry, so that all 2**bits values are for the others; by default
    it is so for layers of which less than half the weights are not zero. Else zero counts.

    Needs: nothing (float or int8). Keeps: zeros, shapes, biases, scales; int8 stays int8.
    Source: Han et al., "Deep Compression", ICLR 2016; "linear" is its best initialization.

    Raises
    ------
    ValueError
        bits is not 1..8, init is not known, or a layer does not exist.
    """
    wanted = per_layer(graph, bits)

    def shared(node: Node) -> Node:
        if node.name not in wanted:
            return node
        weight = node.consts["weight"]
        sparse = 2 * int(np.count_nonzero(weight)) < weight.size
        sparse = sparse if zero_free is None else zero_free
        return node.with_consts(
            weight=share_weights(weight, wanted[node.name], init, zero_free=sparse)
        )

    return graph.with_nodes([shared(node) for node in graph.nodes])


def share_weights(
    weight: Array, bits: int, init: Init = "linear", *, zero_free: bool = False
) -> Array:
    """An array of at most ``2**bits`` distinct values, each weight's nearest; see :func:`share`."""
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 8:
        raise ValueError(f"bits must be 1 to 8, not {bits!r}")
    if init not in get_args(Init):
        raise ValueError(f"init must be one of {', '.join(get_args(Init))}, not {init!r}")
    array = np.asarray(weight)
    nonzero = array != 0
    values, inverse, counts = np.unique(array[nonzero], return_inverse=True, return_counts=True)
    clusters = (1 << bits) - int(not zero_free and not nonzero.all())
    if len(values) <= clusters:
        return array
    centres = _lloyd(values.astype(np.float64), counts, clusters, init)
    if array.dtype.kind == "i":
        centres = np.unique(np.rint(centres))
    nearest = centres[np.searchsorted((centres[1:] + centres[:-1]) / 2, values, side="right")]
    result = np.zeros_like(array)
    result[nonzero] = nearest.astype(array.dtype)[inverse]
    return result


def codebook(weight: Array) -> Array:
    """The distinct weights in rising order.

    >>> codebook(np.array([[3, 0], [-1, 3]], np.int8)).tolist()
    [-1, 0, 3]
    """
    values: Array = np.unique(weight)
    return values


def _lloyd(values: Array, counts: Array, clusters: int, init: Init) -> Array:
    """K-means of sorted values on a line: clusters are intervals, so that prefix sums suffice.

    Lloyd's algorithm, as scikit-learn's KMeans from the same centres; a round costs
    ``clusters * log(values)`` rather than their product. An empty cluster moves to the value that
    is farthest from its centre.
    """
    if init == "linear":
        centres = np.linspace(values[0], values[-1], clusters)
    elif init == "density":
        share = (np.cumsum(counts) - counts / 2) / counts.sum()
        centres = np.interp((np.arange(clusters) + 0.5) / clusters, share, values)
    else:
        rng = np.random.default_rng(0)
        centres = np.sort(rng.choice(values, clusters, replace=False, p=counts / counts.sum()))
    total = np.concatenate([[0.0], np.cumsum(values * counts)])
    number = np.concatenate([[0], np.cumsum(counts)])
    for _ in range(_ROUNDS):
        inner = np.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
        edges = np.concatenate([[0], inner, [len(values)]])
        sizes = np.diff(number[edges])
        means = np.diff(total[edges]) / np.maximum(sizes, 1)
        moved = np.where(sizes > 0, means, 0.0)
        empty = np.flatnonzero(sizes == 0)
        if len(empty):
            distance = np.abs(values - np.repeat(moved, np.diff(edges)))
            moved[empty] = values[np.argsort(-distance, kind="stable")[: len(empty)]]
            moved.sort()
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres
