"""Put a finished build on its board."""

import shutil
import subprocess
from pathlib import Path

from .board import Board, Loader
from .registry import find_board
from .result import BuildResult
from .toolchain import BuildError

__all__ = ["commands", "flash"]


def loader(board: Board) -> Loader:
    """The first of the board's programs that is installed; the usual one if none is."""
    there = (found for found in board.loaders if shutil.which(found.program) is not None)
    return next(there, board.loaders[0])


def commands(
    folder: Path | str, board: Board | None = None, *, keep: bool = False
) -> list[list[str]]:
    """The commands that program ``board``, the one it was built for, with the build in ``folder``.

    The part is configured until it loses power, or with ``keep`` for good, by its flash. Where the
    flash is the only way to the part, it is programmed for good in any case. A ROM image goes into
    the flash first, as the bitstream reads it when it starts.
    """
    result = BuildResult.load(folder)
    built_for = find_board(result.board)
    if board is not None and board != built_for:
        raise BuildError(f"{folder} was built for {result.board}, not for {board.name}")
    program = loader(built_for)
    options = program.flash if keep or program.ram is None else program.ram
    file = result.bitstream if built_for.dfu is None else result.bitstream.with_suffix(".dfu")
    for needed in (file, result.image):
        if needed is not None and not needed.is_file():
            raise BuildError(f"{needed} is missing; run prunus build again")
    images = []
    if result.image is not None:
        place = ["-o", str(result.image_offset), str(result.image)]
        images = [[program.program, *program.flash, *place]]
    return [*images, [program.program, *options, str(file)]]


def flash(
    folder: Path | str, board: Board | None = None, *, keep: bool = False, dry_run: bool = False
) -> list[list[str]]:
    """Run :func:`commands`, or with ``dry_run`` only return them."""
    lines = commands(folder, board, keep=keep)
    if dry_run:
        return lines
    for arguments in lines:
        if shutil.which(arguments[0]) is None:
            built_for = find_board(BuildResult.load(folder).board)
            raise BuildError(f"{arguments[0]} is missing: install {loader(built_for).install}")
        done = subprocess.run(arguments, check=False)
        if done.returncode:
            raise BuildError(f"{arguments[0]} failed with exit status {done.returncode}")
    return lines
