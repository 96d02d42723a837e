"""How fast an accelerator is simulated: under cocotb, and in a bare C++ loop around Verilator.

The same Verilog of the accelerator with the same bytes from the host, in one run on one machine.
Under cocotb every layer is compared with the golden model; the bare program only toggles the clock,
sends the bytes and takes the replies, and compares nothing. The two take turns, ``--runs`` times,
and the fastest of each counts. Seconds are those of the processor, so that other programs on the
machine do not enter; both are one thread. Starting Python and building the models is left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prunus.flow.build import load_build
from prunus.flow.simulate import simulate
from prunus.sim import cplusplus, tools, verilator
from prunus.sim.benches.network import SUMMARY

# Verilator writes two underscores in a name as ___05F.
MAIN = r"""
#include "Vdut.h"
#include "verilated.h"
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <vector>
int main(int argc, char** argv) {
    VerilatedContext context;
    Vdut top{&context};
    std::ifstream file{"script.bin", std::ios::binary};
    const std::vector<char> script{std::istreambuf_iterator<char>{file}, {}};
    const int wanted = std::atoi(argv[1]);
    size_t sent = 0;
    auto rise = [&] { top.clk = 1; top.eval(); };
    auto fall = [&] {
        top.host_i___05Fvalid = sent < script.size();
        if (sent < script.size()) top.host_i___05Fpayload = script[sent];
        top.clk = 0;
        top.eval();
    };
    top.host_o___05Fready = 1;
    top.rst = 1;
    for (int n = 0; n < 4; n++) fall(), rise();
    top.rst = 0;
    long long cycles = 0;
    int frames = 0, bytes = 0;
    const auto begun = std::clock();
    for (; frames < wanted && cycles < 1LL << 40; cycles++) {
        fall();
        sent += top.host_i___05Fvalid && top.host_i___05Fready;
        if (top.host_o___05Fvalid) {
            const bool flag = top.host_o___05Fpayload == 0x7e;
            frames += flag && bytes;
            bytes = flag ? 0 : bytes + 1;
        }
        rise();
    }
    const double seconds = double(std::clock() - begun) / CLOCKS_PER_SEC;
    std::printf("{\"cycles\": %lld, \"seconds\": %.6f}\n", cycles, seconds);
}
"""


class Keep:
    """Stands in front of the runner and remembers what it was given, to do it again."""

    def __init__(self) -> None:
        self.sources: Sequence[Path | str] = ()
        self.script = b""
        self.replies = 0
        self.rates: list[float] = []
        self._build, self._run = verilator.build, verilator.run

    def __enter__(self) -> "Keep":
        def build(sources: Sequence[Path | str], toplevel: str, **options: Any) -> Any:
            self.sources = sources
            return self._build(sources, toplevel, **options)

        def run(model: Any, module: str, **options: Any) -> Any:
            folder = Path(options["work_dir"])
            done = self._run(model, module, **options)
            self.script = (folder / "script.bin").read_bytes()
            summary = json.loads((folder / SUMMARY).read_text())
            self.replies = summary["replies"]
            self.rates.append(summary["cycles"] / summary["cpu_seconds"])
            return done

        verilator.build, verilator.run = build, run  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        verilator.build, verilator.run = self._build, self._run


def build_bare(verilog: str, work: Path, level: str) -> Path:
    """The program around the accelerator alone; no port but the top level's is kept for anyone."""
    (work / "accelerator.v").write_text(verilog)
    (work / "main.cpp").write_text(MAIN)
    tool = tools.find("verilator")
    left_out = ("--vpi", "--public-depth", "1")
    options = [option for option in verilator.VERILATE if option not in left_out]
    command = [str(tool.path), *options, "--top-module", "accelerator", "accelerator.v"]
    cplusplus.call(command, work, tool.environment())
    include = Path(tool.env["VERILATOR_ROOT"]) / "include"
    runtime = [include / "verilated.cpp", include / "verilated_threads.cpp"]
    units = [*(work / "obj").glob("*.cpp"), work / "main.cpp", *runtime]
    places = [f"-I{place}" for place in (work / "obj", include, include / "vltstd")]
    flags = [*cplusplus.COMPILE, level, *places, *map(str, units), "-pthread", "-o", "bare"]
    cplusplus.call([str(tools.find("g++").path), *flags], work)
    return work / "bare"


def main(argv: list[str] | None = None) -> int:
    """Print both rates; the exit status says whether the bare loop is within 1.5 times."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("build", type=Path, help="folder that prunus compile wrote")
    parser.add_argument("--inputs", type=Path, required=True, help="X.npy")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--level", default=cplusplus.FAST, help="of the bare program (O1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    build, x = load_build(arguments.build), np.load(arguments.inputs)
    alone: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder, Keep() as kept:
        work = Path(folder)
        program: Path | None = None
        for _ in range(arguments.runs):
            if not simulate(build, x).bit_exact:
                raise SystemExit(f"{arguments.build}: not bit-exact")
            if program is None:
                verilog = next(source for source in kept.sources if isinstance(source, str))
                program = build_bare(verilog, work, f"-{arguments.level.lstrip('-')}")
                (work / "script.bin").write_bytes(kept.script)
            done = subprocess.run([str(program), str(kept.replies)], cwd=work, check=True,
                                  capture_output=True, text=True)  # fmt: skip
            alone.append(json.loads(done.stdout))
    under_cocotb = max(kept.rates)
    bare = max(run["cycles"] / run["seconds"] for run in alone)
    found = {
        "cycles": round(alone[0]["cycles"]),
        "cocotb_cycles_per_second": round(under_cocotb),
        "bare_cycles_per_second": round(bare),
        "ratio": round(bare / under_cocotb, 3),
    }
    if arguments.json:
        print(json.dumps(found))
    else:
        print("| cycles | under cocotb, cycles/s | bare loop, cycles/s | ratio |")
        print("|---:|---:|---:|---:|")
        print(f"| {found['cycles']:,} | {found['cocotb_cycles_per_second']:,} "
              f"| {found['bare_cycles_per_second']:,} | {found['ratio']:.2f} |")  # fmt: skip
    return 0 if bare <= 1.5 * under_cocotb else 1


if __name__ == "__main__":
    sys.exit(main())
