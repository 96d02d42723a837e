"""Where the multiplier blocks of a systolic array go on an ECP5.

The multiplier blocks of these parts lie in a few rows across the whole chip. Left to itself the
placer puts neighbours of the array far from each other, and an array of 128 blocks does not route.
Fixed to a grid of their own, with everything else placed around them, they do.
"""

import re
from collections.abc import Iterable

from .board import Board

__all__ = ["multiplier_sites", "place_multipliers"]

# Rows of blocks, and where the groups of four blocks of a row begin, as Project Trellis has them.
_COLUMNS: dict[str, tuple[tuple[int, ...], tuple[range, ...]]] = {
    "25F": ((13,), (range(4, 23, 9), range(33, 61, 9))),
    "45F": ((22, 46), (range(4, 32, 9), range(42, 79, 9))),
    "85F": ((10, 34, 58), (range(4, 59, 9), range(69, 115, 9))),
}
_COLUMNS["12F"] = _COLUMNS["25F"]  # the same die
_BLOCKS = ((0, 0), (1, 1), (4, 4), (5, 5))  # place in a group, number of the block

_PE = re.compile(r"(.*\.)pe_(\d+)_(\d+)\.")


def multiplier_sites(board: Board) -> list[list[str]]:
    """Sites of the board's multiplier blocks, from left to right in each row; none on an iCE40."""
    if board.family != "ecp5":
        return []
    rows, groups = _COLUMNS[board.part.split("-")[1]]
    return [
        [f"X{x + dx}/Y{y}/MULT18_{n}" for group in groups for x in group for dx, n in _BLOCKS]
        for y in rows
    ]


def place_multipliers(board: Board, cells: Iterable[str]) -> dict[str, str]:
    """Sites for the multiplier blocks that are called ``cells``; some or all may have none.

    A block of PE (row, column) of a systolic array is known by ``pe_ROW_COLUMN`` in its name.
    Partial sums, the widest signals, go along a row of the chip: each has as many of the array's
    columns as there are for it, side by side, so that activations only take a step too.
    """
    found = {}
    for cell in cells:
        if (match := _PE.match(cell)) is not None:
            found[cell] = (match[1], int(match[2]), int(match[3]))
    sites = multiplier_sites(board)
    if not sites or len({array for array, _, _ in found.values()}) != 1:
        return {}
    depth = 1 + max(row for _, row, _ in found.values())
    width = 1 + max(column for _, _, column in found.values())
    shares = [width // len(sites) + (n < width % len(sites)) for n in range(len(sites))]
    if len(found) != depth * width or depth * shares[0] > len(sites[0]):
        return {}
    at = [(n, place, share) for n, share in enumerate(shares) for place in range(share)]
    placed = {}
    for cell, (_, row, column) in found.items():
        line, place, share = at[column]
        placed[cell] = sites[-1 - line][row * share + place]
    return placed
