"""Low rank: a layer with weights becomes two or three smaller ones, of ordinary operators."""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

from ..ir import Array, Graph, GraphError, Node, Tensor, verify
from .layers import layers

__all__ = ["Rank", "choose_ranks", "decompose", "factored_weights", "kept_energy"]

# One number: two factors; (inner channels in, inner channels out): Tucker-2, three factors.
Rank = int | tuple[int, int]
_ROUNDS = 4  # of the alternation behind a Tucker decomposition's first guess
_STEPS = 40  # halvings of the interval of energies that a budget is searched in
_PLAIN = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}


def decompose(graph: Graph, ranks: Mapping[str, Rank]) -> Graph:
    """``dense`` becomes two, by truncated SVD; ``convolution`` two or three.

    With one number as its rank a convolution of h x w becomes one of h x 1 with so many outputs,
    and one of 1 x w (Jaderberg et al., 2014; of 1 x 1, an SVD). With two numbers (i, o) it becomes
    1 x 1 to i channels, h x w from i to o, and 1 x 1 to its outputs: Tucker-2 (Kim et al.,
    "Compression of Deep Convolutional Neural Networks", ICLR 2016). The bias stays in the last.

    Needs: a float graph. Keeps: every tensor's name and shape; the function where the rank is full.

    Raises
    ------
    ValueError
        A layer does not exist, or a rank is above the full one.
    GraphError
        A layer is neither dense nor a convolution; begins with its name.
    """
    known = {node.name: node for node in layers(graph)}
    for name, rank in ranks.items():
        if name not in known:
            raise ValueError(f"layer must be one of {', '.join(known)}, not {name!r}")
        _check(known[name], rank)
    nodes: list[Node] = []
    tensors: dict[str, Tensor] = {}
    for node in graph.nodes:
        if node.name not in ranks:
            nodes.append(node)
            continue
        parts = _parts(node, ranks[node.name])
        before = node.inputs[0]
        shape = graph.tensors[before].shape
        for number, (suffix, weight, attrs) in enumerate(parts):
            last = number == len(parts) - 1
            label = f"{node.name}_{suffix}"
            shape = _shape(shape, weight, attrs)
            output = node.output if last else f"{label}:y"
            tensors.setdefault(output, graph.tensors[output] if last else Tensor(output, shape))
            bias = node.consts["bias"] if last else np.zeros(len(weight), weight.dtype)
            consts = {"weight": weight, "bias": bias}
            nodes.append(Node(label, node.op, (before,), output, attrs, consts))
            before = output
    return verify(graph.with_nodes(nodes, tensors))


def choose_ranks(
    graph: Graph,
    *,
    energy: float | Mapping[str, float] | None = None,
    budget: float | None = None,
    convolutions: Literal["tucker", "spatial"] = "tucker",
    names: Iterable[str] | None = None,
) -> dict[str, Rank]:
    """Ranks for :func:`decompose`, of the layers that become smaller by it.

    ``energy``: the smallest ranks with which a layer keeps this share of the sum of its squared
    weights (of a Tucker decomposition, of each of its two unfoldings). ``budget``: the largest
    energy, one for all layers, with which their weights become at most this share of what they
    are. Without ``names``, of all dense layers and convolutions.

    Raises
    ------
    ValueError
        Not exactly one of energy and budget is given, one is not above 0 and at most 1, no rank
        meets the budget, or a layer does not exist.
    """
    if (energy is None) == (budget is None):
        raise ValueError("one of energy and budget must be given, not both or none")
    if convolutions not in ("tucker", "spatial"):
        raise ValueError(f"convolutions must be 'tucker' or 'spatial', not {convolutions!r}")
    every = {node.name: node for node in layers(graph) if node.op in ("dense", "convolution")}
    given = list(energy) if isinstance(energy, Mapping) else names
    wanted = list(every) if given is None else list(given)
    for name in wanted:
        if name not in every:
            raise ValueError(f"layer must be one of {', '.join(every)}, not {name!r}")
    spectra = {name: _spectra(every[name], convolutions) for name in wanted}

    def smaller(shares: Mapping[str, float]) -> dict[str, Rank]:
        ranks = {name: _rank(spectra[name], shares[name]) for name in wanted}
        return {
            name: rank
            for name, rank in ranks.items()
            if factored_weights(every[name], rank) < every[name].consts["weight"].size
        }

    if energy is not None:
        shares = energy if isinstance(energy, Mapping) else dict.fromkeys(wanted, energy)
        for value in shares.values():
            _check_share("energy", value)
        return smaller(shares)
    assert budget is not None
    _check_share("budget", budget)
    total = sum(every[name].consts["weight"].size for name in wanted)

    def size(ranks: Mapping[str, Rank]) -> int:
        gone = sum(every[name].consts["weight"].size for name in ranks)
        return total - gone + sum(factored_weights(every[n], rank) for n, rank in ranks.items())

    low, high = 0.0, 1.0
    best = smaller(dict.fromkeys(wanted, low))
    if size(best) > budget * total:
        raise ValueError(
            f"budget must be at least {size(best) / total:.4f}, that of ranks of 1, not {budget!r}"
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        ranks = smaller(dict.fromkeys(wanted, middle))
        if size(ranks) <= budget * total:
            low, best = middle, ranks
        else:
            high = middle
    return best


def factored_weights(node: Node, rank: Rank) -> int:
    """Weights of the layers that a layer becomes.

    >>> node = Node("fc", "dense", ("x",), "y", {}, {"weight": np.zeros((30, 20))})
    >>> factored_weights(node, 4)
    200
    """
    outputs, height, width, channels = (int(size) for size in _four(node).shape)
    if isinstance(rank, tuple):
        inner, outer = rank
        return channels * inner + inner * height * width * outer + outer * outputs
    return rank * (height * channels + width * outputs)


def kept_energy(node: Node, rank: Rank) -> float:
    """The share of the sum of squared weights that a layer keeps: 1 is all of it."""
    _check(node, rank)
    weight = _four(node)
    factors = [part.astype(np.float64) for _, part, _ in _parts(node, rank)]
    if node.op == "dense":
        product = (factors[1] @ factors[0])[:, None, None, :]
    elif isinstance(rank, tuple):
        into, core, out = factors
        product = np.einsum("oq,qyxp,pc->oyxc", out[:, 0, 0], core, into[:, 0, 0], optimize=True)
    else:
        rows, columns = factors
        product = np.einsum("oxr,ryc->oyxc", columns[:, 0], rows[:, :, 0], optimize=True)
    total = float(np.square(weight).sum())
    return 1 - float(np.square(weight - product).sum()) / total if total else 1.0


def _check_share(name: str, value: float) -> None:
    if isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError(f"{name} must be above 0 and at most 1, not {value!r}")


def _check(node: Node, rank: Rank) -> None:
    if node.op not in ("dense", "convolution"):
        raise GraphError(f"{node.name}: {node.op} has no low rank; dense and convolution have one")
    outputs, height, width, channels = _four(node).shape
    if isinstance(rank, tuple) and node.op == "convolution":
        full: Rank = (channels, outputs)
        good = len(rank) == 2 and 1 <= rank[0] <= channels and 1 <= rank[1] <= outputs
    else:
        most = min(height * channels, width * outputs)
        full, good = most, not isinstance(rank, bool | tuple) and 1 <= rank <= most
    if not good:
        raise ValueError(f"rank of {node.name} must be 1 to {full}, not {rank!r}")


def _four(node: Node) -> Array:
    """The weights in float64 as (outputs, height, width, channels)."""
    weight = node.consts["weight"].astype(np.float64)
    return weight if weight.ndim == 4 else weight[:, None, None, :]


def _shape(
    before: tuple[int, ...], weight: Array, attrs: Mapping[str, tuple[int, ...]]
) -> tuple[int, ...]:
    """The shape behind a layer."""
    if weight.ndim == 2:
        return (len(weight),)
    made = []
    for axis in range(2):
        reach = attrs["dilation"][axis] * (weight.shape[1 + axis] - 1) + 1
        room = before[axis] + sum(attrs["padding"][2 * axis : 2 * axis + 2]) - reach
        made.append(room // attrs["stride"][axis] + 1)
    return (*made, len(weight))


def _parts(node: Node, rank: Rank) -> list[tuple[str, Array, dict[str, tuple[int, ...]]]]:
    """Suffix, weights and attributes of each factor of a layer, the first of them first."""
    weight, dtype = _four(node), node.consts["weight"].dtype
    if isinstance(rank, tuple):
        into, core, out = _tucker(weight, *rank)
        parts = [
            ("in", into.T[:, None, None, :], dict(_PLAIN)),
            ("core", core, dict(node.attrs)),
            ("out", out[:, None, None, :], dict(_PLAIN)),
        ]
    else:
        rows, columns = _separate(weight, rank)
        if node.op == "dense":
            parts = [("in", rows[:, 0, 0], {}), ("out", columns[:, 0, 0], {})]
        else:
            (down, across), (above, below, left, right), (step, along) = (
                node.attrs[key] for key in ("stride", "padding", "dilation")
            )
            first = {"stride": (down, 1), "padding": (above, below, 0, 0), "dilation": (step, 1)}
            second = {"stride": (1, across), "padding": (0, 0, left, right), "dilation": (1, along)}
            parts = [("rows", rows, first), ("columns", columns, second)]
    return [(suffix, np.ascontiguousarray(part, dtype), attrs) for suffix, part, attrs in parts]


def _unfolded(weight: Array) -> Array:
    """(height x channels, width x outputs): what a convolution of h x 1 and one of 1 x w share."""
    outputs, height, width, channels = weight.shape
    return weight.transpose(1, 3, 2, 0).reshape(height * channels, width * outputs)


def _separate(weight: Array, rank: int) -> tuple[Array, Array]:
    """(rank, height, 1, channels) and (outputs, 1, width, rank), each with half of the scale."""
    outputs, height, width, channels = weight.shape
    left, values, right = np.linalg.svd(_unfolded(weight), full_matrices=False)
    scale = np.sqrt(values[:rank])
    rows = (left[:, :rank] * scale).T.reshape(rank, height, 1, channels)
    columns = (right[:rank] * scale[:, None]).reshape(rank, 1, width, outputs)
    return rows, columns.transpose(3, 1, 2, 0)


def _tucker(weight: Array, inner: int, outer: int) -> tuple[Array, Array, Array]:
    """(channels, inner), (outer, height, width, inner) and (outputs, outer).

    The first guess are the leading vectors of both unfoldings; then one side is improved with the
    other fixed, in turns (HOOI; De Lathauwer et al., 2000).
    """
    out, into = _leading(weight, 0, outer), _leading(weight, 3, inner)
    for _ in range(_ROUNDS):
        out = _leading(weight @ into, 0, outer)
        into = _leading(np.tensordot(out.T, weight, 1), 3, inner)
    core = np.tensordot(out.T, weight @ into, 1)
    return into, core, out


def _leading(weight: Array, axis: int, count: int) -> Array:
    """Orthonormal vectors (size of the axis, count) that keep the most of an unfolding."""
    matrix = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    vectors = np.linalg.eigh(matrix @ matrix.T)[1]
    leading: Array = vectors[:, ::-1][:, :count]
    return leading


def _spectra(node: Node, convolutions: str) -> tuple[Array, ...]:
    """For each number of a rank: the squared singular values that it cuts, the largest first."""
    weight = _four(node)
    if node.op == "dense" or convolutions == "spatial" or weight.shape[1:3] == (1, 1):
        return (np.linalg.svd(_unfolded(weight), compute_uv=False) ** 2,)
    spectra = []
    for axis in (3, 0):
        matrix = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
        spectra.append(np.maximum(np.linalg.eigvalsh(matrix @ matrix.T)[::-1], 0))
    return tuple(spectra)


def _rank(spectra: tuple[Array, ...], energy: float) -> Rank:
    """The smallest rank that keeps a share of each spectrum."""
    ranks = []
    for spectrum in spectra:
        sums = np.cumsum(spectrum)
        # All of it may be a rounding error more than the sum.
        enough = int(np.searchsorted(sums, energy * sums[-1] * (1 - 1e-12)))
        ranks.append(min(len(spectrum), enough + 1))
    return ranks[0] if len(ranks) == 1 else (ranks[0], ranks[1])
