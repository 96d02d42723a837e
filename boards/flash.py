"""Put a finished build on its board."""

import shutil
import subprocess
from pathlib import Path

from .board import Board
from .registry import find_board
from .result import BuildResult
from .toolchain import BuildError

__all__ = ["commands", "flash"]

LOADER = "openFPGALoader"


def commands(
    folder: Path | str, board: Board | None = None, *, keep: bool = False
) -> list[list[str]]:
    """The commands that program ``board``, the one it was built for, with the build in ``folder``.

    An ECP5 is loaded until it loses power, or with ``keep`` for good, into the flash. An iCE40
    board shares its pins with the flash and is always programmed for good; ``iceprog`` does that
    too and is taken when it is all there is. A ROM image goes into the flash first, as the
    bitstream reads it when it starts.
    """
    result = BuildResult.load(folder)
    built_for = find_board(result.board)
    if board is not None and board != built_for:
        raise BuildError(f"{folder} was built for {result.board}, not for {board.name}")
    bitstream, image = str(result.bitstream), str(result.image)
    offset = str(result.image_offset)
    if built_for.family == "ice40":
        if shutil.which(LOADER) is None and shutil.which("iceprog") is not None:
            images = [] if result.image is None else [["iceprog", "-o", offset, image]]
            return [*images, ["iceprog", bitstream]]
        keep = True
    loader = [LOADER, *built_for.loader]
    images = [] if result.image is None else [[*loader, "-f", "-o", offset, image]]
    return [*images, [*loader, "-f" if keep else "-m", bitstream]]


def flash(
    folder: Path | str, board: Board | None = None, *, keep: bool = False, dry_run: bool = False
) -> list[list[str]]:
    """Run :func:`commands`, or with ``dry_run`` only return them."""
    lines = commands(folder, board, keep=keep)
    if dry_run:
        return lines
    for arguments in lines:
        if shutil.which(arguments[0]) is None:
            raise BuildError(
                f"{arguments[0]} is missing: install openfpgaloader (Debian, Homebrew) or see "
                "https://trabucayre.github.io/openFPGALoader/guide/install.html"
            )
        done = subprocess.run(arguments, check=False)
        if done.returncode:
            raise BuildError(f"{arguments[0]} failed with exit status {done.returncode}")
    return lines
