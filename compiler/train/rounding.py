"""Rounding as the golden operators do it, with gradients that pass straight through.

Forward, every function gives the integers of :mod:`prunus.sim.ops` (held in floats); backward, it
is what it approximates: the identity, or a scale. Integers that a float holds exactly, below 2**24
in float32, stay exact.

Source: Bengio et al., "Estimating or propagating gradients through stochastic neurons", 2013.
"""

from typing import Any

import torch

__all__ = ["away", "limited", "requantized", "stochastic", "straight", "table"]

Tensor = Any  # torch.Tensor, which is not there to be checked


class _Replace(torch.autograd.Function):
    """The second argument forward, the gradient of the first backward."""

    @staticmethod
    def forward(context: Any, x: Tensor, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def straight(x: Tensor, value: Tensor) -> Tensor:
    """``value``, as if it were ``x`` to whoever asks for a gradient."""
    result: Tensor = _Replace.apply(x, value)
    return result


def away(x: Tensor) -> Tensor:
    """To the nearest integer, halves away from zero."""
    with torch.no_grad():
        nearest = torch.copysign(torch.floor(x.abs() + 0.5), x)
    return straight(x, nearest)


def stochastic(x: Tensor) -> Tensor:
    """To one of the two integers beside x, the nearer one the more often; right in the mean.

    Source: Gupta et al., "Deep learning with limited numerical precision", ICML 2015.
    """
    with torch.no_grad():
        drawn = torch.floor(x + torch.rand_like(x))
    return straight(x, drawn)


def limited(x: Tensor, low: float, high: float) -> Tensor:
    """Clamped; what is beyond the bounds has no gradient."""
    return torch.clamp(x, low, high)


class _Requantize(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, acc: Tensor, multiplier: Tensor, shift: Tensor, rounding: str
    ) -> Tensor:
        context.ratio = (multiplier.double() * torch.exp2(shift.double() - 31)).to(acc.dtype)
        a = acc.round().to(torch.int64)
        if rounding == "single":
            right = 31 - shift
            result = (a * multiplier + (1 << (right - 1))) >> right
        else:
            high = ((a << shift.clamp(min=0)) * multiplier + (1 << 30)) >> 31
            right = (-shift).clamp(min=0)
            half = (1 << right) >> 1
            result = torch.sign(high) * ((high.abs() + half) >> right)
        return result.to(acc.dtype)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient * context.ratio, None, None, None


def requantized(acc: Tensor, multiplier: Tensor, shift: Tensor, rounding: str) -> Tensor:
    """:func:`prunus.sim.ops.scale`; multiplier and shift are int64 and fit the last axis."""
    result: Tensor = _Requantize.apply(acc, multiplier, shift, rounding)
    return result


class _Table(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, values: Tensor) -> Tensor:
        index = (x.round().to(torch.int64) + 128).clamp(0, 255)
        slopes = (values[2:] - values[:-2]) / 2
        ends = torch.stack([values[1] - values[0], values[-1] - values[-2]])
        context.save_for_backward(torch.cat([ends[:1], slopes, ends[1:]])[index])
        return values[index]

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = context.saved_tensors
        return gradient * slope, None


def table(x: Tensor, values: Tensor) -> Tensor:
    """``values[x + 128]`` for int8 x; the gradient is the slope between the neighbours."""
    result: Tensor = _Table.apply(x, values)
    return result
