"""Designs by themselves, routed: what they take of a part, and the clock they reach there."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from prunus.boards import optimize
from prunus.boards.toolchain import FAMILIES
from prunus.sim import tools
from prunus.sim.cache import Cache, digest

# The platform makes components take the part's own blocks; nothing else of it is used.
PLATFORMS = {"ecp5": ULX3S_85F_Platform, "ice40": ICEBreakerPlatform}
PARTS = {  # for large designs the default router has no end
    "ecp5": (
        "--85k",
        "--speed",
        "6",
        "--package",
        "CABGA381",
        "--lpf-allow-unconstrained",
        "--router",
        "router2",
        "--tmg-ripup",
    ),
    "ice40": ("--up5k", "--package", "sg48", "--pcf-allow-unconstrained"),
}
KINDS = {
    "ecp5": {"LUT4": "TRELLIS_COMB", "FF": "TRELLIS_FF", "BRAM": "DP16KD", "DSP": "MULT18X18D"},
    "ice40": {
        "LUT4": "ICESTORM_LC", "FF": "ICESTORM_LC", "BRAM": "ICESTORM_RAM", "DSP": "ICESTORM_DSP",
    },
}  # fmt: skip
NO_ROOM = re.compile("Unable to place cell|Unable to find legal placement|Failed to expand region")


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


def place(design: Any, family: str, *, freq_mhz: float, seed: int) -> dict[str, Any]:
    """Synthesize, place and route a design; used and available of each kind, and the clock.

    ``mhz`` is None where no placement was found; ``used`` may be more than ``available`` then.
    """
    platform = PLATFORMS[family]()
    text = rtlil.convert(Surrounded(design), name="top", platform=platform, emit_src=False)
    yosys, nextpnr = tools.find("yosys"), tools.find(f"nextpnr-{family}")
    # Amaranth names the elements of an array name[0], name[1]; ABC9 makes the same of its bits.
    as_built = FAMILIES[family]
    synthesis = (
        f"read_rtlil top.il; rename -hide w:*[*]; synth_{family} {as_built.synth_opts} -top top; "
        f"{as_built.after_synth}; write_json top.json"
    )
    options = [*PARTS[family], "--freq", str(freq_mhz), "--seed", str(seed),
               "--timing-allow-fail"]  # fmt: skip

    def run(folder: Path, tool: tools.Tool, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(tool.path), *arguments], cwd=folder, env=tool.environment(), text=True,
            capture_output=True,
        )  # fmt: skip

    def make(folder: Path) -> None:
        (folder / "top.il").write_text(text)
        run(folder, yosys, "-q", "-l", "yosys.log", "-p", synthesis).check_returncode()
        netlist = json.loads((folder / "top.json").read_bytes())
        optimize.optimize(family, netlist)
        (folder / "top.json").write_text(json.dumps(netlist))
        routed = run(folder, nextpnr, *options, "-q", "-l", "pnr.log", "--json", "top.json",
                     "--report", "report.json")  # fmt: skip
        if routed.returncode:
            log = (folder / "pnr.log").read_text()
            if not NO_ROOM.search(log):
                routed.check_returncode()
            report = {"fmax": {}, "utilization": utilization(log)}
            (folder / "report.json").write_text(json.dumps(report))
        for scratch in ("top.il", "top.json"):
            (folder / scratch).unlink()

    key = digest([text, synthesis, optimize.version(), options, yosys.version, nextpnr.version])
    folder, _ = Cache("resources").get(key, make)
    report = json.loads((folder / "report.json").read_text())
    used = {kind: report["utilization"][cell] for kind, cell in KINDS[family].items()}
    clocks = [domain["achieved"] for domain in report["fmax"].values()]
    return {"mhz": round(max(clocks), 1) if clocks else None, **used}


def clock(mhz: float | None) -> str:
    """The clock as a cell of a table."""
    return f"{'no room':>8}" if mhz is None else f"{mhz:8.1f}"


def utilization(log: str) -> dict[str, dict[str, int]]:
    """Used and available of each kind, as nextpnr's log has them."""
    found = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%$", log, re.M)
    return {kind: {"used": int(used), "available": int(room)} for kind, used, room in found}
