"""When the window engine's tables are filled, and from what."""

from collections.abc import Sequence
from dataclasses import dataclass

from prunus.hw.isa import Mode

from .steps import Step, Table

__all__ = ["Fill", "schedule"]

FILL = 300  # cycles of filling a half, with some to spare


@dataclass(frozen=True, slots=True)
class Fill:
    """Fill ``half`` with a table, while the steps behind it run."""

    half: int
    table: Table


def schedule(steps: Sequence[Step]) -> tuple[list[list[Fill]], list[int]]:
    """The fills in front of each step, and the half that each step looks up (LUT).

    A fill comes as late as it can without being waited for, where the steps between give it the
    time; never before the last step that needs what the half held, and after the fill before it.
    """
    fills: list[list[Fill]] = [[] for _ in steps]
    halves = [0] * len(steps)
    held: list[Table | None] = [None, None]
    free = [0, 0]  # the first step in front of which each half may be filled
    filled = 0  # the step in front of which the last fill is
    recent = 1
    for number, step in enumerate(steps):
        if not step.tables:
            continue
        if step.fields["mode"] == Mode.LUT:
            (table,) = step.tables
            half = held.index(table) if table in held else 1 - recent
            halves[number] = half
            wanted = {half: table}
            recent = half
        else:
            wanted = dict(enumerate(step.tables))
        missing = [half for half, table in wanted.items() if held[half] != table]
        places = []
        until = number
        for half in sorted(missing, key=lambda half: (free[half], half), reverse=True):
            until = _latest(steps, max(free[half], filled), until)
            places.append((until, half))
        for place, half in reversed(places):
            fills[place].append(Fill(half, wanted[half]))
            held[half] = wanted[half]
            filled = place
        for half in wanted:
            free[half] = number + 1
    return fills, halves


def _latest(steps: Sequence[Step], first: int, last: int) -> int:
    """The last step, from ``first`` to ``last``, with time for a fill between it and ``last``."""
    place, cycles = last, 0
    while place > first and cycles < FILL:
        place -= 1
        cycles += steps[place].cycles
    return place
