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

__all__ = ["make_bitstream"]


def make_bitstream(
    build: Build,
    board: Board,
    folder: Path,
    *,
    clock_mhz: float | None = None,
    seeds: int = 1,
    rom: bool | None = None,
    tools: str = "auto",
    progress: Callable[[str, str], None] | None = None,
) -> BuildResult:
    """Put the accelerator of a build on a board, behind its UART.

    ``rom`` puts the image into block RAM, else the host loads it; None decides by what fits. Up
    to ``seeds`` placements are tried until one meets the clock.

    Raises
    ------
    ValueError
        An argument is out of range, or the memories are larger than the part's.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be positive, not {seeds!r}")
    if clock_mhz is not None and not 1 <= clock_mhz <= 400:
        raise ValueError(f"clock must be 1 to 400 MHz, not {clock_mhz!r}")
    lacking = shortfall(board, estimate(board, build.config, len(build.image)))
    if rom is None:
        rom = not lacking
    if not rom:
        lacking = shortfall(board, estimate(board, build.config, 0))
    # Logic is only estimated: place and route will tell. Memory and multipliers are counted.
    counted = {kind: pair for kind, pair in lacking.items() if kind in ("BRAM", "DSP")}
    if counted:
        needs = ", ".join(f"{n} {kind} of {room}" for kind, (n, room) in counted.items())
        raise ValueError(
            f"{board.name}: the accelerator needs {needs}; compile with --board {board.name}"
            + (", or use --no-rom" if rom else "")
        )
    config = dataclasses.replace(build.config, trace=False)
    return build_bitstream(
        board,
        Accelerator(config, image=build.image if rom else None),
        folder,
        clock_hz=None if clock_mhz is None else round(clock_mhz * 1e6),
        seeds=range(1, seeds + 1),
        progress=progress,
        tools=tools,
    )
