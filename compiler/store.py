"""Graphs in files: one zip of arrays and a JSON text, read without unpickling anything."""

import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .ir import Graph, GraphError, ModelError, Node, Tensor, verify

__all__ = ["load", "save"]

_FORMAT = "prunus graph"
_VERSION = 1


def save(graph: Graph, path: str | Path) -> None:
    """Write a graph; whoever reads at the same time sees the old file or the new, never half."""
    verify(graph)
    arrays: dict[str, Any] = {}
    nodes = []
    for number, node in enumerate(graph.nodes):
        for key, value in node.consts.items():
            arrays[f"{number}.{key}"] = value
        nodes.append(
            {
                "name": node.name,
                "op": node.op,
                "inputs": node.inputs,
                "output": node.output,
                "attrs": node.attrs,
                "consts": tuple(node.consts),
            }
        )
    text = json.dumps(
        {
            "format": _FORMAT,
            "version": _VERSION,
            "name": graph.name,
            "inputs": graph.inputs,
            "outputs": graph.outputs,
            "tensors": [[t.name, t.shape, t.scale, t.zero_point] for t in graph.tensors.values()],
            "nodes": nodes,
        }
    )
    arrays["graph"] = np.frombuffer(text.encode(), np.uint8)
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes private files
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: str | Path) -> Graph:
    """The graph that :func:`save` wrote.

    Raises
    ------
    ModelError
        The file is missing, damaged, of another kind or of another version.
    """
    try:
        # numpy leaves a damaged file open when it opens it itself
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile) or "graph" not in archive:
                raise ModelError(f"{path}: not a saved graph")
            described = json.loads(archive["graph"].tobytes())
            if not isinstance(described, dict) or described.get("format") != _FORMAT:
                raise ModelError(f"{path}: not a saved graph")
            if described["version"] != _VERSION:
                raise ModelError(
                    f"{path}: has version {described['version']!r}, not {_VERSION}; compile again"
                )
            return verify(_graph(described, archive))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or 'damaged'}") from error
    except ModelError:
        raise
    except GraphError as error:
        raise ModelError(f"{path}: damaged: {error}") from error
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ModelError(f"{path}: not a saved graph, or damaged") from error


def _graph(described: dict[str, Any], archive: Any) -> Graph:
    tensors = {
        name: Tensor(name, tuple(shape), scale, zero_point)
        for name, shape, scale, zero_point in described["tensors"]
    }
    nodes = tuple(
        Node(
            node["name"],
            node["op"],
            tuple(node["inputs"]),
            node["output"],
            {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in node["attrs"].items()
            },
            {key: archive[f"{number}.{key}"] for key in node["consts"]},
        )
        for number, node in enumerate(described["nodes"])
    )
    return Graph(
        described["name"],
        tuple(described["inputs"]),
        tuple(described["outputs"]),
        tensors,
        nodes,
    )
