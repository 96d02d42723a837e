"""What stands between quantizers: int8 tensors, integer sums, and functions of either."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prunus.sim.ops import accumulator_range

from ..ir import Array, GraphError, Node, Tensor

__all__ = [
    "Held",
    "Levels",
    "Open",
    "Pair",
    "Sums",
    "levels_of",
    "nearest",
    "opened",
    "over",
    "upward",
]

_FAR = 1 << 20
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Held:
    """An int8 tensor, of ``span[0] .. span[1]``, for ``(q - zero_point) * scale + offset``.

    The levels of a binary tensor, 0 and 1, stand for -s and s: so its offset is not 0.
    """

    tensor: Tensor
    offset: float = 0.0
    span: Pair = (-128, 127)

    @property
    def scale(self) -> float:
        assert self.tensor.scale is not None
        return self.tensor.scale

    @property
    def zero(self) -> int:
        assert self.tensor.zero_point is not None
        return self.tensor.zero_point


@dataclass(frozen=True, slots=True)
class Sums:
    """A layer with integer weights (outputs, ...) on an int8 tensor."""

    node: Node
    before: Held
    weight: Array

    def span(self, weight: Array) -> tuple[Array, Array]:
        """The lowest and the highest sum of each output."""
        rows = weight.reshape(len(weight), -1)
        return accumulator_range(rows, 0, self.before.zero, *self.before.span)


@dataclass(frozen=True, slots=True)
class Open:
    """What is not int8 yet: ``clip(slope * v + offset, low, high)``, an entry for each channel.

    v is the network's input, the q of an int8 tensor, or the integer sum of ``layer``.
    """

    layer: Sums | None
    source: str
    shape: tuple[int, ...]
    slope: Array
    offset: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Levels:
    """A quantizer: ``count`` gives the step of real numbers, ``first .. last``; see Held."""

    count: Callable[[Array], Array]
    scale: float
    offset: float
    first: int
    last: int
    zero: int  # what the int8 of step 0 is

    def within(self, low: float, high: float) -> Pair:
        """The steps that numbers low..high reach."""
        ends = self.count(np.array([low, high]))
        first, last = np.clip(ends, self.first, self.last).tolist()
        return first, last


def opened(layer: Sums | None, source: str, shape: tuple[int, ...], slope: float | Array,
          offset: float | Array, channels: int) -> Open:  # fmt: skip
    """Something without clamps."""
    columns = [
        np.broadcast_to(np.asarray(column, np.float64), (channels,))
        for column in (slope, offset, -np.inf, np.inf)
    ]
    return Open(layer, source, shape, *columns)


def over(channels: Array, rows: Array) -> Array:
    """A number for each output, to be broadcast against weights (outputs, ...)."""
    return channels.reshape(-1, *(1,) * (rows.ndim - 1))


def upward(weight: Array, slope: Array) -> tuple[Array, Array]:
    """Weights with which every slope is positive, and where their sign was changed."""
    flips = np.where(slope < 0, -1, 1)
    return weight * over(flips, weight), flips


def levels_of(node: Node) -> Levels:
    """What a quantizer does."""
    scale = node.attrs["scale"]
    if node.op == "binarize":
        return Levels(lambda x: (x >= 0).astype(np.int64), 2 * scale, -scale, 0, 1, 0)
    zero, lo, hi = (node.attrs[key] for key in ("zero_point", "lo", "hi"))
    # int8 holds 256 levels, wherever they begin.
    stored = zero if -128 <= lo <= hi <= 127 else zero - 128 - lo
    if hi - lo > 255 or not -128 <= stored <= 127:
        raise GraphError(f"{node.name}: levels {lo} to {hi} around {zero} do not fit int8")
    return Levels(nearest(scale), scale, 0.0, lo - zero, hi - zero, stored)


def nearest(scale: float) -> Callable[[Array], Array]:
    """Steps of a scale, halves to even ones."""
    return lambda x: np.clip(np.rint(x / scale), -_FAR, _FAR).astype(np.int64)
