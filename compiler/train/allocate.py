"""One choice for each layer, under a budget for all: of densities, of bits, of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Choice", "allocate"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that a layer may be: what it costs, and by how much it makes the loss grow."""

    value: Any
    cost: float
    loss: float


def allocate(
    choices: Mapping[str, Sequence[Choice]],
    *,
    cost: float | None = None,
    loss: float | None = None,
) -> dict[str, Choice]:
    """The choices whose losses add up to the least within a ``cost``; or the other way round.

    Every layer begins with its cheapest choice; step by step the one is taken that saves the most
    loss for its cost, until the cost is spent or the ``loss`` is low enough. Choices that are on
    no convex hull are left out, which makes this optimal but for the last step. Where not even the
    cheapest fit, they are what is returned.

    >>> half, full = Choice(4, 4.0, 1.0), Choice(8, 8.0, 0.0)
    >>> found = allocate({"a": [half, full], "b": [half, Choice(8, 8.0, 0.5)]}, cost=12.0)
    >>> {name: choice.value for name, choice in found.items()}
    {'a': 8, 'b': 4}
    """
    if (cost is None) == (loss is None):
        raise ValueError("allocate takes a cost or a loss")
    hulls = {name: _hull(some) for name, some in choices.items()}
    at = dict.fromkeys(hulls, 0)
    steps = sorted(
        (
            (_gain(hull[n], hull[n + 1]), name, n + 1)
            for name, hull in hulls.items()
            for n in range(len(hull) - 1)
        ),
        key=lambda step: (-step[0], step[1], step[2]),
    )
    spent = sum(hull[0].cost for hull in hulls.values())
    left = sum(hull[0].loss for hull in hulls.values())
    for _, name, n in steps:
        if loss is not None and left <= loss:
            break
        before, after = hulls[name][at[name]], hulls[name][n]
        if n != at[name] + 1:
            continue  # a cheaper step of this layer did not fit
        if cost is not None and spent + after.cost - before.cost > cost:
            continue
        spent += after.cost - before.cost
        left += after.loss - before.loss
        at[name] = n
    return {name: hulls[name][n] for name, n in at.items()}


def _gain(before: Choice, after: Choice) -> float:
    return (before.loss - after.loss) / max(after.cost - before.cost, 1e-12)


def _hull(some: Sequence[Choice]) -> list[Choice]:
    """The choices on the lower convex hull, from the cheapest to the one of least loss."""
    if not some:
        raise ValueError("every layer must have at least one choice")
    hull: list[Choice] = []
    for choice in sorted(some, key=lambda c: (c.cost, c.loss)):
        if hull and choice.loss >= hull[-1].loss:
            continue
        while len(hull) > 1 and _gain(hull[-2], hull[-1]) <= _gain(hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull
