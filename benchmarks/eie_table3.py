"""Table III of EIE (Han et al., ISCA 2016) on the array's own Verilog: cycles of its nine layers.

Efficiency is real work / (64 PEs x cycles): products of a weight that was kept and an activation
that is not zero, over all cycles from start to the last accumulation. The drain is beside it; it is
the same for every engine. Every accumulator is compared with numpy.

The networks' weights are not published, so weights and activations are kept at random, with the
densities of the paper; AlexNet's fc8 is also run as the authors published it, with a real
activation vector, if ``$PRUNUS_DATA`` has it.
"""

import argparse
import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from data import data_folder

from prunus.compiler.assign import assign_rows
from prunus.hw.config import Config
from prunus.sim.eie_core import build_core, run_core
from prunus.sim.eie_fill import fill
from prunus.sim.verilator import Model

FC8 = "deep_compression/eie_alexnet_fc8_csc_64pe.npz"
CONFIG = Config(
    pes=64, lanes=8, code_bits=4, weight_depth=1 << 16, pointer_depth=1 << 15, acc_rows=144,
    act_depth=2048,
)  # fmt: skip
ZERO = -128  # of the activations: they come from a ReLU


@dataclass(frozen=True, slots=True)
class Shape:
    """A row of the table. ``paper`` is its theoretical over its measured time."""

    name: str
    columns: int
    outputs: int
    weights: float
    activations: float
    paper: float


SHAPES = (
    Shape("Alex-6", 9216, 4096, 0.09, 0.351, 0.927),
    Shape("Alex-7", 4096, 4096, 0.09, 0.353, 0.959),
    Shape("Alex-8", 4096, 1000, 0.25, 0.375, 0.899),
    Shape("VGG-6", 25088, 4096, 0.04, 0.183, 0.817),
    Shape("VGG-7", 4096, 4096, 0.04, 0.375, 0.908),
    Shape("VGG-8", 4096, 1000, 0.23, 0.411, 0.869),
    Shape("NT-We", 4096, 600, 0.10, 1.0, 0.650),
    Shape("NT-Wd", 600, 8791, 0.11, 1.0, 0.935),
    Shape("NT-LSTM", 1201, 2400, 0.10, 1.0, 0.867),
)


@dataclass(frozen=True, slots=True)
class Layer:
    """A matrix as codes and presence (outputs, columns), its codebook, and an int8 input."""

    codes: npt.NDArray[np.uint8]
    kept: npt.NDArray[np.bool_]
    codebook: npt.NDArray[np.int8]
    activations: npt.NDArray[np.int8]


def random_layer(shape: Shape, rng: np.random.Generator) -> Layer:
    """Presence of weights and activations is random, each on its own."""
    size = (shape.outputs, shape.columns)
    kept = rng.random(size, dtype=np.float32) < shape.weights
    codes = rng.integers(0, 16, size, dtype=np.uint8)
    codebook = np.sort(rng.choice(np.arange(-128, 128), 16, replace=False)).astype(np.int8)
    values = rng.integers(ZERO + 1, 128, shape.columns)
    used = rng.random(shape.columns) < shape.activations
    return Layer(codes, kept, codebook, np.where(used, values, ZERO).astype(np.int8))


def published_fc8(path: Path) -> Layer:
    """AlexNet's last layer from EIE's authors, their fillers left out, quantized to int8."""
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    outputs, columns, pes = 1000, 4096, 64
    codes = np.zeros((outputs, columns), dtype=np.uint8)
    for pe in range(pes):
        first, last = arrays["pe_offset"][pe : pe + 2]
        code, run = arrays["code"][first:last], arrays["run"][first:last].astype(np.int64)
        ends = arrays["ptr"][pe].astype(np.int64)
        column = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        place = np.cumsum(run + 1)
        before = np.concatenate([[0], place])[ends[:-1]]  # rows are counted in each column anew
        row = pe + pes * (place - before[column] - 1)
        real = (code != 0) & (column < columns)
        codes[row[real], column[real]] = code[real]
    book = arrays["codebook"]
    codebook = np.round(book * 127 / np.abs(book).max()).astype(np.int8)
    vector = arrays["act"][:columns]
    activations = np.round(vector * 255 / vector.max()).astype(np.int64) + ZERO
    return Layer(codes, codes != 0, codebook, activations.astype(np.int8))


def measure(layer: Layer, config: Config, model: Model) -> dict[str, Any]:
    """Cycles of one layer; twice in a row, which must not differ."""
    work = np.count_nonzero(layer.kept, axis=1)
    pe, row = assign_rows(work, config.pes, config.lanes, config.acc_rows)
    filled = fill(config, layer.codes, layer.kept, pe, row)
    start = time.perf_counter()
    seen = run_core(
        model, config, filled, layer.codebook, layer.activations, pe, row, in_zero=ZERO, passes=2
    )
    seconds = time.perf_counter() - start
    inputs = layer.activations.astype(np.int64) - ZERO
    output, column = np.nonzero(layer.kept)
    products = layer.codebook.astype(np.int64)[layer.codes[output, column]] * inputs[column]
    # Exact: every partial sum is an integer far below 2**53.
    expected = np.bincount(output, weights=products, minlength=len(work)).astype(np.int64)
    active = inputs[column] != 0
    busiest = np.bincount(pe[output[active]], minlength=config.pes).max()
    ideal = int(np.count_nonzero(active))
    return {
        "exact": bool((seen.sums == expected).all() and seen.cycles[0] == seen.cycles[1]),
        "work": ideal,
        "activations": int(np.count_nonzero(inputs)),
        "cycles": seen.cycles[0],
        "drain": seen.drains[0],
        "efficiency": ideal / (config.pes * seen.cycles[0]),
        "balance": ideal / (config.pes * int(busiest)),
        "seconds": seconds,
    }


def main(argv: list[str] | None = None) -> int:
    """Print the table; the exit status says whether every accumulator was right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--queues", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--layers", nargs="+", choices=[s.name for s in SHAPES] + ["fc8"])
    parser.add_argument("--lanes", type=int, default=CONFIG.lanes)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)

    published = data_folder() / FC8
    wanted = options.layers or [s.name for s in SHAPES] + ["fc8"]
    configs = [
        dataclasses.replace(CONFIG, queue_depth=depth, lanes=options.lanes)
        for depth in options.queues
    ]
    models = [build_core(config) for config in configs]
    results: list[dict[str, Any]] = []
    if not options.json:
        heads = [f"{f'queue {d}':>9}{'cycles':>9}" for d in options.queues]
        print(f"{'layer':<10}{'work':>9}{'balance':>9}{''.join(heads)}{'drain':>7}{'paper':>7}")
    for number, shape in enumerate((*SHAPES, None)):
        name = shape.name if shape else "fc8"
        if name not in wanted:
            continue
        if shape:
            layer = random_layer(shape, np.random.default_rng([options.seed, number]))
        elif published.is_file():
            layer = published_fc8(published)
        else:
            print(f"fc8: {published} is not there", file=sys.stderr)
            continue
        rows = [measure(layer, *pair) for pair in zip(configs, models, strict=True)]
        for config, row in zip(configs, rows, strict=True):
            results.append({"layer": name, "queue": config.queue_depth, **row})
        if not options.json:
            cells = "".join(f"{row['efficiency']:9.3f}{row['cycles']:9d}" for row in rows)
            paper = f"{shape.paper:7.3f}" if shape else f"{'-':>7}"
            wrong = "" if all(row["exact"] for row in rows) else "  WRONG SUMS"
            first = rows[0]
            print(
                f"{name:<10}{first['work']:9d}{first['balance']:9.3f}{cells}"
                f"{first['drain']:7d}{paper}{wrong}",
                flush=True,
            )
    if options.json:
        print(json.dumps({"pes": CONFIG.pes, "lanes": options.lanes, "results": results}))
    return 0 if all(result["exact"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
