"""How fast the whole accelerator is simulated: under cocotb, and in a bare C++ Verilator loop.

The same Verilog with the same host's bytes, checks and Verilator options, in one run on one
machine; the bare program only toggles the clock until the harness is done. Each is the best of
``--runs``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prunus.flow.build import load_build
from prunus.flow.simulate import simulate
from prunus.sim import cplusplus, tools, verilator

MAIN = r"""
#include "Vdut.h"
#include "verilated.h"
#include <chrono>
#include <cstdio>
int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vdut top{&context};
    auto cycle = [&] { top.clk = 0; top.eval(); top.clk = 1; top.eval(); };
    top.rst = 1;
    for (int n = 0; n < 4; n++) cycle();
    top.rst = 0;
    auto begun = std::chrono::steady_clock::now();
    while (!top.done) cycle();
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;
    std::printf("{\"cycles\": %lld, \"seconds\": %.6f}\n", (long long)top.cycles, seconds.count());
    return top.problem != 0;
}
"""


class Keep:
    """Stands in front of the runner and remembers what it was given, to do it again."""

    def __init__(self) -> None:
        self.sources: Sequence[Path | str] = ()
        self.options: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.plusargs: Sequence[str] = ()
        self.build, self.run = verilator.build, verilator.run

    def __enter__(self) -> "Keep":
        def build(sources: Sequence[Path | str], toplevel: str, **options: Any) -> Any:
            self.sources, self.options = sources, options
            return self.build(sources, toplevel, **options)

        def run(model: Any, module: str, **options: Any) -> Any:
            folder = options["work_dir"]
            self.files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
            self.plusargs = options["plusargs"]
            return self.run(model, module, **options)

        verilator.build, verilator.run = build, run
        return self

    def __exit__(self, *_: object) -> None:
        verilator.build, verilator.run = self.build, self.run


def bare(kept: Keep, work: Path, runs: int) -> dict[str, float]:
    """Cycles and the least seconds of the bare program."""
    files = verilator.read_sources(kept.sources, "harness")
    for name, text in files.items():
        (work / name).write_text(text)
    (work / "main.cpp").write_text(MAIN)
    tool = tools.find("verilator")
    options = [option for option in verilator.VERILATE if option != "--vpi"]
    parameters = verilator.parameter_options(kept.options["parameters"])
    command = [str(tool.path), *options, "--top-module", "harness", *parameters, *files]
    cplusplus.call(command, work, tool.environment())
    include = Path(tool.env["VERILATOR_ROOT"]) / "include"
    obj = work / "obj"
    units = [*obj.glob("*.cpp"), work / "main.cpp", include / "verilated.cpp",
             include / "verilated_threads.cpp"]  # fmt: skip
    flags = [*cplusplus.COMPILE, cplusplus.FAST, f"-I{include}", f"-I{include / 'vltstd'}"]
    compiler = str(tools.find("g++").path)
    cplusplus.call([compiler, *flags, f"-I{obj}", *map(str, units), "-pthread", "-o", "bare"], work)
    for name, content in kept.files.items():
        (work / name).write_bytes(content)
    best: dict[str, float] = {}
    for _ in range(runs):
        done = subprocess.run([str(work / "bare"), *kept.plusargs], cwd=work, check=True,
                              capture_output=True, text=True)  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        if not best or found["seconds"] < best["seconds"]:
            best = found
    return best


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="folder that prunus compile wrote")
    parser.add_argument("--inputs", type=Path, required=True, help="X.npy")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        work = Path(folder)
        build, x = load_build(arguments.build), np.load(arguments.inputs)
        with Keep() as kept:
            begun = time.perf_counter()
            rates = [simulate(build, x).sim_cycles_per_second for _ in range(arguments.runs)]
            print(f"cocotb: {time.perf_counter() - begun:.1f} s", file=sys.stderr)
        loop = bare(kept, work, arguments.runs)
    under_cocotb, alone = max(rates), loop["cycles"] / loop["seconds"]
    print("| cycles | under cocotb, cycles/s | bare loop, cycles/s | ratio |")
    print("|---:|---:|---:|---:|")
    print(f"| {loop['cycles']:,.0f} | {under_cocotb:,.0f} | {alone:,.0f} "
          f"| {alone / under_cocotb:.2f} |")  # fmt: skip
    return 0 if alone <= 1.5 * under_cocotb else 1


if __name__ == "__main__":
    sys.exit(main())
