"""Whether nextpnr's router gets anywhere: one that does not goes on for hours."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from .toolchain import RIPUP, BuildError

__all__ = ["Convergence", "UnroutableError", "watched"]

PATIENCE = 15  # iterations without a new best, at least
ARCS_PATIENCE = 100_000  # arcs routed by the other router, without a new best

Result = TypeVar("Result")


class UnroutableError(BuildError):
    """No placement was found with this seed, or the router found no way from it."""


class Convergence:
    """Follows the lines of the negotiating router (router2), which allows wires to be shared and
    then makes that dearer in each iteration; or of the one that rips up what is in the way of an
    arc (router1), which is given up if after :data:`ARCS_PATIENCE` no fewer arcs remain.

    ``name`` begins the message that it makes as a text. ``left`` is the smallest number of shared
    wires, or of remaining arcs, so far. A negotiating router that has come to its end has many more
    than that, :data:`PATIENCE` iterations later, and their number grows from there on. Or it is
    ``late``: it only repeats what does not meet the clock, with neither fewer shared wires nor
    fewer late nets for twice as long.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.left: int | None = None
        self.late = False
        self._late_left: int | None = None
        self._routed = 0  # when fewest arcs remained
        self._iterations = 0  # since fewest wires were shared
        self._late_iterations = 0  # since there were fewest of either

    def gives_up(self, line: str) -> bool:
        """Take a line of the log; true if the router will not end."""
        found = re.match(r"Info: +(\d+) \|[ \d]+\|[ \d]+\| *(\d+)\|", line)
        if found:
            routed, remain = int(found[1]), int(found[2])
            if self.left is None or remain < self.left:
                self.left, self._routed = remain, routed
            return routed - self._routed > ARCS_PATIENCE
        found = re.search(r"\biter=\d+ .*\boverused=(\d+)\b(?:.*\btmgfail=(\d+)\b)?", line)
        if found is None:
            return False
        shared, late = int(found[1]), int(found[2] or 0)
        self._iterations += 1
        self._late_iterations += 1
        if self._late_left is None or late < self._late_left:
            self._late_left, self._late_iterations = late, 0
        if self.left is None or shared < self.left:
            self.left, self._iterations, self._late_iterations = shared, 0, 0
        self.late = late > 0 and self._late_iterations > 2 * PATIENCE
        return self.late or (self._iterations > PATIENCE and shared > 2 * self.left + 20)

    def __str__(self) -> str:
        return (
            f"{self.name}: the router came down to {self.left} wires that are missing and no "
            "further; try more --seeds, or a smaller accelerator"
        )


def watched(
    run: Callable[[Sequence[str], Callable[[str], None]], Result],
    arguments: Sequence[str],
    name: str,
) -> Result:
    """What ``run`` returns: it is to start nextpnr with arguments, and to show each line to a
    function that may raise an exception.

    Where only the clock keeps the router from its end, it is started again without
    :data:`.toolchain.RIPUP`.

    Raises
    ------
    UnroutableError
        The router gets nowhere.
    """
    router = Convergence(name)

    def watch(line: str) -> None:
        if router.gives_up(line):
            raise UnroutableError(str(router))

    try:
        return run(arguments, watch)
    except UnroutableError:
        if not router.late or RIPUP not in arguments:
            raise
    return watched(run, [argument for argument in arguments if argument != RIPUP], name)
