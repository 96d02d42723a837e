"""The boards that are known."""

import difflib

from .board import Board
from .colorlight import COLORLIGHT_I5
from .icebreaker import ICEBREAKER
from .orangecrab import ORANGECRAB_25F, ORANGECRAB_85F
from .tang import TANG_NANO_9K
from .ulx3s import ULX3S_12F, ULX3S_25F, ULX3S_45F, ULX3S_85F
from .upduino import UPDUINO3, UPDUINO3_OSC

__all__ = ["BOARDS", "find_board"]

BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        ICEBREAKER,
        UPDUINO3,
        UPDUINO3_OSC,
        TANG_NANO_9K,
        ULX3S_12F,
        ULX3S_25F,
        ULX3S_45F,
        ULX3S_85F,
        ORANGECRAB_25F,
        ORANGECRAB_85F,
        COLORLIGHT_I5,
    )
}


def find_board(name: str) -> Board:
    """The board called ``name``; the error names the nearest one and all that are known."""
    if name in BOARDS:
        return BOARDS[name]
    near = difflib.get_close_matches(str(name).lower(), BOARDS, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"unknown board {name!r}; {hint}known boards: {', '.join(BOARDS)}")
