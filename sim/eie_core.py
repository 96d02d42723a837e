"""The EIE array by itself, in Verilator: memories filled, passes run, every accumulator read."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth import ClockSignal, Instance
from amaranth.back import verilog

from prunus.hw.bus import Target, WriteBus
from prunus.hw.config import Config
from prunus.hw.eie.array import EieArray
from prunus.hw.eie.layer import layer_layout
from prunus.hw.location import location_layout

from . import verilator
from .eie_fill import Fill
from .verilator import BenchError, Model

__all__ = ["CoreRun", "build_core", "run_core"]

HDL = Path(__file__).resolve().parent / "hdl"

Ints = npt.NDArray[np.int64]
_RECORD = np.dtype(
    [("target", "u1"), ("unit", "u1"), ("address", ">u4"), ("high", ">u2"), ("low", ">u4")]
)
_WATCHDOG = 10_000_000  # cycles of one pass


@dataclass(frozen=True, slots=True)
class CoreRun:
    """What :func:`run_core` saw, for each pass.

    ``cycles`` are from ``start`` to ``done``, ``drains`` from the first beat of locations in to
    the last sums out; ``sums`` is int64 (passes, outputs).
    """

    cycles: list[int]
    drains: list[int]
    sums: Ints


def build_core(config: Config, *, cache_dir: Path | None = None) -> Model:
    """Verilate the array of ``config`` in ``hdl/eie_bench.sv``, or find it in the cache."""
    bus = WriteBus(config).members
    parameters = {
        "LANES": config.lanes,
        "WORD_BITS": 8 * config.act_word,
        "WORD_ADDRESS": (config.act_depth - 1).bit_length(),
        "WORD_DEPTH": config.act_depth,
        "BUS_ADDRESS": bus["address"].shape.width,
        "BUS_DATA": bus["data"].shape.width,
        "LAYER_BITS": layer_layout(config).size,
        "PLACE_BITS": location_layout(config).size,
    }
    sources: list[Path | str] = [_verilog(config), HDL / "eie_bench.sv"]
    return verilator.build(sources, "eie_bench", parameters=parameters, cache_dir=cache_dir)


def run_core(
    model: Model,
    config: Config,
    filled: Fill,
    codebook: npt.NDArray[Any] | None,
    activations: npt.NDArray[np.int8],
    pe_of: Ints,
    row_of: Ints,
    *,
    in_zero: int = 0,
    passes: int = 1,
    timeout: float = 1800.0,
) -> CoreRun:
    """Load a layer that :func:`fill` dealt to the PEs, and run it ``passes`` times.

    A layer without column pointers is run as a dense one.

    Raises
    ------
    BenchError
        The array did not answer.
    """
    dense = filled.pointers.shape[1] == 0
    layer = {
        "dense": int(dense),
        "in_zero": in_zero,
        "columns": len(activations),
        "rows": int(row_of.max()) + 1,
    }
    beats = -(-len(pe_of) // config.lanes)
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        work = Path(folder)
        (work / "bus.bin").write_bytes(_writes(filled, codebook))
        (work / "layer.hex").write_text(f"{_bits(layer_layout(config), layer):x}\n")
        size = config.act_word
        padded = np.full(-(-len(activations) // size) * size, -1, dtype=np.int8)
        padded[: len(activations)] = activations
        rows = padded.reshape(-1, size)[:, ::-1]
        (work / "activations.hex").write_text("".join(f"{r.tobytes().hex()}\n" for r in rows))
        (work / "locate.bin").write_bytes(_locations(config, pe_of, row_of))
        plusargs = [f"+beats={beats}", f"+passes={passes}", f"+watchdog={_WATCHDOG}"]
        verilator.run(
            model, "prunus.sim.benches.eie", plusargs=plusargs, work_dir=work, timeout=timeout
        )
        cycles = np.loadtxt(work / "cycles.txt", dtype=np.int64, ndmin=2)
        words = bytes.fromhex((work / "sums.hex").read_text())
    if len(words) != passes * beats * config.lanes * 4:
        raise BenchError(f"the array gave {len(words) // 4} sums, not {passes * beats} beats")
    sums = np.frombuffer(words, dtype=">i4").reshape(passes, beats, config.lanes)[..., ::-1]
    outputs = sums.reshape(passes, -1)[:, : len(pe_of)].astype(np.int64)
    return CoreRun(cycles[:, 0].tolist(), cycles[:, 1].tolist(), outputs)


class _Macros:
    """Platform whose memories are instances of the bench's ``eie_memory``, which starts as zeros.

    Amaranth would write a statement for every row: hundreds of megabytes for a large array.
    """

    def get_memory(self, memory: Any) -> Any:
        (read,), (write,) = memory.read_ports, memory.write_ports
        return Instance(
            "eie_memory",
            p_WIDTH=len(read.data),
            p_DEPTH=memory.depth,
            p_ADDRESS=len(read.addr),
            i_clk=ClockSignal(),
            i_r_addr=read.addr,
            o_r_data=read.data,
            i_w_en=write.en,
            i_w_addr=write.addr,
            i_w_data=write.data,
        )


def _verilog(config: Config) -> str:
    text = verilog.convert(
        EieArray(config), name="eie_array", platform=_Macros(), emit_src=False,
        strip_internal_attrs=True,
    )  # fmt: skip
    return str(text)


def _writes(filled: Fill, codebook: npt.NDArray[Any] | None) -> bytes:
    """The records of ``bus.bin``."""
    contents: list[tuple[Any, int, Ints]]
    contents = [(Target.WEIGHT, pe, words) for pe, words in enumerate(filled.weights)]
    contents += [(Target.POINTER, pe, words) for pe, words in enumerate(filled.pointers)]
    if codebook is not None:
        contents.append((Target.CODEBOOK, 0, np.asarray(codebook, dtype=np.int64) & 0xFF))
    blocks = []
    for target, unit, words in contents:
        block = np.zeros(len(words), dtype=_RECORD)
        block["target"], block["unit"] = target.value, unit
        block["address"] = np.arange(len(words))
        block["high"], block["low"] = words >> 32, words & 0xFFFFFFFF
        blocks.append(block.tobytes())
    return b"".join(blocks)


def _locations(config: Config, pe_of: Ints, row_of: Ints) -> bytes:
    """The beats of ``locate.bin``; lanes past the last output name the first accumulator."""
    layout, lanes = location_layout(config)[0].shape, config.lanes
    size = (lanes * layout.size + 7) // 8
    beats = []
    for first in range(0, len(pe_of), lanes):
        word = 0
        for lane, output in enumerate(range(first, min(first + lanes, len(pe_of)))):
            place = {"pe": int(pe_of[output]) // lanes, "row": int(row_of[output])}
            word |= _bits(layout, place) << (lane * layout.size)
        beats.append(word.to_bytes(size, "big"))
    return b"".join(beats)


def _bits(layout: Any, values: Mapping[str, int]) -> int:
    """``values`` packed as ``layout`` says."""
    word = 0
    for name, value in values.items():
        field = layout[name]
        word |= (value & ((1 << field.width) - 1)) << field.offset
    return word
