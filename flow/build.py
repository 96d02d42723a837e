"""A build: a compiled model, in memory and as a directory."""

import dataclasses
import importlib.metadata
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunus.compiler import store
from prunus.compiler.assemble import LayerStatistics
from prunus.compiler.ir import Graph, GraphError
from prunus.hw.config import Config
from prunus.hw.image import unpack
from prunus.sim.cache import digest

from .places import check_folder

__all__ = [
    "FORMAT",
    "Build",
    "BuildError",
    "LayerReport",
    "check_place",
    "load_build",
    "save_build",
]

FORMAT = 3  # of the directory
_FILES = {"build.json", "graph.npz", "image.bin", "image.hex", "simulation.json", "report.html"}


class BuildError(ValueError):
    """A build directory that cannot be used."""


@dataclass(frozen=True, slots=True)
class LayerReport:
    """A layer as the report shows it; ``tensor`` is the output, ``base_word`` where it is kept.

    That is ``pixels`` of ``outputs`` bytes each, ``pitch`` words apart (0: without words between).
    ``cycles`` are predicted, as if every activation were non-zero; ``costs`` are those of every
    engine that could do it.
    """

    name: str
    op: str
    engine: str
    tensor: str
    macs: int
    weights: int
    nonzeros: int
    dense: bool
    distinct: int
    rows: int
    passes: int
    base_word: int
    outputs: int
    rom: LayerStatistics
    pixels: int = 1
    pitch: int = 0
    cycles: int = 0
    costs: dict[str, int] = field(default_factory=dict)

    @property
    def rom_bits(self) -> int:
        return self.rom.rom_bits


@dataclass(frozen=True, slots=True)
class Build:
    """Everything that later steps need: the graph, the configuration, the image, the figures.

    ``lossless``: no weight differs from the imported model's (quantization of a float model to
    int8 counts as a change). ``parameters`` are the imported model's weights and biases.
    ``input_index``: byte b of what the gates take is this element of the core's input, -1 its zero
    point; empty where they take it as it is.
    """

    graph: Graph
    config: Config
    image: bytes
    layers: tuple[LayerReport, ...]
    lossless: bool
    parameters: int
    settings: dict[str, Any]
    input_index: tuple[int, ...] = ()

    @property
    def hardware(self) -> str:
        """The engines with multipliers, in words."""
        if self.config.compact:
            return "the compact engine"
        pes, rows, columns = self.config.pes, self.config.act_word, self.config.columns
        parts = [f"{pes} PEs"] if pes else []
        parts += [f"a systolic array of {rows} x {2 * columns}"] if columns else []
        size = self.config.winograd
        parts += [f"Winograd's F({size}x{size}, 3x3)"] if size else []
        return " and ".join(parts)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def rom_bytes(self) -> int:
        return len(self.image)

    @property
    def float32_bytes(self) -> int:
        """Weights and biases of the imported model as float32."""
        return 4 * self.parameters

    @property
    def compression_ratio(self) -> float:
        return self.float32_bytes / self.rom_bytes

    def summary(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return {
            "model": self.graph.name,
            "layers": [
                {
                    "name": layer.name,
                    "op": layer.op,
                    "engine": layer.engine,
                    "macs": layer.macs,
                    "weights": layer.weights,
                    "nonzeros": layer.nonzeros,
                    "rom_bits": layer.rom_bits,
                    "predicted_cycles": layer.cycles,
                    "costs": layer.costs,
                    "storage": "dense" if layer.dense else "sparse",
                    "distinct_weights": layer.distinct,
                    "code_bits": layer.rom.code_bits,
                    "run_bits": layer.rom.run_bits,
                    "table_bits": layer.rom.table_bits,
                    "entropy_bits": round(layer.rom.entropy_bits, 1),
                }
                for layer in self.layers
            ],
            "macs": self.macs,
            "rom_bytes": self.rom_bytes,
            "float32_bytes": self.float32_bytes,
            "compression_ratio": round(self.compression_ratio, 3),
            "lossless": self.lossless,
            "config": dataclasses.asdict(self.config),
            "settings": self.settings,
        }


def hex_text(image: bytes) -> str:
    """The image for ``$readmemh``, one byte a line."""
    return "".join(f"{byte:02x}\n" for byte in image)


def check_place(path: Path) -> None:
    """That a build can be written to ``path``: to be asked before long work, not after it.

    Raises
    ------
    BuildError
        There is something else, which would be lost.
    PlaceError
        Nothing can be written there.
    """
    if path.exists():
        others = {file.name for file in path.iterdir()} if path.is_dir() else {path.name}
        if not path.is_dir() or (others and not _is_build(path, others)):
            raise BuildError(f"{path}: exists and is not a build directory; name another")
        if others := others - _FILES:
            raise BuildError(
                f"{path}: holds {min(others)}, which would be lost with the old build; "
                "name another folder"
            )
    check_folder(path.resolve().parent)


def _is_build(path: Path, files: set[str]) -> bool:
    """Whether a folder of these files is a build, perhaps a damaged one."""
    if {"graph.npz", "image.bin"} <= files:
        return True
    try:
        return {"format", "prunus", "layers"} <= set(json.loads((path / "build.json").read_text()))
    except (ValueError, TypeError, OSError):
        return False


def save_build(build: Build, path: Path) -> None:
    """Write the directory, whole or not at all; an older build at ``path`` is replaced.

    Raises
    ------
    BuildError, PlaceError
        See :func:`check_place`.
    """
    check_place(Path(path))
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        new, old = scratch / "new", scratch / "old"
        new.mkdir()
        store.save(build.graph, new / "graph.npz")
        (new / "image.bin").write_bytes(build.image)
        (new / "image.hex").write_text(hex_text(build.image))
        document = {
            "format": FORMAT,
            "prunus": importlib.metadata.version("prunus"),
            "config": dataclasses.asdict(build.config),
            "layers": [dataclasses.asdict(layer) for layer in build.layers],
            "lossless": build.lossless,
            "parameters": build.parameters,
            "settings": build.settings,
            "input_index": build.input_index,
        }
        document["digest"] = digest(document)
        (new / "build.json").write_text(json.dumps(document, indent=1))
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(new, path)
        except BaseException:
            if old.exists():
                os.replace(old, path)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def load_build(path: Path) -> Build:
    """Read a build directory.

    Raises
    ------
    BuildError
        It is not one, is damaged, or was written by another version.
    """
    path = Path(path)
    if not (path / "build.json").is_file():
        raise BuildError(f"{path}: not a build directory; make one with prunus compile")
    try:
        document = json.loads((path / "build.json").read_text())
        written_digest = document.pop("digest", None)
        written = document["format"]
        version = document["prunus"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BuildError(f"{path / 'build.json'}: damaged; compile the model again") from error
    if written != FORMAT or version != importlib.metadata.version("prunus"):
        raise BuildError(
            f"{path}: written by prunus {version}, format {written}; this is prunus "
            f"{importlib.metadata.version('prunus')}, format {FORMAT}: compile the model again"
        )
    if written_digest != digest(document):
        raise BuildError(f"{path / 'build.json'}: damaged; compile the model again")
    try:
        config = Config(**document["config"])
        image = (path / "image.bin").read_bytes()
        unpack(image, config.hash)
        return Build(
            graph=store.load(path / "graph.npz"),
            config=config,
            image=image,
            layers=tuple(
                LayerReport(**{**layer, "rom": LayerStatistics(**layer["rom"])})
                for layer in document["layers"]
            ),
            lossless=document["lossless"],
            parameters=document["parameters"],
            settings=document["settings"],
            input_index=tuple(document["input_index"]),
        )
    except (GraphError, ValueError, KeyError, TypeError, OSError) as error:
        raise BuildError(f"{path}: damaged ({error}); compile the model again") from error
