"""What networks take of boards: place and route, cycles in the gates, latency.

Without arguments every board gets its default network, the demo's digits. ``--models`` takes
MLPerf Tiny's from ``$PRUNUS_DATA/mlperf_tiny``. A row is the accelerator that the compiler chooses
for the board, with its UART: the clock that it is built for, the clock that the routed design could
have, what it takes of the part, the most cycles that a sample took as RTL simulation, and the
latency that they make at the clock it is built for.

Everything that takes long is kept by content (``~/.cache/prunus``): a command that was stopped
goes on where it was.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.boards.board import Board
from prunus.boards.registry import BOARDS, find_board
from prunus.boards.toolchain import BuildError
from prunus.compiler import store
from prunus.compiler.ir import Graph
from prunus.compiler.load import load_model
from prunus.compiler.passes.share import share
from prunus.compiler.plan import Options
from prunus.flow import demo
from prunus.flow.bitstream import make_bitstream
from prunus.flow.build import Build
from prunus.flow.compile import compile_graph, compile_model
from prunus.flow.fit import FitError
from prunus.flow.mlperf_tiny import MODELS
from prunus.flow.simulate import simulate
from prunus.sim.cache import Cache, digest

DEFAULT = "digits"
KINDS = ("LUT", "FF", "BRAM", "DSP", "SPRAM")
HEAD = (
    f"{'board':15}{'model':8}{'clock':>7}{'routed':>8}"
    + "".join(f"{kind:>{width}}" for kind, width in zip(KINDS, (8, 8, 6, 5, 7), strict=True))
    + f"{'cycles':>10}{'latency, ms':>13}"
)
Array = NDArray[Any]


def digits_network() -> Graph:
    """The demo's network, trained, pruned and shared; kept, as that takes some seconds."""

    def make(folder: Path) -> None:
        net, _ = demo.train(demo.load_split(), lambda *_: None)
        store.save(share(load_model(net), demo.WEIGHT_BITS), folder / "graph.npz")

    source = Path(demo.__file__).read_text()
    key = digest([source, *(version(name) for name in ("numpy", "scikit-learn", "prunus"))])
    folder, _ = Cache("digits").get(key, make)
    return store.load(folder / "graph.npz")


def network(model: str, board: Board, engine: str, samples: int) -> tuple[Build, Array]:
    """What ``board`` gets for ``model``, and inputs for it."""
    options = Options(engine=engine)
    if model == DEFAULT:
        digits = demo.load_split()
        build = compile_graph(
            digits_network(), calibration=digits.x_train, board=board, options=options
        )
        return build, digits.x_test[:samples]
    folder = Path(os.environ["PRUNUS_DATA"]) / "mlperf_tiny"
    build = compile_model(folder / MODELS[model], board=board, options=options)
    shape = build.graph.tensors[build.graph.inputs[0]].shape
    with np.load(folder / "golden" / f"{model}_int8_golden.npz") as golden:
        return build, np.stack([golden[f"s{n}_in"].reshape(shape) for n in range(samples)])


def most_cycles(build: Build, inputs: Array) -> int:
    """The most cycles that a sample takes in the gates, which are compared with the golden model.

    Raises
    ------
    ArithmeticError
        They differ.
    """

    def make(folder: Path) -> None:
        ran = simulate(build, inputs)
        if not ran.bit_exact:
            raise ArithmeticError(f"the gates differ: {ran.first_mismatches[0]}")
        (folder / "cycles.json").write_text(json.dumps([int(n) for n in ran.cycles]))

    hardware = Path(__file__).resolve().parent.parent / "hw"
    sources = {str(path.relative_to(hardware)): path.read_text() for path in hardware.rglob("*.py")}
    contents = [hashlib.sha256(data).hexdigest() for data in (build.image, inputs.tobytes())]
    key = digest([repr(build.config), contents, sources])
    folder, _ = Cache("cycles").get(key, make)
    return int(max(json.loads((folder / "cycles.json").read_text())))


def measure(board: Board, model: str, options: argparse.Namespace) -> dict[str, Any]:
    """A row of the table; ``refused`` instead of the figures where the network does not fit."""
    row: dict[str, Any] = {"board": board.name, "model": model}
    try:
        build, inputs = network(model, board, options.engine, options.samples)
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.output / f"{board.name}-{model}" if options.output else Path(scratch)
            result = make_bitstream(
                build, board, folder, clock_mhz=options.clock, seeds=options.seeds,
                tools=options.tools,
            )  # fmt: skip
    except (FitError, BuildError) as error:
        return row | {"refused": str(error)}
    cycles = most_cycles(build, inputs)
    return row | {
        "hardware": build.hardware,
        "clock_mhz": result.clock_mhz,
        "routed_mhz": result.fmax_mhz,
        "timing_met": result.timing_met,
        "seed": result.seed,
        "tools": result.tools,
        "resources": {kind: list(pair) for kind, pair in result.resources.items()},
        "cycles": cycles,
        "latency_ms": round(cycles / result.clock_mhz / 1e3, 4),
    }


def line(row: dict[str, Any]) -> str:
    """A row as text."""
    name = f"{row['board']:15}{row['model']:8}"
    if "refused" in row:
        return f"{name}  {row['refused']}"
    used = {kind: f"{row['resources'].get(kind, ('-',))[0]}" for kind in KINDS}
    late = "" if row["timing_met"] else "  timing missed"
    return (
        f"{name}{row['clock_mhz']:7.1f}{row['routed_mhz']:8.1f}{used['LUT']:>8}{used['FF']:>8}"
        f"{used['BRAM']:>6}{used['DSP']:>5}{used['SPRAM']:>7}{row['cycles']:>10,}"
        f"{row['latency_ms']:13.4f}{late}"
    )


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All rows, each when it is measured."""
    for name in options.boards:
        for model in options.models:
            yield measure(find_board(name), model, options)


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("boards", nargs="*", default=tuple(BOARDS), metavar="BOARD",
                        help="see prunus boards (default: all)")  # fmt: skip
    parser.add_argument("--models", type=lambda text: text.split(","), default=[DEFAULT],
                        metavar="LIST", help=f"of {DEFAULT},{','.join(MODELS)}")  # fmt: skip
    parser.add_argument("--engine", default="auto", help="as for prunus compile")
    parser.add_argument("--clock", type=float, metavar="MHZ", help="default: each board's own")
    parser.add_argument("--seeds", type=int, default=4, help="placements to try, at most")
    parser.add_argument("--samples", type=int, default=2, help="to simulate")
    parser.add_argument("--tools", default="auto", help="auto, native or wheel")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="keep the bitstreams")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    for model in options.models:
        if model != DEFAULT and model not in MODELS:
            parser.error(f"--models must be of {', '.join((DEFAULT, *MODELS))}, not {model!r}")
    for name in options.boards:
        if name not in BOARDS:
            parser.error(f"BOARD must be of {', '.join(BOARDS)}, not {name!r}")
    if set(options.models) != {DEFAULT} and not os.environ.get("PRUNUS_DATA"):
        parser.error("PRUNUS_DATA must name the folder that holds mlperf_tiny")
    if not options.json:
        print(HEAD, flush=True)
    results = []
    for row in rows(options):
        results.append(row)
        if not options.json:
            print(line(row), flush=True)
    if options.json:
        print(json.dumps({"results": results}))
    return 0 if all(row.get("timing_met") for row in results) else 1


if __name__ == "__main__":
    sys.exit(main())
