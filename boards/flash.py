"""Put a finished build on its board."""

import shutil
import subprocess
from pathlib import Path

from .board import Board
from .registry import find_board
from .result import BuildResult
from .toolchain import BuildError

__all__ = ["command", "flash"]

LOADER = "openFPGALoader"


def command(folder: Path | str, board: Board | None = None, *, keep: bool = False) -> list[str]:
    """The command that programs ``board``, the one it was built for, with the build in ``folder``.

    An ECP5 is loaded until it loses power, or with ``keep`` for good, into the flash. An iCE40
    board shares its pins with the flash and is always programmed for good; ``iceprog`` does that
    too and is taken when it is all there is.
    """
    result = BuildResult.load(folder)
    built_for = find_board(result.board)
    if board is not None and board != built_for:
        raise BuildError(f"{folder} was built for {result.board}, not for {board.name}")
    if built_for.family == "ice40":
        if shutil.which(LOADER) is None and shutil.which("iceprog") is not None:
            return ["iceprog", str(result.bitstream)]
        keep = True
    return [LOADER, *built_for.loader, *(["-f"] if keep else ["-m"]), str(result.bitstream)]


def flash(
    folder: Path | str, board: Board | None = None, *, keep: bool = False, dry_run: bool = False
) -> list[str]:
    """Run :func:`command`, or with ``dry_run`` only return it."""
    arguments = command(folder, board, keep=keep)
    if dry_run:
        return arguments
    if shutil.which(arguments[0]) is None:
        raise BuildError(
            f"{arguments[0]} is missing: install openfpgaloader (Debian, Homebrew) or see "
            "https://trabucayre.github.io/openFPGALoader/guide/install.html"
        )
    done = subprocess.run(arguments, check=False)
    if done.returncode:
        raise BuildError(f"{arguments[0]} failed with exit status {done.returncode}")
    return arguments
