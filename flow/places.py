"""Folders that results go to, looked at before long work, not after it."""

import tempfile
from pathlib import Path

__all__ = ["PlaceError", "check_folder"]


class PlaceError(ValueError):
    """A place where nothing can be written; the message begins with its name."""


def check_folder(path: Path) -> Path:
    """``path``, where a folder exists that can be written to, or can be made.

    Raises
    ------
    PlaceError
        It cannot.
    """
    if path.exists() and not path.is_dir():
        raise PlaceError(f"{path}: is a file; name a folder")
    there = next(place for place in (path.resolve(), *path.resolve().parents) if place.exists())
    try:
        tempfile.TemporaryDirectory(dir=there).cleanup()
    except OSError as error:
        raise PlaceError(f"{path}: cannot be written ({error.strerror})") from error
    return path
