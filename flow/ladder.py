"""The next density of a search, from what the models before have measured."""

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

from .budget import Budget

__all__ = ["Measured", "chosen", "first_density", "next_density"]

FIRST = 0.5
LEAST = 0.002  # of the weights; below, nothing is left to search
NEAR = 0.85  # of a budget: no need to look for more


class Measured(Protocol):
    """What is known of a model; its density is that of its weights as they are."""

    @property
    def density(self) -> float: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def bytes(self) -> int: ...
    @property
    def cycles(self) -> int: ...


T = TypeVar("T", bound=Measured)


def cost(budget: Budget, step: Measured) -> float:
    """What counts against a budget of bytes or cycles."""
    return step.bytes if budget.kind == "size" else step.cycles


def within(budget: Budget, step: Measured) -> bool:
    """Whether a model meets the budget."""
    if budget.kind == "accuracy":
        return step.accuracy >= budget.value
    return cost(budget, step) <= budget.value


def chosen(budget: Budget, steps: Sequence[T]) -> tuple[T, bool]:
    """The best model, and whether it meets the budget; else it is the nearest."""
    good = [step for step in steps if within(budget, step)]
    if good:
        if budget.kind == "accuracy":
            return min(good, key=lambda s: (s.bytes, -s.accuracy)), True
        return max(good, key=lambda s: (s.accuracy, -s.bytes)), True
    if budget.kind == "accuracy":
        return max(steps, key=lambda s: (s.accuracy, -s.bytes)), False
    return min(steps, key=lambda s: (cost(budget, s), -s.accuracy)), False


def first_density(budget: Budget, steps: Sequence[Measured]) -> float | None:
    """Of the first step after the model as it is, which is the only one in ``steps``."""
    start = steps[0]
    if budget.kind == "accuracy":
        return FIRST * start.density
    if within(budget, start):
        return None
    return start.density * min(FIRST, max(0.1, 2 * budget.value / cost(budget, start)))


def next_density(budget: Budget, steps: Sequence[Measured]) -> float | None:
    """Of the next step; None when the search is over.

    Down until the budget of bytes or cycles is met, or the accuracy is lost; then once more, half
    way back, where there is room.
    """
    last = steps[-1]
    if budget.kind == "accuracy":
        good = [s.density for s in steps if within(budget, s)]
        bad = [s.density for s in steps[1:] if not within(budget, s)]
        if not bad:
            return _down(last.density * 0.55)
        above = [density for density in good if density > max(bad)]
        if not above:  # not even the first: less pruning
            gentle = math.sqrt(max(bad))
            return gentle if gentle < 0.95 else None
        low, high = max(bad), min(above)
        return math.sqrt(low * high) if high / low > 1.25 else None
    inside = [s for s in steps if within(budget, s)]
    if inside:
        best = max(inside, key=lambda s: cost(budget, s))
        outside = [s for s in steps if not within(budget, s) and s.density > best.density]
        nearest = min(outside, key=lambda s: s.density, default=None)
        if (
            cost(budget, best) >= NEAR * budget.value
            or nearest is None
            or nearest.density < 1.15 * best.density
        ):
            return None
        return math.sqrt(best.density * nearest.density)
    if len(steps) > 2 and cost(budget, last) > 0.98 * cost(budget, steps[-2]):
        return None  # what is left does not shrink with the weights
    ratio = budget.value / cost(budget, last)
    return _down(last.density * min(0.8, max(0.35, 0.95 * ratio)))


def _down(density: float) -> float | None:
    return density if density >= LEAST else None
