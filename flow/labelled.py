"""Samples with labels in a ``.npz`` file, read with errors of one line."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .terminal import InputError

__all__ = ["KEYS", "read_labelled"]

KEYS = ("x", "y", "x_test", "y_test")


def read_labelled(path: Path) -> dict[str, NDArray[Any]]:
    """``x`` (samples, *shape) and ``y`` (labels), maybe ``x_test`` and ``y_test``.

    Raises
    ------
    InputError
        The file is missing, damaged, or holds something else.
    """
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(
                    f"{path}: not a .npz file; write it with numpy.savez(path, x=, y=)"
                )
            with archive:
                found = {key: archive[key] for key in KEYS if key in archive}
                names = ", ".join(archive.files)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give samples x and labels y as .npz") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give samples x and labels y as .npz") from None
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'damaged'}") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError) as error:
        raise InputError(
            f"{path}: not a .npz file of numbers, or damaged; write it with "
            "numpy.savez(path, x=, y=)"
        ) from error
    for key in KEYS[:2]:
        if key not in found:
            raise InputError(
                f"{path}: holds {names or 'nothing'}; samples x and labels y are needed"
            )
    if ("x_test" in found) != ("y_test" in found):
        raise InputError(f"{path}: holds one of x_test and y_test; both or none are needed")
    return found
