"""The C++ side of a simulation: the runtime, compiled once, and each design, linked with it.

Verilator's own Makefile is not used: it compiles the runtime again for every design, which is most
of the time that a small one takes, and that of the wheel carries settings of another machine.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cocotb_tools.config

from . import tools
from .cache import Cache, digest

__all__ = ["HDL", "BuildError", "basis", "call", "link", "runtime"]

HDL = Path(__file__).resolve().parent / "hdl"
COMPILE = ("-std=gnu++20", "-pipe", "-DVERILATOR=1", "-w")
# -O2 takes twice as long to compile a 64-PE array and runs it no faster; -O0 runs at 0.4 of it.
FAST, SLOW = "-O1", "-O0"
ONE_UNIT_BYTES = 150_000  # of generated C++: below, the headers cost more than a second core saves
_PROBLEM = re.compile(r"^%(Error|Warning)|error\b", re.I)  # Verilator's warnings may be fatal


class BuildError(RuntimeError):
    """A design that Verilator or the C++ compiler refused; the message has the first error."""


def basis() -> list[str]:
    """What the compiled code depends on besides the design and the tools."""
    return [*COMPILE, FAST, SLOW, *((HDL / name).read_text() for name in ("Vtop.h", "model.cpp"))]


def _makefile(obj: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The lists of files in Verilator's ``Vdut_classes.mk``, and its switches as C++ defines."""
    text = (obj / "Vdut_classes.mk").read_text().replace("\\\n", " ")
    lists = {name: files.split() for name, files in re.findall(r"^(VM_\w+) \+=(.*)$", text, re.M)}
    switches = dict(re.findall(r"^(VM_\w+) = (\d+)$", text, re.M))
    switches.setdefault("VM_SC", "0")
    return lists, [f"-D{name}={value}" for name, value in sorted(switches.items())]


def runtime(obj: Path, depends: Sequence[object], cache_dir: Path | None) -> Path:
    """Verilator's run-time library and cocotb's main program, compiled once for all designs."""
    lists, switches = _makefile(obj)
    names = lists["VM_GLOBAL_FAST"] + lists.get("VM_GLOBAL_SLOW", [])
    include = Path(tools.find("verilator").env["VERILATOR_ROOT"]) / "include"
    sources = [include / f"{name}.cpp" for name in names]
    sources.append(Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp")

    def make(place: Path) -> None:
        units = [([source], FAST, place / f"{source.stem}_rt.o") for source in sources]
        _compile_units(units, [*switches, f"-I{HDL}", *_includes()], place)

    place, _ = Cache("runtime", cache_dir).get(digest([names, switches, depends]), make)
    return place


def link(obj: Path, objects: Path, executable: Path, defines: Sequence[str] = ()) -> None:
    """Compile what Verilator generated in ``obj`` and link it with the runtime in ``objects``."""
    lists, switches = _makefile(obj)
    fast = [obj / f"{n}.cpp" for n in lists["VM_CLASSES_FAST"] + lists.get("VM_SUPPORT_FAST", [])]
    slow = [obj / f"{n}.cpp" for n in lists["VM_CLASSES_SLOW"] + lists.get("VM_SUPPORT_SLOW", [])]
    shutil.copy(HDL / "model.cpp", obj)
    fast.append(obj / "model.cpp")
    if sum(path.stat().st_size for path in (*fast, *slow)) < ONE_UNIT_BYTES:
        units = [([*fast, *slow], FAST, obj / "all.o")]
    else:
        fast.sort(key=lambda path: -path.stat().st_size)
        units = [([path], FAST, path.with_suffix(".o")) for path in fast]
        units += [(slow, SLOW, obj / "slow.o")]
    _compile_units(units, [*switches, *defines, f"-I{HDL}", f"-I{obj}", *_includes()], obj)
    libs = cocotb_tools.config.libs_dir
    parts = sorted(str(path) for folder in (obj, objects) for path in folder.glob("*.o"))
    options = [f"-L{libs}", f"-Wl,-rpath,{libs}", "-lcocotbvpi_verilator", "-pthread"]
    call([str(tools.find("g++").path), *parts, *options, "-o", str(executable)], obj)


def _includes() -> list[str]:
    include = Path(tools.find("verilator").env["VERILATOR_ROOT"]) / "include"
    return [f"-I{include}", f"-I{include / 'vltstd'}"]


def _compile_units(
    units: list[tuple[list[Path], str, Path]], options: list[str], work: Path
) -> None:
    """Compile (sources, optimization, object) triples, as many at once as there are cores."""

    def one(unit: tuple[list[Path], str, Path]) -> None:
        sources, level, target = unit
        source = target.with_suffix(".unit.cpp")
        source.write_text("".join(f'#include "{path}"\n' for path in sources))
        compiler = str(tools.find("g++").path)
        call([compiler, *COMPILE, level, *options, "-c", str(source), "-o", str(target)], work)
        source.unlink()

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(one, units))


def call(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a tool; what it printed. Raises :class:`BuildError` with its first error."""
    result = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode:
        lines = (result.stderr + result.stdout).splitlines()
        errors = [line for line in lines if _PROBLEM.search(line)] or lines or ["no message"]
        raise BuildError(f"{Path(command[0]).name}: {errors[0].strip()}")
    return result.stdout + result.stderr
