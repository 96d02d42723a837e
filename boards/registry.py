"""The boards that are known."""

import difflib

from .board import Board
from .icebreaker import ICEBREAKER
from .ulx3s import ULX3S_12F, ULX3S_25F, ULX3S_45F, ULX3S_85F

__all__ = ["BOARDS", "find_board"]

BOARDS: dict[str, Board] = {
    board.name: board for board in (ICEBREAKER, ULX3S_12F, ULX3S_25F, ULX3S_45F, ULX3S_85F)
}


def find_board(name: str) -> Board:
    """The board called ``name``; the error names the nearest one and all that are known."""
    if name in BOARDS:
        return BOARDS[name]
    near = difflib.get_close_matches(str(name).lower(), BOARDS, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"unknown board {name!r}; {hint}known boards: {', '.join(BOARDS)}")
