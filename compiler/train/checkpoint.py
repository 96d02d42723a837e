"""Checkpoints: the state of a training, whole or not at all, and only for the run it belongs to."""

import hashlib
import os
import pickle
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..ir import Graph

__all__ = ["fingerprint", "load_checkpoint", "save_checkpoint"]


def fingerprint(*parts: Any) -> str:
    """A hash of graphs, arrays, and whatever else has a repr that says it all."""
    digest = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.hexdigest()


def _pieces(part: Any) -> Iterable[bytes]:
    if isinstance(part, Graph):
        yield repr((part.name, part.inputs, part.outputs, sorted(part.tensors.items()))).encode()
        for node in part.nodes:
            yield repr((node.name, node.op, node.inputs, node.output, node.attrs)).encode()
            for key in sorted(node.consts):
                yield from _pieces(node.consts[key])
    elif isinstance(part, np.ndarray):
        yield repr((part.dtype.str, part.shape)).encode()
        yield np.ascontiguousarray(part).tobytes()
    elif isinstance(part, torch.Tensor):
        yield from _pieces(part.detach().numpy())
    else:
        yield repr(part).encode()


def save_checkpoint(path: Path, key: str, state: dict[str, Any]) -> None:
    """Write a state; a reader sees the old one or the new one, never half."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"key": key, "state": state}, file)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_checkpoint(path: Path, key: str) -> dict[str, Any] | None:
    """The state of the run ``key``; None when there is none, or it is damaged."""
    try:
        found = torch.load(path, weights_only=True)
        state: dict[str, Any] = found["state"]
        return state if found["key"] == key else None
    except (OSError, RuntimeError, EOFError, LookupError, TypeError, ValueError,
            pickle.UnpicklingError):  # fmt: skip
        return None
