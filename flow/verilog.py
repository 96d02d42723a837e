# amaranth: UnusedElaboratable=no
"""Verilog files: the accelerator of a build, or one engine as a core of its own."""

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

from prunus.hw.accelerator import Accelerator
from prunus.hw.asic import MEMORIES, REGISTERS, AsicTarget
from prunus.hw.config import Config
from prunus.hw.eie.array import EieArray
from prunus.hw.embed.top import EmbeddedAccelerator
from prunus.hw.systolic.core import SystolicCore
from prunus.hw.winograd.core import WinogradCore
from prunus.sim.generate import to_verilog

from .build import Build, hex_text

__all__ = ["ENGINES", "write_engine", "write_verilog"]

ENGINES = ("eie", "systolic", "winograd")


def write_verilog(
    build: Build,
    folder: Path,
    *,
    rom: bool = False,
    trace: bool = False,
    asic: AsicTarget | None = None,
    bus: str | None = None,
    stream_bits: int = 32,
) -> list[Path]:
    """Write ``accelerator.v`` and the image it runs, ``image.bin`` and ``image.hex``.

    The host loads the image, unless ``rom`` puts it into block RAM; ``trace`` brings out what is
    written to the activation memory. For an ``asic`` there are ``memories.v`` and ``registers.v``
    too, the wrappers of its memories. With ``bus`` (``axi`` or ``wishbone``) there are AXI4-Streams
    of ``stream_bits`` and registers instead of the host link, in ``accelerator_axi.v`` or
    ``accelerator_wishbone.v``.

    Raises
    ------
    ValueError
        There is no such bus, or no stream of that width.
    """
    config = dataclasses.replace(build.config, trace=trace)
    image = build.image if rom else None
    name = f"accelerator_{bus}" if bus else "accelerator"
    accelerator: Any
    if bus:
        accelerator = EmbeddedAccelerator(config, image, bus=bus, stream_bits=stream_bits)
    else:
        accelerator = Accelerator(config, image)
    files = {
        **_sources(accelerator, name, asic),
        "image.bin": build.image,
        "image.hex": hex_text(build.image).encode(),
    }
    return _write(files, folder)


def write_engine(
    engine: str, folder: Path, *, asic: AsicTarget | None = None, **fields: Any
) -> list[Path]:
    """Write one engine alone, ``asic`` as for :func:`write_verilog`.

    ``fields`` are, for ``eie``, those of :class:`prunus.hw.config.Config`; for the others the
    arguments of :class:`prunus.hw.systolic.core.SystolicCore` and
    :class:`prunus.hw.winograd.core.WinogradCore`.

    Raises
    ------
    ValueError
        There is no such engine, or a field is out of range.
    """
    check_engine(engine)
    name: str
    core: Any
    if engine == "systolic":
        name, core = "systolic_core", SystolicCore(**fields)
    elif engine == "winograd":
        name, core = "winograd_core", WinogradCore(**fields)
    else:
        name, core = "eie_array", EieArray(Config(**fields))
    return _write(_sources(core, name, asic), folder)


def check_engine(engine: str) -> None:
    """Refuse, by name, an engine that this version does not have."""
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is unknown; available: {', '.join(ENGINES)}")


def _sources(core: Any, name: str, asic: AsicTarget | None) -> dict[str, bytes]:
    """The Verilog of a core as a file, and for an ASIC that of its wrappers."""
    files = {f"{name}.v": to_verilog(core, name, asic, initial=asic is None).encode()}
    if asic is not None:
        files |= {path.name: path.read_bytes() for path in (MEMORIES, REGISTERS)}
    return files


def _write(files: dict[str, bytes], folder: Path) -> list[Path]:
    """All of the files, each put into place when every one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as scratch:
        for name, content in files.items():
            (Path(scratch) / name).write_bytes(content)
        for name in files:
            os.replace(Path(scratch) / name, folder / name)
    return [folder / name for name in files]
