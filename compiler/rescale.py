"""Integer multipliers that give exactly what a reference computes in floating point.

The reference interpreter requantizes fully-connected layers in float64, halves away from zero:
``round(acc * scale)``. The gates multiply by 31 bits and round halves up. For the accumulators
that a layer can reach and the outputs that its clamp lets through, both are staircases of at most
255 steps; a multiplier is exact when every step is at the same accumulator.

Source: ``reference_integer_ops::FullyConnected`` of LiteRT, the overload with float scales.
"""

import numpy as np

from prunus.sim.ops import Int, quantize_multiplier

__all__ = ["exact_multiplier", "round_away"]


def round_away(acc: Int, scale: float) -> Int:
    """``round(acc * scale)`` in float64, halves away from zero: what the reference computes.

    >>> round_away(np.array([-3, 3, 4]), 0.5).tolist()
    [-2, 2, 2]
    """
    product = acc.astype(np.float64) * scale
    whole = np.trunc(product)
    result: Int = (whole + np.where(np.abs(product - whole) >= 0.5, np.sign(product), 0)).astype(
        np.int64
    )
    return result


def exact_multiplier(
    scale: float, lowest: int, highest: int, first: int, last: int
) -> tuple[int, int] | None:
    """``(multiplier, shift)`` that equals :func:`round_away` under single rounding, or None.

    lowest..highest are the accumulators that occur, first..last the outputs, before the zero
    point is added, that are told apart: all below first and all above last are clamped.

    >>> exact_multiplier(0.5, -1000, 1000, -128, 127)
    (1073741825, 0)
    """
    nearest, shift = quantize_multiplier(scale)
    right = 31 - shift
    low, high = 1 << 30, (1 << 31) - 1
    outputs = np.arange(first + 1, last + 1)
    for output, step in zip(outputs.tolist(), _steps(scale, outputs).tolist(), strict=True):
        edge = (2 * output - 1) << (right - 1)  # acc * multiplier >= edge when acc >= step
        for acc, above in ((max(step, lowest), True), (min(step - 1, highest), False)):
            if not lowest <= acc <= highest:
                continue
            bound = edge if above else edge - 1
            if acc == 0:
                if bound > 0 if above else bound < 0:
                    return None
            elif above == (acc > 0):
                low = max(low, -(-bound // acc))
            else:
                high = min(high, bound // acc)
    if low > high:
        return None
    return min(max(nearest, low), high), shift


def _steps(scale: float, outputs: Int) -> Int:
    """For each output the lowest accumulator that reaches it."""
    near = np.floor((outputs - 0.5) / scale).astype(np.int64)[:, None] + np.arange(-2, 4)
    reached = round_away(near, scale) >= outputs[:, None]
    result: Int = near[np.arange(len(near)), reached.argmax(axis=1)]
    return result
