"""Weight sharing: every layer's weights become a few values, found by k-means."""

import warnings
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from ..ir import Array, Graph, Node
from .layers import per_layer

__all__ = ["Init", "codebook", "share", "share_weights"]

Init = Literal["linear", "density", "random"]
_ROUNDS = 1000
_BINS = 1 << 14


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
    centres = _centres(values.astype(np.float64), counts, clusters, init)
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


def _centres(values: Array, counts: Array, clusters: int, init: Init) -> Array:
    """Centres of a k-means of sorted ``values``, each ``counts`` times, in rising order.

    More than ``_BINS`` values are first gathered into that many bins of equal width, each with its
    mean and its weight; a codebook has at most 256 entries.
    """
    if len(values) > _BINS:
        edges = np.linspace(values[0], values[-1], _BINS + 1)[1:-1]
        bins = np.searchsorted(edges, values)
        weights = np.bincount(bins, weights=counts, minlength=_BINS)
        sums = np.bincount(bins, weights=values * counts, minlength=_BINS)
        values, counts = sums[weights > 0] / weights[weights > 0], weights[weights > 0]
    if init == "linear":
        start = np.linspace(values[0], values[-1], clusters)
    elif init == "density":
        share = (np.cumsum(counts) - counts / 2) / counts.sum()
        start = np.interp((np.arange(clusters) + 0.5) / clusters, share, values)
    else:
        rng = np.random.default_rng(0)
        start = rng.choice(values, clusters, replace=False, p=counts / counts.sum())
    kmeans = KMeans(clusters, init=start[:, None], n_init=1, max_iter=_ROUNDS, tol=0)
    with warnings.catch_warnings():
        # Fewer distinct clusters than centres: the codebook is then smaller.
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(values[:, None], sample_weight=counts)
    return np.sort(kmeans.cluster_centers_.ravel())
