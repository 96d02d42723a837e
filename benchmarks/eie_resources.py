"""What the EIE array takes of an ECP5-85F, and the clock it reaches there, by number of PEs.

The array stands alone between shift registers, which are counted with it: one bit for every port
bit going in, two for every one coming out. Results are cached by content; the largest takes many
minutes.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from prunus.hw.config import Config
from prunus.hw.eie.array import EieArray
from prunus.sim import tools
from prunus.sim.cache import Cache, digest

# Two block RAMs a PE.
CONFIG = Config(
    pes=64, lanes=8, queue_depth=8, code_bits=4, weight_depth=2048, pointer_depth=1024,
    acc_rows=16, acc_width=24, act_depth=256,
)  # fmt: skip
PART = ("--85k", "--speed", "6", "--package", "CABGA381", "--lpf-allow-unconstrained")
KINDS = {"LUT4": "TRELLIS_COMB", "FF": "TRELLIS_FF", "BRAM": "DP16KD", "DSP": "MULT18X18D"}
# Amaranth names the elements of an array name[0], name[1]; ABC9 makes the same names of its bits.
SYNTHESIS = "read_rtlil top.il; rename -hide w:*[*]; synth_ecp5 -top top -json top.json"


class Surrounded(wiring.Component):
    """A component whose ports are reached through two pins."""

    def __init__(self, inner: Any):
        self.inner = inner
        super().__init__({"d": In(1), "q": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = inner = self.inner
        ports: dict[Any, list[Value]] = {In: [], Out: []}
        for _, member, value in inner.signature.flatten(inner):
            ports[member.flow].append(Value.cast(value))
        inputs, outputs = Cat(*ports[In]), Cat(*ports[Out])
        shift_in = Signal(len(inputs))
        captured, shift_out = Signal(len(outputs)), Signal(len(outputs))
        m.d.sync += [
            shift_in.eq(Cat(self.d, shift_in)),
            captured.eq(outputs),
            shift_out.eq((shift_out >> 1) ^ captured),
        ]
        m.d.comb += [inputs.eq(shift_in), self.q.eq(shift_out[0])]
        return m


def place(config: Config, *, freq_mhz: float, seed: int) -> dict[str, Any]:
    """Synthesize, place and route one array; used and available of each kind, and the clock."""
    # The platform makes components take the part's own blocks; nothing else of it is used.
    array, platform = Surrounded(EieArray(config)), ULX3S_85F_Platform()
    text = rtlil.convert(array, name="top", platform=platform, emit_src=False)
    yosys, nextpnr = tools.find("yosys"), tools.find("nextpnr-ecp5")
    options = [*PART, "--freq", str(freq_mhz), "--seed", str(seed), "--timing-allow-fail"]

    def make(folder: Path) -> None:
        (folder / "top.il").write_text(text)
        for tool, arguments in (
            (yosys, ["-q", "-l", "yosys.log", "-p", SYNTHESIS]),
            (nextpnr, [*options, "-q", "-l", "pnr.log", "--json", "top.json",
                       "--report", "report.json"]),
        ):  # fmt: skip
            subprocess.run(
                [str(tool.path), *arguments], cwd=folder, env=tool.environment(), check=True,
                capture_output=True,
            )  # fmt: skip
        for name in ("top.il", "top.json"):
            (folder / name).unlink()

    key = digest([text, SYNTHESIS, options, yosys.version, nextpnr.version])
    folder, _ = Cache("eie_resources").get(key, make)
    report = json.loads((folder / "report.json").read_text())
    used = {kind: report["utilization"][name] for kind, name in KINDS.items()}
    clock = max(clock["achieved"] for clock in report["fmax"].values())
    return {"pes": config.pes, "mhz": round(clock, 1), **used}


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pes", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--freq", type=float, default=100.0, help="MHz to aim for")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    results = []
    if not options.json:
        print(f"{'PEs':>4}" + "".join(f"{kind:>14}" for kind in KINDS) + f"{'MHz':>8}")
    for pes in options.pes:
        config = dataclasses.replace(CONFIG, pes=pes, lanes=min(pes & -pes, CONFIG.lanes))
        row = place(config, freq_mhz=options.freq, seed=options.seed)
        results.append(row)
        if not options.json:
            cells = (f"{row[kind]['used']:>6} /{row[kind]['available']:>6}" for kind in KINDS)
            print(f"{pes:4d}" + "".join(cells) + f"{row['mhz']:8.1f}", flush=True)
    if options.json:
        print(json.dumps({"results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
