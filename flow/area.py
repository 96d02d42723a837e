"""The area of generated Verilog in a cell library: Yosys maps the logic, memories stay outside."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunus.boards.toolchain import BuildError, find_tool, last_error, run
from prunus.hw.asic import MEMORIES, REGISTERS

from .liberty import Cell, LibertyError, Library

__all__ = ["Area", "Group", "measure"]

# Logic stays in its group, so that a group's area is its own; within it nothing is kept apart.
SCRIPT = """\
read_verilog -lib memories.v
read_verilog registers.v {top}.v
hierarchy -check -top {top}
{groups}
synth -top {top} -flatten -noabc -run begin:check
dfflibmap -liberty cells.lib
opt
abc -liberty cells.lib
opt_clean -purge
tee -o stat.json stat -json
"""


@dataclass(frozen=True, slots=True)
class Group:
    """A submodule of the top level, or ``count`` of them whose names differ by a number.

    Areas, of all of them, are in the library's unit, um^2 in practice; ``registers`` is that of
    flip-flops and latches, with those of small memories.
    """

    name: str
    count: int
    registers: float
    combinational: float

    @property
    def area(self) -> float:
        return self.registers + self.combinational


@dataclass(frozen=True, slots=True)
class Area:
    """What :func:`measure` found; ``unit`` is the cell whose area is a gate equivalent."""

    groups: tuple[Group, ...]
    unit: Cell

    @property
    def total(self) -> Group:
        registers = sum(group.registers for group in self.groups)
        return Group("total", 1, registers, sum(group.combinational for group in self.groups))

    def gates(self, group: Group) -> float:
        """Its area in gate equivalents."""
        return group.area / self.unit.area

    def as_dict(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return {
            "unit": {"cell": self.unit.name, "area": self.unit.area},
            "groups": [self._row(group) for group in self.groups],
            "total": self._row(self.total),
        }

    def _row(self, group: Group) -> dict[str, Any]:
        return {
            "name": group.name,
            "count": group.count,
            "registers": round(group.registers, 3),
            "combinational": round(group.combinational, 3),
            "area": round(group.area, 3),
            "gate_equivalents": round(self.gates(group), 1),
        }


def measure(verilog: str, top: str, library: Library, *, tools: str = "auto") -> Area:
    """Map the logic of Verilog for standard cells to those of a library, for small area.

    Clock trees, buffers, filler and wires are not in it.

    Raises
    ------
    LibertyError
        The library lacks cells that are needed.
    BuildError
        There is no Yosys, or it fails.
    """
    yosys = find_tool("yosys", tools)
    children = re.findall(rf"^module \\?({re.escape(top)}\.[^\s.(]+) *\(", verilog, re.M)
    keep = [f"setattr -mod -set keep_hierarchy 1 {name}" for name in children]
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        work = Path(folder)
        files = {
            f"{top}.v": verilog,
            "memories.v": MEMORIES.read_text(),
            "registers.v": REGISTERS.read_text(),
            "cells.lib": library.text,
            "area.ys": SCRIPT.format(top=top, groups="\n".join(keep)),
        }
        for name, content in files.items():
            (work / name).write_text(content)
        # The WebAssembly build loses its standard output after ABC has run; the log stays.
        status, said = run(yosys, ["-q", "-l", "yosys.log", "-s", "area.ys"], work)
        stat = work / "stat.json"
        if status or not stat.is_file():
            log = work / "yosys.log"
            said += log.read_text(errors="replace") if log.is_file() else ""
            error = last_error(said) or f"ended with status {status}"
            if "cannot be legalized" in error:
                reason = error.rpartition(": ")[2]  # "D flip-flops are not supported"
                raise LibertyError(f"{library.path}: has no cell for a register: {reason}")
            if "ABC" in error:
                raise LibertyError(
                    f"{library.path}: ABC cannot map logic to its cells; it needs an inverter, a "
                    "buffer and gates, with functions and timing tables"
                )
            raise BuildError(f"yosys: {error}")
        modules = json.loads(stat.read_text())["modules"]
    return Area(_groups(modules, top, library), library.unit)


def _groups(modules: Mapping[str, Any], top: str, library: Library) -> tuple[Group, ...]:
    """The top level's own logic and that of its children, the largest first."""
    found: dict[str, Group] = {}
    for module, statistics in modules.items():
        name = module.removeprefix("\\")
        registers = combinational = 0.0
        for kind, count in statistics["num_cells_by_type"].items():
            kind = kind.removeprefix("\\")
            cell = library.cells.get(kind)
            if cell is not None and cell.sequential:
                registers += count * cell.area
            elif cell is not None:
                combinational += count * cell.area
            elif kind.startswith("$"):
                raise LibertyError(f"{library.path}: has no cell for {count} of Yosys' {kind}")
        label = _numberless(name.removeprefix(f"{top}.")) if name != top else "(top)"
        before = found.get(label, Group(label, 0, 0.0, 0.0))
        found[label] = Group(
            label,
            before.count + 1,
            before.registers + registers,
            before.combinational + combinational,
        )
    return tuple(sorted(found.values(), key=lambda group: -group.area))


def _numberless(name: str) -> str:
    """A submodule's name without its number, and without what a second signal's name adds."""
    return re.sub(r"(_\d+)?(\$\d+)?$", "", name)
