"""Addresses of the activation memory, by lifetime."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Span", "allocate"]


@dataclass(frozen=True, slots=True)
class Span:
    """A tensor that occupies ``words`` from step ``first`` to step ``last``, both included."""

    name: str
    words: int
    first: int
    last: int


def allocate(spans: Sequence[Span]) -> tuple[dict[str, int], int]:
    """First-fit base addresses for tensors, largest first, and the words used in all.

    Tensors whose lifetimes overlap never share a word.

    >>> allocate([Span("a", 4, 0, 1), Span("b", 2, 1, 2), Span("c", 4, 2, 3)])
    ({'a': 0, 'c': 0, 'b': 4}, 6)
    """
    placed: list[tuple[Span, int]] = []
    bases: dict[str, int] = {}
    for span in sorted(spans, key=lambda s: (-s.words, s.first, s.name)):
        base = 0
        taken = sorted(
            (start, start + other.words)
            for other, start in placed
            if other.first <= span.last and span.first <= other.last
        )
        for start, end in taken:
            if base + span.words <= start:
                break
            base = max(base, end)
        bases[span.name] = base
        placed.append((span, base))
    return bases, max((start + span.words for span, start in placed), default=0)
