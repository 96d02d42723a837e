"""What nextpnr says about a routed design: clock, critical path, use of the part."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .board import Board
from .toolchain import FAMILIES

__all__ = ["CriticalPath", "critical_path", "fmax_mhz", "overflow", "resources"]

# Yosys and nextpnr derive a cell's name from the signal's: fifo.level_TRELLIS_FF_Q_DI_LUT4_Z_1.
_DERIVED = re.compile(
    r"_(TRELLIS|SB|ICESTORM|DFF|LUT[1-4]|PFUMX|L6MUX21|CCU2C|DP16KD|MULT18X18D|CARRY)_.*$"
)


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The slowest path between two registers: where it starts and ends, and what takes time."""

    start: str
    end: str
    delay_ns: float
    routing_ns: float
    levels: int  # cells passed between the two registers

    def __str__(self) -> str:
        return (
            f"{self.start} to {self.end}: {self.delay_ns:.1f} ns, of which "
            f"{self.routing_ns:.1f} ns routing, {self.levels} levels"
        )


def fmax_mhz(report: Mapping[str, Any]) -> float | None:
    """The routed frequency of the slowest clock, as a multiple of its constraint; None when no
    path lies between two registers."""
    clocks = list(report["fmax"].values())
    if not clocks:
        return None
    slowest = min(clocks, key=lambda clock: clock["achieved"] / clock["constraint"])
    return float(slowest["achieved"])


def critical_path(report: Mapping[str, Any]) -> CriticalPath | None:
    """The slowest register-to-register path of a nextpnr report."""
    paths = [
        entry["path"]
        for entry in report["critical_paths"]
        if "<async>" not in (entry["from"], entry["to"]) and entry["path"]
    ]
    if not paths:
        return None
    path = max(paths, key=lambda path: sum(step["delay"] for step in path))
    return CriticalPath(
        start=_DERIVED.sub("", path[0]["to"]["cell"]),
        end=_DERIVED.sub("", path[-1]["to"]["cell"]),
        delay_ns=round(sum(step["delay"] for step in path), 3),
        routing_ns=round(sum(step["delay"] for step in path if step["type"] == "routing"), 3),
        levels=sum(step["type"] == "logic" for step in path),
    )


def resources(board: Board, report: Mapping[str, Any], log: str) -> dict[str, tuple[int, int]]:
    """``{kind: (used, available)}``; on iCE40 a LUT is a logic cell, whatever it is used for."""
    table = {
        name: (entry["used"], entry["available"]) for name, entry in report["utilization"].items()
    }
    return _translate(board, table, log)


def overflow(board: Board, log: str) -> dict[str, tuple[int, int]]:
    """The use of the part that a nextpnr log tells of, where a design did not fit; else empty."""
    table = {
        name: (int(used), int(available))
        for name, used, available in re.findall(
            r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", log, flags=re.MULTILINE
        )
    }
    used = _translate(board, table, log)
    return used if any(count > available for count, available in used.values()) else {}


def _translate(
    board: Board, table: Mapping[str, tuple[int, int]], log: str
) -> dict[str, tuple[int, int]]:
    family = FAMILIES[board.family]
    named: dict[str, tuple[int, int]] = {}
    for name, kind in family.kinds.items():
        if name in table:
            share = family.shares.get(name, 1)
            used, available = (math.ceil(share * count) for count in table[name])
            before, most = named.get(kind, (0, 0))
            named[kind] = before + used, max(most, available)
    flip_flops = re.findall(r"(\d+) LCs used as (?:LUT4 and DFF|DFF only)", log)
    if flip_flops:
        named["FF"] = (sum(map(int, flip_flops)), board.ffs)
    return {kind: named[kind] for kind in board.limits if kind in named}
