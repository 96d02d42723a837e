"""Files that a user names, read with errors of one line."""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.compiler.evaluate import quantize_input
from prunus.compiler.ir import Graph
from prunus.compiler.plan import Options

from .terminal import InputError

__all__ = ["options_from", "read_array", "read_inputs", "read_options"]

_MAGIC = b"\x93NUMPY"


def read_array(path: Path) -> NDArray[Any]:
    """The numbers in a ``.npy`` file.

    Raises
    ------
    InputError
        It is not one, holds objects, is damaged or empty.
    """
    try:
        with open(path, "rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise InputError(f"{path}: not a .npy file; write it with numpy.save")
        # mmap: a damaged header that promises too much fails here instead of in memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give samples as .npy") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give samples as .npy") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except InputError:
        raise
    except Exception as error:  # whatever a damaged header makes NumPy raise
        raise InputError(
            f"{path}: damaged, or not numbers ({_line(error)}); write it with numpy.save"
        ) from None
    if array.dtype.kind not in "iufb":
        raise InputError(f"{path}: holds {array.dtype}; int8 or float numbers are needed")
    if array.size == 0:
        raise InputError(f"{path}: has shape {array.shape}; at least one sample is needed")
    return np.array(array)


def read_inputs(path: Path, graph: Graph) -> NDArray[Any]:
    """Samples for the input of ``graph``, (samples, *shape): int8, or floats to be quantized."""
    array = read_array(path)
    source = graph.tensors[graph.inputs[0]]
    if not source.quantized and array.dtype.kind in "iub":
        array = array.astype(np.float32)
    try:
        quantize_input(graph, array)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return array


def read_options(path: Path) -> dict[str, Any]:
    """Fields of :class:`prunus.compiler.plan.Options` from a TOML file."""
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a TOML file of options") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML ({_line(error)})") from None
    try:
        options_from(table)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return table


def options_from(fields: Mapping[str, Any]) -> Options:
    """Options with these fields; an unknown one, or one of a wrong kind, is named."""
    known = {field.name: field.type for field in dataclasses.fields(Options)}
    for name, value in fields.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"unknown option {name!r}; {hint}known options: {', '.join(known)}")
        kinds = _kinds(known[name])
        if type(value) not in kinds:
            wanted = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
            raise ValueError(f"{name} must be {wanted}, not {value!r}")
    return Options(**fields)


def _kinds(annotation: Any) -> tuple[type, ...]:
    if isinstance(annotation, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _line(error: Exception) -> str:
    """The first line of what an error says, or its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
