"""From a build to a bitstream."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from prunus.boards.board import Board
from prunus.boards.build import build as build_bitstream
from prunus.boards.estimate import estimate, shortfall
from prunus.boards.result import BuildResult
from prunus.hw.accelerator import Accelerator

from .build import Build

__all__ = ["SOURCES", "make_bitstream"]

SOURCES = ("rom", "flash", "host")  # of the image


def make_bitstream(
    build: Build,
    board: Board,
    folder: Path,
    *,
    clock_mhz: float | None = None,
    seeds: int = 1,
    image: str | None = None,
    tools: str = "auto",
    progress: Callable[[str, str], None] | None = None,
) -> BuildResult:
    """Put the accelerator of a build on a board, behind its UART.

    ``image`` is where it gets its ROM image from: "rom" is block RAM; "flash" is that of the
    bitstream, for which the folder holds the image; "host" leaves it to the host. None is block RAM
    where that fits, else the flash where the board has one. Up to ``seeds`` placements are tried
    until one meets the clock.

    Raises
    ------
    ValueError
        An argument is out of range, or the memories are larger than the part's.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be positive, not {seeds!r}")
    if clock_mhz is not None and not 1 <= clock_mhz <= 400:
        raise ValueError(f"clock must be 1 to 400 MHz, not {clock_mhz!r}")
    if image not in (None, *SOURCES):
        raise ValueError(f"image must be one of {', '.join(SOURCES)}, not {image!r}")
    lacking = shortfall(board, estimate(board, build.config, len(build.image)))
    if image is None and not lacking:
        image = "rom"
    elif image is None:
        image = "host" if board.image_offset is None else "flash"
    if image == "flash" and board.image_offset is None:
        raise ValueError(f"{board.name} has no flash for an image; use --image rom or host")
    if image != "rom":
        lacking = shortfall(board, estimate(board, build.config, 0))
    # Logic is only estimated: place and route will tell. Memory and multipliers are counted.
    counted = {kind: pair for kind, pair in lacking.items() if kind in ("BRAM", "DSP")}
    if counted:
        needs = ", ".join(f"{n} {kind} of {room}" for kind, (n, room) in counted.items())
        other = "host" if board.image_offset is None else "flash"
        raise ValueError(
            f"{board.name}: the accelerator needs {needs}; compile with --board {board.name}"
            + (f", or use --image {other}" if image == "rom" else "")
        )
    config = dataclasses.replace(build.config, trace=False)
    return build_bitstream(
        board,
        Accelerator(config, build.image if image == "rom" else None, image_stream=image == "flash"),
        folder,
        clock_hz=None if clock_mhz is None else round(clock_mhz * 1e6),
        seeds=range(1, seeds + 1),
        progress=progress,
        tools=tools,
        image=build.image if image == "flash" else None,
    )
