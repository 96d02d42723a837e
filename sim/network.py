"""Whole-accelerator simulation: a script of host bytes in, replies and checked layers out."""

import json
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw.config import Config, bits_for

from . import verilator
from .benches.network import SUMMARY
from .cplusplus import HDL
from .verilator import BenchError, Model

__all__ = ["LayerSpan", "LayerTiming", "Mismatch", "NetworkRun", "build_harness", "simulate"]

FLAG = 0x7E
BURST = 256  # cycles for each one of cocotb's clock; the harness counts the cycles itself
PROBLEMS = {
    1: "nothing happened for {watchdog} cycles",
    2: "the network ran more often than {samples} times",
    3: "expected_crcs ended early",
}


@dataclass(frozen=True, slots=True)
class LayerSpan:
    """Where the outputs of a layer are: the descriptors' number, first activation word, bytes.

    ``bytes`` are those of a pixel; from one of the ``pixels`` to the next are ``pitch`` words, 0
    for as many as it fills.
    """

    number: int
    base_word: int
    bytes: int
    pixels: int = 1
    pitch: int = 0


@dataclass(frozen=True, slots=True)
class LayerTiming:
    """Cycles of one layer in one run.

    ``start`` and ``end`` count from reset; ``array`` is the time in the engine and ``drain`` that
    between the engine's end and the last output, summed over the passes of the layer.
    """

    sample: int
    layer: int
    start: int
    end: int
    array: int
    drain: int

    @property
    def cycles(self) -> int:
        """From the engine's start to the last output."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A layer whose outputs differ from what was expected.

    Members
    -------
    got : (pixels * bytes,)
        Its outputs as uint8, pixel after pixel; where ``written`` is false, the byte was never
        written.
    stray : int
        Lane groups that it wrote outside of its outputs.
    """

    sample: int
    layer: int
    got: npt.NDArray[np.uint8]
    written: npt.NDArray[np.bool_]
    stray: int


@dataclass(frozen=True, slots=True)
class NetworkRun:
    """What a simulation gave.

    ``mismatch_count`` may be larger than the list, which stops at ``dumps`` layers;
    ``cycles`` counts from reset to the last reply, with loading and the host's bytes.
    """

    replies: bytes
    mismatches: list[Mismatch]
    mismatch_count: int
    timings: list[LayerTiming]
    cycles: int
    seconds: float
    build_seconds: float

    @property
    def sim_cycles_per_second(self) -> float:
        return self.cycles / self.seconds if self.seconds else 0.0

    def layer_cycles(self, samples: int, layers: Sequence[LayerSpan]) -> npt.NDArray[np.int64]:
        """Cycles as (samples, layers); 0 where a layer did not run."""
        table = np.zeros((samples, len(layers)), np.int64)
        column = {span.number: n for n, span in enumerate(layers)}
        for timing in self.timings:
            if timing.layer in column:
                table[timing.sample, column[timing.layer]] = timing.cycles
        return table


def build_harness(
    sources: Sequence[Path | str],
    config: Config,
    *,
    cache_dir: Path | None = None,
    random_start: bool = False,
) -> Model:
    """The model of ``accelerator`` inside the harness, for :func:`simulate`.

    Raises
    ------
    ValueError
        The configuration has no trace port.
    BuildError
        With the first error.
    """
    if not config.trace:
        raise ValueError("config.trace must be True, not False")
    parameters = {
        "LANES": config.lanes,
        "GROUPS": config.groups,
        "GROUP_BITS": bits_for(config.groups - 1),
        "DEPTH": config.act_depth,
        "ADDRESS_BITS": bits_for(config.act_depth - 1),
    }
    return verilator.build(
        [*sources, HDL / "harness.sv"],
        "harness",
        parameters=parameters,
        cache_dir=cache_dir,
        burst=BURST,
        random_start=random_start,
    )


def simulate(
    model: Model,
    script: bytes,
    layers: Sequence[LayerSpan],
    expected_crcs: npt.ArrayLike,
    *,
    wait_ready: bool = False,
    stall: float = 0.0,
    seed: int = 0,
    watchdog: int = 1_000_000,
    dumps: int = 64,
    timeout: float = 3600.0,
    work_dir: Path | None = None,
) -> NetworkRun:
    """Send ``script`` to the accelerator, check every layer's outputs, collect the replies.

    It ends when the network has run once for each row of ``expected_crcs`` (samples, layers; CRC-32
    of a layer's outputs as int8 bytes in natural order, without gaps) and every frame of ``script``
    was answered. ``wait_ready`` sends nothing before the image in ROM is loaded. ``stall`` is the
    probability of a pause, of the script's and of the replies' stream each, in a cycle.

    Raises
    ------
    BenchError
        When nothing happens for ``watchdog`` cycles, or the simulation fails otherwise. Layers
        that differ are not an error: they are returned.
    """
    expected = np.asarray(expected_crcs, np.uint32)
    if expected.ndim != 2 or expected.shape[1] != len(layers):
        raise ValueError(
            f"expected_crcs must be (samples, {len(layers)}), not of shape {expected.shape}"
        )
    if not 0.0 <= stall < 1.0:
        raise ValueError(f"stall must be at least 0 and below 1, not {stall!r}")
    if len({span.number for span in layers}) != len(layers):
        raise ValueError("layers must have different numbers")
    if any(not 0 <= span.number < 256 for span in layers):
        raise ValueError("layers must have numbers of 0 to 255")
    if any(span.bytes < 1 or span.pixels < 1 or span.pitch < 0 for span in layers):
        raise ValueError("layers must have bytes and pixels, and a pitch of at least 0")
    if work_dir is None:
        with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
            return simulate(
                model, script, layers, expected, wait_ready=wait_ready, stall=stall, seed=seed,
                watchdog=watchdog, dumps=dumps, timeout=timeout, work_dir=Path(folder),
            )  # fmt: skip
    work_dir.mkdir(parents=True, exist_ok=True)
    table = [
        struct.pack(">5I", span.number, span.base_word, span.bytes, span.pixels, span.pitch)
        for span in layers
    ]
    (work_dir / "layers.bin").write_bytes(b"".join(table))
    (work_dir / "expected.bin").write_bytes(expected.astype(">u4").tobytes())
    (work_dir / "script.bin").write_bytes(script)
    frames = sum(1 for body in script.split(bytes((FLAG,))) if body)
    values = {
        "samples": len(expected),
        "replies": frames,
        "rows": len(layers),
        "wait_ready": int(wait_ready),
        "stall": round(256 * stall),
        "seed": seed,
        "watchdog": watchdog,
        "dumps": dumps,
    }
    verilator.run(
        model,
        "prunus.sim.benches.network",
        plusargs=[f"+{name}={value}" for name, value in values.items()],
        work_dir=work_dir,
        seed=seed,
        timeout=timeout,
    )
    summary = json.loads((work_dir / SUMMARY).read_text())
    if summary["problem"]:
        what = PROBLEMS[summary["problem"]].format(**values)
        raise BenchError(
            f"{what}: in cycle {summary['cycles']}, after {summary['samples']} of {len(expected)} "
            f"runs and {summary['replies']} of {frames} replies"
        )
    return NetworkRun(
        replies=(work_dir / "replies.bin").read_bytes(),
        mismatches=_mismatches(work_dir / "mismatches.txt"),
        mismatch_count=summary["mismatches"],
        timings=_timings(work_dir / "layers.txt"),
        cycles=summary["cycles"],
        seconds=summary["seconds"],
        build_seconds=model.build_seconds,
    )


def _timings(path: Path) -> list[LayerTiming]:
    rows: list[Any] = [map(int, line.split()) for line in path.read_text().splitlines()]
    return [LayerTiming(*row) for row in rows]


def _mismatches(path: Path) -> list[Mismatch]:
    found = []
    for line in path.read_text().splitlines():
        sample, layer, stray, text = line.split()
        pairs = [text[at : at + 2] for at in range(0, len(text), 2)]
        found.append(
            Mismatch(
                sample=int(sample),
                layer=int(layer),
                got=np.array([0 if pair == "xx" else int(pair, 16) for pair in pairs], np.uint8),
                written=np.array([pair != "xx" for pair in pairs], np.bool_),
                stray=int(stray),
            )
        )
    return found
