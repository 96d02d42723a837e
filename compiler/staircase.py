"""A requantization whose steps are where a quantizer of the sums has them.

A layer's sums are integers, and so is what a quantizer behind it gives; whatever scales and offsets
lie between, the whole is a staircase. The gates add a bias and multiply by 31 bits: they make the
same staircase when every one of its steps is at the same sum.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunus.sim.ops import quantize_multiplier

__all__ = ["Requantization", "fit", "steps"]

Int = NDArray[np.int64]
_NEAR = np.arange(-2, 4)
_TRIES = 8  # biases on each side of the nominal one
_MARGIN = 1 << 28  # so near to the end of its range a multiplier may also have another shift
_LEFT = 15  # the largest left shift in front of the multiplier
_LOW, _HIGH = 1 << 30, (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Requantization:
    """``round((sum + bias) * multiplier * 2**(shift - 31))``; whether it is what was asked for."""

    bias: int
    multiplier: int
    shift: int
    exact: bool


def steps(level: Callable[[Int], Int], slope: float, offset: float, levels: Int) -> Int:
    """For each of ``levels`` the lowest sum that reaches it.

    ``level(sums)`` rounds ``slope * sums + offset`` in some way, with slope above 0.

    >>> steps(lambda a: np.rint(0.5 * a).astype(np.int64), 0.5, 0.0, np.array([0, 1, 2])).tolist()
    [-1, 2, 3]
    """
    near = np.floor((levels - 0.5 - offset) / slope).astype(np.int64)[:, None] + _NEAR
    reached = level(near) >= levels[:, None]
    if not reached[:, -1].all() or reached[:, 0].any():
        raise ValueError("slope must give sums that floating point tells apart")
    found: Int = near[np.arange(len(near)), reached.argmax(axis=1)]
    return found


def fit(
    at: Int, levels: Int, slope: float, offset: float, span: tuple[int, int], factor: int = 1
) -> Requantization:
    """The requantization that first gives ``levels[n]`` at the sum ``at[n]``.

    ``slope`` and ``offset`` are those of the staircase, ``span`` the lowest and the highest sum
    that occur. The gates see sums that are ``factor`` times as large. Where no bias near
    the nominal one will do, the nominal one is given, which rounds halves up.

    >>> fit(np.array([-3, 4]), np.array([0, 1]), 0.15, -0.04, (-50, 50), 2).exact
    True
    """
    nominal = factor * offset / slope
    if abs(nominal) >= 1 << 30:  # saturated whatever the sums are
        nominal = float(np.copysign(1 << 30, nominal))
    nearest = round(nominal)
    pair = quantize_multiplier(slope / factor)
    inside = [
        (acc * factor, level, above)
        for step, level in zip(at.tolist(), levels.tolist(), strict=True)
        for acc, above in ((max(step, span[0]), True), (min(step - 1, span[1]), False))
        if span[0] <= acc <= span[1]
    ]
    # The steps that are the farthest from the middle say the most about the slope.
    inside.sort(key=lambda side: -abs(side[0] + nearest))
    shifts = [pair[1]]
    shifts += [pair[1] - 1] if pair[0] < _LOW + _MARGIN else []
    shifts += [pair[1] + 1] if pair[0] > _HIGH - _MARGIN else []
    for distance in range(2 * _TRIES + 1):
        bias = nearest + (distance + 1) // 2 * (1 if distance % 2 else -1)
        for shift in (s for s in shifts if -31 <= s <= _LEFT):
            multiplier = _multiplier(inside, bias, shift, pair)
            if multiplier is not None:
                return Requantization(bias, multiplier, shift, True)
    return Requantization(nearest, *pair, False)


def _multiplier(
    inside: list[tuple[int, int, bool]], bias: int, shift: int, nominal: tuple[int, int]
) -> int | None:
    """A multiplier with which every sum is on its side of its level, or None."""
    low, high = _LOW, _HIGH
    for acc, level, above in inside:
        total = acc + bias
        # At 31 - shift bits behind the point: a level is reached from half of one below it on.
        edge = (2 * level - 1) << (30 - shift)
        bound = edge if above else edge - 1
        if total == 0:
            if bound > 0 if above else bound < 0:
                return None
        elif above == (total > 0):
            low = max(low, -(-bound // total))
        else:
            high = min(high, bound // total)
        if low > high:
            return None
    return min(max(nominal[0] if shift == nominal[1] else low, low), high)
