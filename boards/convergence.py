"""Whether nextpnr's router gets anywhere: one that does not goes on for hours."""

import re

__all__ = ["Convergence"]

PATIENCE = 15  # iterations without a new best, at least


class Convergence:
    """Follows the lines of the negotiating router (router2), which allows wires to be shared and
    then makes that dearer in each iteration.

    ``name`` begins the message that it makes as a text. ``left`` is the smallest number of shared
    wires so far. A router that has come to its end has many more than that, :data:`PATIENCE`
    iterations later, and their number grows from there on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.left: int | None = None
        self._iterations = 0

    def gives_up(self, line: str) -> bool:
        """Take a line of the log; true if the router will not end."""
        found = re.search(r"\biter=\d+ .*\boverused=(\d+)\b", line)
        if found is None:
            return False
        shared = int(found[1])
        if self.left is None or shared < self.left:
            self.left, self._iterations = shared, 0
            return False
        self._iterations += 1
        return self._iterations > PATIENCE and shared > 2 * self.left + 20

    def __str__(self) -> str:
        return (
            f"{self.name}: the router came down to {self.left} wires that two nets want and no "
            "further; try more --seeds, or a smaller accelerator"
        )
