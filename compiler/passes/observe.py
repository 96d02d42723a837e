"""What ranges the tensors of a float graph have on a batch of samples."""

import math

import numpy as np

from ..evaluate import run
from ..ir import Array, Graph
from .quantizer import grid

__all__ = ["fit", "observe"]

Range = tuple[float, float]
_CHUNK = 1 << 23  # values that are held at a time
_KEPT = 1 << 17  # values of a tensor that its range is fitted to
_SHARES = np.arange(20, 11, -1) / 20  # of the whole range: 1 to 0.6


def observe(graph: Graph, samples: Array, fitted: bool) -> dict[str, Range]:
    """The smallest and the largest value of every tensor, or the range that fits it best."""
    elements = sum(tensor.size for tensor in graph.tensors.values())
    chunk = max(1, _CHUNK // elements)
    ranges: dict[str, Range] = {}
    kept: dict[str, list[Array]] = {name: [] for name in graph.tensors}
    for start in range(0, len(samples), chunk):
        for name, values in run(graph, samples[start : start + chunk]).items():
            low, high = ranges.get(name, (math.inf, -math.inf))
            ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
            if fitted:
                step = len(samples) * graph.tensors[name].size // _KEPT | 1  # odd: every channel
                kept[name].append(values.ravel()[::step].astype(np.float32))
    if not fitted:
        return ranges
    return {name: fit(np.concatenate(kept[name]), *ranges[name]) for name in ranges}


def fit(values: Array, low: float, high: float) -> Range:
    """The share of a range with the least mean squared error after rounding to 256 steps.

    Clipping what is rare makes the steps of everything else smaller.
    """
    best, least = (low, high), math.inf
    for share in _SHARES.tolist():
        scale, zero_point = grid(low * share, high * share)
        steps = np.clip(np.rint(values / scale), -128 - zero_point, 127 - zero_point)
        error = float(np.square(steps * scale - values, dtype=np.float64).mean())
        if error < least:
            best, least = (low * share, high * share), error
    return best
