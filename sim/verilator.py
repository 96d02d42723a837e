"""Verilated models that are built once, and run under cocotb.

A component bench is two files. ``tests/test_<dut>_cocotb.py`` builds and runs::

    model = verilator.build([to_verilog(Dut(...), "dut")], "dut")
    verilator.run(model, "benches.dut", env={"LANES": "8"}, work_dir=tmp_path)

``tests/benches/<dut>.py`` holds the ``@cocotb.test()`` functions, see
:mod:`prunus.sim.benches.streams`. A failed test comes back as :class:`BenchError` with the test's
own message. Only the ports of the top level can be seen from Python: that is what makes a model
several times faster than one in which every signal can.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config
import find_libpython

from . import cplusplus, tools
from .cache import Cache, digest
from .cplusplus import BuildError, call

__all__ = ["BenchError", "BenchResult", "BuildError", "Model", "build", "run"]

VERILATE = (
    *("--cc", "--vpi", "--public-depth", "1", "--prefix", "Vdut", "--Mdir", "obj"),
    *("--assert", "--timescale", "1ns/1ps", "--x-assign", "fast", "--x-initial", "fast"),
    *("-O3", "-Wno-lint", "-Wno-style", "-Wno-UNOPTFLAT"),  # any other warning is fatal
)


class BenchError(AssertionError):
    """A simulation that failed; the message is that of the first failed test."""


@dataclass(frozen=True, slots=True)
class Model:
    """An executable model. ``cached`` says that it was there already; see :func:`build`."""

    executable: Path
    toplevel: str
    trace: bool
    cached: bool
    build_seconds: float
    random_start: bool = False


@dataclass(frozen=True, slots=True)
class BenchResult:
    """One cocotb test that passed."""

    name: str
    sim_ns: float
    seconds: float


def build(
    sources: Sequence[Path | str],
    toplevel: str,
    *,
    parameters: Mapping[str, int | str] | None = None,
    defines: Mapping[str, int | str] | None = None,
    cache_dir: Path | None = None,
    trace: bool = False,
    burst: int = 1,
    random_start: bool = False,
    timing: bool = False,
) -> Model:
    """Build a model of ``toplevel``, or find it: an unchanged design is never compiled twice.

    A source is the ``Path`` of a file or a ``str`` that is itself SystemVerilog. A parameter that
    is a Python string is passed as a Verilog string. With ``burst``, a top level that runs by
    itself until it raises its port ``done`` takes that many cycles for each one of its clock. With
    ``random_start``, what has no initial value has a random one, by the seed of :func:`run`; so has
    what is assigned an unknown value. With ``timing`` the sources may wait, for a time or an event.

    Raises
    ------
    BuildError
        With the first error of Verilator or of the compiler.
    """
    if burst < 1 or (trace and burst > 1):
        raise ValueError(f"burst must be positive, and 1 with trace, not {burst!r}")
    start = time.monotonic()
    verilator, compiler = tools.find("verilator"), tools.find("g++")
    files = read_sources(sources, toplevel)
    options = [*VERILATE, "--top-module", toplevel, *parameter_options(parameters or {})]
    options += [f"-D{name}={value}" for name, value in (defines or {}).items()]
    options += ["--trace"] if trace else []
    options += ["--x-initial", "unique", "--x-assign", "unique"] if random_start else []
    # That a delay might be zero is said by newer ones only.
    options += ["--timing", "-Wfuture-ZERODLY", "-Wno-ZERODLY"] if timing else []
    bursts = [f"-DPRUNUS_BURST={burst}"] if burst > 1 else []
    basis = [
        *(verilator.version, verilator.source, compiler.version, version("cocotb")),
        *(platform.machine(), str(cocotb_tools.config.libs_dir), *cplusplus.basis()),
    ]

    def make(place: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
            work = Path(folder)
            for name, text in files.items():
                (work / name).write_text(text)
            call([str(verilator.path), *options, *files], work, verilator.environment())
            runtime = cplusplus.runtime(work / "obj", basis, cache_dir)
            cplusplus.link(work / "obj", runtime, place / "model", bursts)

    key = digest([files, options, bursts, basis])
    place, cached = Cache("models", cache_dir).get(key, make)
    seconds = time.monotonic() - start
    return Model(place / "model", toplevel, trace, cached, seconds, random_start)


def read_sources(sources: Sequence[Path | str], toplevel: str) -> dict[str, str]:
    """File names and texts of :func:`build`'s sources, in order.

    A text is called after the top level, ``.v``; what a person wrote is a file, ``.sv``: the lint
    waivers tell them apart by that.
    """
    files: dict[str, str] = {}
    for source in sources:
        name = source.name if isinstance(source, Path) else f"{toplevel}.v"
        while name in files:
            name = f"more_{name}"
        files[name] = source.read_text() if isinstance(source, Path) else source
    return files


def parameter_options(parameters: Mapping[str, int | str]) -> list[str]:
    """Verilator's options for the parameters of the top level."""
    return [
        f'-G{name}="{value}"' if isinstance(value, str) else f"-G{name}={value}"
        for name, value in parameters.items()
    ]


def run(
    model: Model,
    test_module: str,
    *,
    env: Mapping[str, str] | None = None,
    plusargs: Sequence[str] = (),
    work_dir: Path | None = None,
    seed: int = 0,
    timeout: float = 600.0,
) -> list[BenchResult]:
    """Run every cocotb test of ``test_module`` against ``model``, in a process of its own.

    ``env`` reaches the module through ``os.environ``, ``seed`` seeds ``random`` in it and
    ``timeout`` is in seconds. ``work_dir`` (a temporary folder by default) receives ``sim.log``,
    ``results.xml`` and, from a model built with ``trace``, ``dump.vcd``.

    Raises
    ------
    BenchError
        When a test fails, none exists, or the simulator does not end well.
    """
    if work_dir is None:
        with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
            return run(
                model, test_module, env=env, plusargs=plusargs, work_dir=Path(folder), seed=seed,
                timeout=timeout,
            )  # fmt: skip
    work_dir = Path(work_dir).resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    results, log = work_dir / "results.xml", work_dir / "sim.log"
    results.unlink(missing_ok=True)
    command = [str(model.executable), *(["--trace"] if model.trace else []), *plusargs]
    if model.random_start:
        command += ["+verilator+rand+reset+2", f"+verilator+seed+{seed + 1}"]
    environment = _cocotb_environment(model.toplevel, test_module, results, seed)
    with open(log, "wb") as output:
        try:
            status = subprocess.run(
                command,
                cwd=work_dir,
                env={**environment, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise BenchError(f"{test_module}: no end after {timeout:g} s{_tail(log)}") from None
    return _results(results, test_module, status, log)


def _cocotb_environment(toplevel: str, module: str, results: Path, seed: int) -> dict[str, str]:
    """What cocotb's own runner sets, for a program that embeds this interpreter."""
    libpython = os.environ.get("LIBPYTHON_LOC") or find_libpython.find_libpython()
    if not libpython:
        raise BenchError("libpython was not found: install Python with its shared library")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{libpython};{cocotb_tools.config.pygpi_entry_point()}",
        "COCOTB_TOPLEVEL": toplevel,
        "COCOTB_TEST_MODULES": module,
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_RANDOM_SEED": str(seed),
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "TOPLEVEL_LANG": "verilog",
    }


def _results(path: Path, module: str, status: int, log: Path) -> list[BenchResult]:
    if not path.is_file():
        raise BenchError(f"{module}: the simulator ended with status {status}{_tail(log)}")
    passed = []
    for case in ElementTree.parse(path).iter("testcase"):
        name = case.get("name", "?")
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is not None:
                what = found.get("message") or found.text or kind
                raise BenchError(f"{module}.{name}: {what.strip()}")
        if case.find("skipped") is None:
            found = case.find("properties/property[@name='sim_time_duration']")
            sim_ns = float(found.get("value", "0")) if found is not None else 0.0
            passed.append(BenchResult(name, sim_ns, float(case.get("time", "0"))))
    if status:
        raise BenchError(f"{module}: the simulator ended with status {status}{_tail(log)}")
    if not passed:
        raise BenchError(f"{module}: no test ran{_tail(log)}")
    return passed


def _tail(log: Path, lines: int = 15) -> str:
    text = log.read_text(errors="replace").splitlines()[-lines:] if log.is_file() else []
    return "".join(f"\n  {line}" for line in text)
