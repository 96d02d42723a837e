"""Latency and throughput of a build on a board, over its serial port, simulated at the pins.

The board's own top level runs with the UART at the real rate, the image comes out of the flash, and
the host library talks to it; outputs are compared with the golden model. ``sent ahead`` is what
`prunus infer` does; ``one by one`` sends a sample when the outputs of the last one are there, and
``separate`` asks with INPUT, RUN and OUTPUT, as version 1 of the protocol did. A real host adds the
delay of USB to each wait for an answer.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prunus.boards.registry import find_board
from prunus.flow.build import load_build
from prunus.flow.pins import build_pins
from prunus.hw.accelerator import Accelerator
from prunus.sim import verilator
from prunus.sim.machine import Machine


def measure(folder: Path, name: str, samples: int) -> dict[str, float]:
    """Seconds for all samples in each of the three ways, the latency of one, mean cycles."""
    build, board = load_build(folder), find_board(name)
    config = dataclasses.replace(build.config, trace=False)
    model = build_pins(board, Accelerator(config, image_stream=True))
    machine = Machine(build.config, build.image)
    inputs = machine.memories.network.input_bytes
    x = np.random.default_rng(0).integers(-128, 128, (samples, inputs)).astype(np.int8)
    with tempfile.TemporaryDirectory(prefix="prunus-") as work:
        np.save(Path(work) / "x.npy", x)
        np.save(Path(work) / "y.npy", np.array([machine.run(vector).outputs for vector in x]))
        (Path(work) / "flash.bin").write_bytes(build.image)
        verilator.run(model, "link_speed_bench", work_dir=Path(work), timeout=7200)
        return dict(json.loads((Path(work) / "times.json").read_text()))


def table(times: dict[str, float], samples: int) -> str:
    """The ways as rows of Markdown."""
    rows = ["| | ms a sample | samples/s |", "|---|---:|---:|"]
    for way in ("separate", "one by one", "sent ahead"):
        each = times[way] / samples
        rows.append(f"| {way} | {1000 * each:.2f} | {1 / each:,.0f} |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="of prunus compile")
    parser.add_argument("--board", default="icebreaker")
    parser.add_argument("--samples", type=int, default=16)
    given = parser.parse_args(arguments)
    times = measure(given.build, given.board, given.samples)
    print(table(times, given.samples))
    print(f"\n{times['cycles']:,.0f} cycles a run, latency {1000 * times['latency']:.2f} ms")


if __name__ == "__main__":
    main()
