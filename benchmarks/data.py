"""Where the models and data sets of others are that the benchmarks measure."""

import argparse
import os
from pathlib import Path

__all__ = ["data_folder", "needed"]


def data_folder() -> Path:
    """``$PRUNUS_DATA``, or ``shared/data`` beside the project; it need not exist."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("PRUNUS_DATA", default))


def needed(parser: argparse.ArgumentParser, name: str) -> Path:
    """The file or folder of that name in it; without it ``parser`` ends the program."""
    path = data_folder() / name
    if not path.exists():
        parser.error(f"{path}: not found; set PRUNUS_DATA to the folder that has {name}")
    return path
