"""From a core to a bitstream: synthesis, placement, routing, packing, and a cache around them."""

import contextlib
import gzip
import hashlib
import inspect
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import floorplan, optimize
from .board import Board
from .convergence import UnroutableError, watched
from .dfu import with_suffix
from .registry import BOARDS
from .report import critical_path, fmax_mhz, overflow, resources
from .result import IMAGE, RESULT, BuildResult
from .toolchain import FAMILIES, BuildError, Tool, find_tool, last_error, run
from .top import BoardTop

__all__ = [
    "STAGES",
    "BuildError",
    "BuildResult",
    "Plan",
    "UnroutableError",
    "build",
    "cache_dir",
    "plan",
]

_HASHES = "hashes.json"  # of the files of a folder of the cache
STAGES = ("synthesis", "placement", "routing", "packing")

Progress = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The files that the tools read, and the clock that the PLL really makes."""

    files: Mapping[str, str] = field(repr=False)
    clock_hz: int


def plan(board: Board, core: Any, clock_hz: int | None = None) -> Plan:
    """Everything that needs no tool: RTLIL, synthesis script, pins and clock constraints."""
    top = BoardTop(board, core, clock_hz=clock_hz)
    family = FAMILIES[board.family]
    made = board.platform().build(
        top,
        name="top",
        do_build=False,
        emit_src=False,  # line numbers would make the cache miss
        # Wires called "a[0]" beside a vector "a" stop ABC9 with a failed assertion.
        script_after_read="rename -hide w:*[*]",
        synth_opts=family.synth_opts,
        script_after_synth=family.after_synth,
    )
    wanted = ("top.il", "top.ys", f"top.{family.constraints}")
    return Plan(files={name: made.files[name] for name in wanted}, clock_hz=top.clock_hz)


def cache_dir() -> Path:
    """Where finished steps are kept: ``$PRUNUS_CACHE``, or ``~/.cache/prunus``."""
    return Path(os.environ.get("PRUNUS_CACHE") or Path.home() / ".cache" / "prunus") / "boards"


def build(
    board: Board,
    core: Any,
    out_dir: Path | str,
    *,
    clock_hz: int | None = None,
    seeds: Iterable[int] = (1,),
    progress: Progress | None = None,
    tools: str = "auto",
    image: bytes | None = None,
) -> BuildResult:
    """Make a bitstream of ``core`` for ``board`` in ``out_dir``.

    ``clock_hz`` is what the design is to run at, the board's own clock when it is None. Seeds are
    tried in order until one meets it; else the fastest is kept, and ``timing_met`` is False.
    ``progress(stage, note)`` is called when a stage of ``STAGES`` begins. ``tools`` is ``"auto"``
    (native programs first), ``"native"`` or ``"wheel"``. ``image`` goes into the flash too, where
    ``board.image_offset`` says.

    Raises
    ------
    BuildError
        A tool is missing or fails, or the design does not fit.
    UnroutableError
        No seed led to a placement that can be routed.
    """
    seeds = tuple(seeds)
    if not seeds:
        raise ValueError("seeds must name at least one seed, not ()")
    family = FAMILIES[board.family]
    yosys = find_tool("yosys", tools, family.yosys)
    place, pack = (find_tool(name, tools) for name in (family.place_tool, family.pack_tool))
    work = _Work(board, Path(out_dir), plan(board, core, clock_hz), progress or (lambda *_: None))
    netlist = work.synthesize(yosys)
    best = None
    for number, seed in enumerate(seeds, 1):
        note = f"seed {seed}, {number} of {len(seeds)}" if len(seeds) > 1 else ""
        try:
            routed = work.route(netlist, seed, place, pack, note)
        except UnroutableError:
            if best is None and number == len(seeds):
                raise
            continue
        result = work.result(routed, seed, (yosys, place, pack))
        if best is None or result.fmax_mhz > best[0].fmax_mhz:
            best = result, routed
        if result.timing_met:
            break
    assert best is not None
    return work.deliver(best[0], netlist, best[1], image)


class _Work:
    """One build: steps whose products are folders in the cache."""

    def __init__(self, board: Board, out: Path, planned: Plan, progress: Progress):
        self.board, self.out, self.plan, self.progress = board, out, planned, progress
        self.family = FAMILIES[board.family]

    def synthesize(self, yosys: Tool) -> Path:
        """Folder with the netlist, compressed, and the log of yosys."""
        files = {name: self.plan.files[name] for name in ("top.il", "top.ys")}

        def make(folder: Path) -> None:
            for name, text in files.items():
                (folder / name).write_text(text)
            self._run("synthesis", "", yosys, ["-l", "top.rpt", "top.ys"], folder, "top.rpt")
            self._refuse_conflicts((folder / "top.rpt").read_text(errors="replace"))
            synthesized = json.loads((folder / self.family.netlist).read_bytes())
            self._place_multipliers(synthesized["modules"]["top"]["cells"])
            optimize.optimize(self.board.family, synthesized)
            with gzip.open(folder / "top.json.gz", "wt", compresslevel=1) as packed:
                json.dump(synthesized, packed)

        self.progress("synthesis", "")
        own = ("own", inspect.getsource(floorplan) + optimize.version())
        key = _digest(*files.items(), ("yosys", yosys.version), own)
        return _cached(f"synth-{key}", make, ("top.json.gz", "top.rpt"))

    def _place_multipliers(self, cells: dict[str, Any]) -> None:
        blocks = [name for name, cell in cells.items() if cell["type"] == "MULT18X18D"]
        for name, site in floorplan.place_multipliers(self.board, blocks).items():
            cells[name]["attributes"]["BEL"] = site

    def route(self, netlist: Path, seed: int, place: Tool, pack: Tool, note: str) -> Path:
        """Folder with bitstream, report and log for one seed."""
        constraints = f"top.{self.family.constraints}"
        packing = self.family.pack(self.board)
        place_options = self.family.place(self.board, self.plan.clock_hz)
        arguments = [*place_options, "--json", "top.json", "--seed", str(seed),
                     "--report", "report.json", "--log", "top.tim",
                     "--timing-allow-fail"]  # fmt: skip

        def make(folder: Path) -> None:
            (folder / constraints).write_text(self.plan.files[constraints])
            with gzip.open(netlist / "top.json.gz", "rb") as packed:
                with open(folder / "top.json", "wb") as plain:
                    shutil.copyfileobj(packed, plain)
            name = f"{place.name}, seed {seed}"
            watched(lambda chosen, watch: self._run("placement", note, place, chosen, folder,
                                                    "top.tim", name, watch),
                    arguments, name)  # fmt: skip
            self.progress("packing", note)
            self._run("packing", note, pack, packing, folder, None)

        self.progress("placement", note)
        key = _digest(
            ("netlist", netlist.name),
            (constraints, self.plan.files[constraints]),
            ("arguments", " ".join([*arguments, *packing])),
            (place.name, place.version),
            (pack.name, pack.version),
        )
        products = (f"top.{self.family.bitstream}", "report.json", "top.tim")
        failed = cache_dir() / f"unroutable-{key}"
        if failed.is_file():
            raise UnroutableError(failed.read_text())
        try:
            return _cached(f"route-{key}", make, products)
        except UnroutableError as error:
            failed.write_text(re.sub(r" \(log: .*\)$", "", str(error)))  # the log is this run's
            raise

    def _run(
        self, stage: str, note: str, tool: Tool, arguments: Sequence[str], folder: Path,
        log: str | None, router: str | None = None, watch: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        def show(line: str) -> None:
            if line.startswith("Preparing to run"):  # a wheel compiles itself, once
                self.progress(stage, f"first run of the wheel, compiling {tool.name}")
            elif stage == "placement" and re.match(r"Info: (Routing\.\.|Running router2)", line):
                self.progress("routing", note)
            if watch is not None:
                watch(line)

        status, printed = run(tool, arguments, folder, show)
        if status == 0:
            return
        path = folder / log if log else None
        text = path.read_text(errors="replace") if path and path.exists() else printed
        self.out.mkdir(parents=True, exist_ok=True)
        kept = self.out / (log or f"{tool.name}.log")
        kept.write_text(text)
        self._refuse_too_large(text)
        if router is not None and "Unable to find legal placement" in text:
            raise UnroutableError(
                f"{router}: no placement was found, the part is too full for that; try more "
                f"--seeds, or a smaller accelerator (log: {kept})"
            )
        ended = f"crashed with signal {-status}" if status < 0 else f"exit status {status}"
        error = last_error(text) or last_error(printed) or ended
        raise BuildError(f"{tool.name}: {error} (log: {kept})")

    def _refuse_conflicts(self, log: str) -> None:
        """A net with two drivers is only a warning to yosys, which then picks one: wrong gates."""
        found = re.search(r"Driver-driver conflict for (.*?): Resolved", log, flags=re.DOTALL)
        if found is None:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "top.rpt").write_text(log)
        net = " ".join(found[1].split())
        raise BuildError(f"yosys: two drivers for {net} (log: {self.out / 'top.rpt'})")

    def _refuse_too_large(self, log: str) -> None:
        used = overflow(self.board, log)
        if not used:
            return
        over = ", ".join(f"{n} {kind} of {has}" for kind, (n, has) in used.items() if n > has)
        counts = {kind: n for kind, (n, has) in used.items()}
        bits = {ram.kind: ram.bits for ram in self.board.rams}
        larger = sorted((b for b in BOARDS.values() if b.luts > self.board.luts),
                        key=lambda b: b.luts)  # fmt: skip
        names = [b.name for b in larger if b.holds(counts, bits)]
        hint = f"the nearest board that holds it is {names[0]}" if names else "no board holds it"
        raise BuildError(f"the design does not fit {self.board.name}: it needs {over}; {hint}")

    def result(self, routed: Path, seed: int, tools: tuple[Tool, ...]) -> BuildResult:
        report = json.loads((routed / "report.json").read_text())
        log = (routed / "top.tim").read_text(errors="replace")
        clock = self.plan.clock_hz / 1e6
        fmax = fmax_mhz(report)
        if fmax is None:
            raise BuildError("the design has no path between two registers: it has no clock")
        return BuildResult(
            board=self.board.name,
            clock_mhz=clock,
            fmax_mhz=round(fmax, 2),
            timing_met=fmax >= clock,
            baud=self.board.baud,
            seed=seed,
            resources=resources(self.board, report, log),
            critical_path=critical_path(report),
            bitstream=Path(f"top.{self.family.bitstream}"),
            logs={"synthesis": Path("top.rpt"), "placement": Path("top.tim")},
            tools={tool.name: tool.version for tool in tools},
        )

    def deliver(
        self, result: BuildResult, netlist: Path, routed: Path, image: bytes | None
    ) -> BuildResult:
        """Copy to the output folder; the result file comes last, so that it vouches for all."""
        self.out.mkdir(parents=True, exist_ok=True)
        products = [netlist / "top.rpt", routed / "top.tim", routed / "report.json",
                    routed / result.bitstream]  # fmt: skip
        with tempfile.TemporaryDirectory(dir=self.out, prefix=".new-") as fresh:
            for path in products:
                shutil.copyfile(path, Path(fresh) / path.name)
            if self.board.dfu is not None:
                content = (routed / result.bitstream).read_bytes()
                products.append(Path(fresh) / result.bitstream.with_suffix(".dfu"))
                products[-1].write_bytes(with_suffix(content, *self.board.dfu))
            if image is not None:
                products.append(Path(fresh) / IMAGE)
                products[-1].write_bytes(image)
                offset = self.board.image_offset
                result = replace(result, image=Path(IMAGE), image_offset=offset)
            text = json.dumps(result.as_dict(), indent=2) + "\n"
            (Path(fresh) / RESULT).write_text(text)
            (self.out / RESULT).unlink(missing_ok=True)
            for name in [*(path.name for path in products), RESULT]:
                os.replace(Path(fresh) / name, self.out / name)
        return BuildResult.load(self.out)


def _digest(*parts: tuple[str, str]) -> str:
    """Hash of named texts, in order."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _cached(name: str, make: Callable[[Path], None], keep: tuple[str, ...]) -> Path:
    """The folder called ``name`` in the cache; ``make`` fills a fresh one where none is whole."""
    done = cache_dir() / name
    if done.is_dir():
        if _is_whole(done, keep):
            return done
        shutil.rmtree(done)
    done.parent.mkdir(parents=True, exist_ok=True)
    for left in done.parent.glob(".new-*"):  # by one that was killed
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 86400:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=done.parent, prefix=".new-") as fresh:
        work, finished = Path(fresh) / "work", Path(fresh) / "finished"
        work.mkdir()
        finished.mkdir()
        make(work)
        for product in keep:
            os.replace(work / product, finished / product)
        (finished / _HASHES).write_text(json.dumps(_hashes(finished, keep)))
        try:
            os.replace(finished, done)
        except OSError:
            if not done.is_dir():  # else another build made the same meanwhile
                raise
    return done


def _hashes(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def _is_whole(folder: Path, names: tuple[str, ...]) -> bool:
    """Whether the files in a folder of the cache are those that were put there."""
    try:
        return bool(json.loads((folder / _HASHES).read_bytes()) == _hashes(folder, names))
    except (OSError, ValueError):
        return False
