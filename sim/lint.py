"""Three readers of the generated Verilog: Verilator's lint, Icarus and Yosys."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import tools
from .cplusplus import HDL, BuildError, call
from .verilator import parameter_options, read_sources

__all__ = ["lint", "read_with_icarus", "read_with_yosys"]

Sources = Sequence[Path | str]


def lint(
    sources: Sources, toplevel: str, *, parameters: Mapping[str, int | str] | None = None
) -> list[str]:
    """What ``verilator --lint-only -Wall`` finds beyond ``hdl/waivers.vlt``, a line each.

    Raises
    ------
    BuildError
        With the first error.
    """
    verilator = tools.find("verilator")
    options = ["--lint-only", "-Wall", "-Wno-fatal", "--timescale", "1ns/1ps"]
    options += ["--top-module", toplevel, *parameter_options(parameters or {})]
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        names = _write(sources, toplevel, Path(folder))
        command = [str(verilator.path), *options, str(HDL / "waivers.vlt"), *names]
        said = call(command, Path(folder), verilator.environment())
    return re.findall(r"^%Warning-(.*)$", said, re.M)


def read_with_icarus(sources: Sources, toplevel: str) -> list[str]:
    """What Icarus says about the design, a line each; raises :class:`BuildError` on an error."""
    icarus = tools.find("iverilog")
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        names = _write(sources, toplevel, Path(folder))
        command = [str(icarus.path), "-g2012", "-Wall", "-Wno-timescale", "-t", "null"]
        said = call([*command, "-s", toplevel, *names], Path(folder))
    return said.splitlines()


def read_with_yosys(sources: Sources, toplevel: str) -> list[str]:
    """What Yosys warns of, a line each, after reading, elaborating and lowering the processes.

    Raises
    ------
    BuildError
        With the last error in its log.
    """
    yosys = tools.find("yosys")
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        work = Path(folder)
        names = " ".join(_write(sources, toplevel, work))
        script = (
            f"read_verilog -sv -noautowire {names}; hierarchy -check -top {toplevel}; proc; check"
        )
        log = work / "yosys.log"  # the WebAssembly build can lose its standard output
        try:
            call([str(yosys.path), "-q", "-l", log.name, "-p", script], work)
        except BuildError:
            errors = re.findall(r"^ERROR: .*$", log.read_text() if log.is_file() else "", re.M)
            if not errors:
                raise
            raise BuildError(f"yosys: {errors[-1]}") from None
        return re.findall(r"^(?:Warning|.* Warning): (.*)$", log.read_text(), re.M)


def _write(sources: Sources, toplevel: str, folder: Path) -> list[str]:
    files = read_sources(sources, toplevel)
    for name, text in files.items():
        (folder / name).write_text(text)
    return list(files)
