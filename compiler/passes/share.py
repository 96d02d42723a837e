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
    weights = array[nonzero]
    values, counts = _distinct(weights)
    clusters = (1 << bits) - int(not zero_free and len(weights) < array.size)
    if len(values) <= clusters:
        return array
    centres = _centres(values.astype(np.float64), counts, clusters, init)
    if array.dtype.kind == "i":
        centres = np.unique(np.rint(centres))
    bounds = (centres[1:] + centres[:-1]) / 2
    result = np.zeros_like(array)
    result[nonzero] = centres.astype(array.dtype)[_nearest(bounds, weights)]
    return result


def _distinct(weights: Array) -> tuple[Array, Array]:
    """Distinct values in rising order, and how often each occurs."""
    ordered = np.sort(weights)
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    return ordered[starts], np.diff(starts, append=len(ordered))


def _nearest(bounds: Array, weights: Array) -> Array:
    """The number of the centre of each weight, ``bounds`` lying between the centres."""
    return np.searchsorted(bounds, weights, side="right")


def codebook(weight: Array) -> Array:
    """The distinct weights in rising order.

    >>> codebook(np.array([[3, 0], [-1, 3]], np.int8)).tolist()
    [-1, 0, 3]
    """
    values: Array = np.unique(weight)
    return values


def _centres(values: Array, counts: Array, clusters: int, init: Init) -> Array:
    """Centres of a k-means of rising ``values``, each ``counts`` times, in rising order.

    In one dimension a cluster is a range of the values, and sums over ranges are differences of
    running sums: a round costs a search for each centre, however many values there are.
    """
    if init == "linear":
        centres = np.linspace(values[0], values[-1], clusters)
    elif init == "density":
        share = (np.cumsum(counts) - counts / 2) / counts.sum()
        centres = np.interp((np.arange(clusters) + 0.5) / clusters, share, values)
    else:
        rng = np.random.default_rng(0)
        centres = np.sort(rng.choice(values, clusters, replace=False, p=counts / counts.sum()))
    number = np.concatenate([[0], np.cumsum(counts)])
    total = np.concatenate([[0.0], np.cumsum(values * counts)])
    before = None
    for _ in range(_ROUNDS):
        inner = np.searchsorted(values, (centres[1:] + centres[:-1]) / 2, side="left")
        edges = np.concatenate([[0], inner, [len(values)]])
        if before is not None and np.array_equal(edges, before):
            break
        before = edges
        size = np.diff(number[edges])
        centres = np.diff(total[edges]) / np.maximum(size, 1)
        empty = np.flatnonzero(size == 0)
        if len(empty):
            centres = np.delete(centres, empty)
            centres = np.sort(np.concatenate([centres, _farthest(values, centres, len(empty))]))
    else:
        return centres
    # Running sums round more than sums of the ranges themselves do.
    exact: Array = np.add.reduceat(values * counts, edges[:-1]) / size
    return exact


def _farthest(values: Array, centres: Array, count: int) -> Array:
    """The values farthest from their centres: what centres without any value become."""
    nearest = centres[_nearest((centres[1:] + centres[:-1]) / 2, values)]
    distance = np.abs(values - nearest)
    return values[np.argpartition(-distance, count - 1)[:count]]
