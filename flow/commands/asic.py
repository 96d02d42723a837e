"""What ``prunus verilog --target asic`` adds: its options, the memories, the area."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..terminal import progress

if TYPE_CHECKING:
    from prunus.hw.asic import AsicTarget

    from ..area import Area
    from ..liberty import Library
    from ..macros import Macro

__all__ = ["Asic", "asic_options", "chosen_asic", "report_asic"]

TARGETS = ("fpga", "asic")


@dataclass(frozen=True, slots=True)
class Asic:
    """What the options say: how memories are made and, to measure the area, with which cells."""

    target: "AsicTarget"
    library: "Library | None"


def asic_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--target``, ``--liberty`` and ``--sram-bits``."""
    for option in (
        click.option("--sram-bits", type=int, metavar="N",
                     help="asic: memories of fewer bits are flip-flops; 1024."),
        click.option("--liberty", type=click.Path(path_type=Path), metavar="FILE",
                     help="asic: cells (.lib, .lib.gz) to measure the area with."),
        click.option("--target", default="fpga", metavar="KIND",
                     help="fpga (the default), or asic: memories in wrappers for SRAM macros."),
    ):  # fmt: skip
        command = option(command)
    return command


def chosen_asic(target: str, liberty: Path | None, sram_bits: int | None) -> Asic | None:
    """The checked options; None for an FPGA."""
    if target not in TARGETS:
        raise click.UsageError(f"--target must be {' or '.join(TARGETS)}, not {target!r}")
    if target == "fpga":
        for option, value in (("--liberty", liberty), ("--sram-bits", sram_bits)):
            if value is not None:
                raise click.UsageError(f"{option} goes with --target asic")
        return None
    from prunus.hw.asic import SRAM_BITS, AsicTarget

    from ..liberty import read_library

    made = AsicTarget(SRAM_BITS if sram_bits is None else sram_bits)
    return Asic(made, None if liberty is None else read_library(liberty))


def report_asic(asic: Asic, file: Path) -> tuple[dict[str, Any], Callable[[Console], None]]:
    """The memories in ``file`` and, with a library, the area of its logic; and how to show them."""
    from ..macros import list_macros

    verilog, top = file.read_text(), file.stem
    macros = list_macros(verilog, top)
    value: dict[str, Any] = {"memories": [macro.as_dict() for macro in macros]}
    area: Area | None = None
    if asic.library is not None:
        from ..area import measure

        with progress() as report:
            report("mapping the logic to cells", 0, 0)
            area = measure(verilog, top, asic.library)
        value["area"] = area.as_dict()

    def draw(console: Console) -> None:
        console.print(_memory_table(macros))
        if area is not None:
            console.print(_area_table(area))
            console.print(
                f"A gate equivalent is a {escape(area.unit.name)} of {area.unit.area:g} um2. "
                "Memories but registers are not in the area."
            )

    return value, draw


def _memory_table(macros: "list[Macro]") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("memory")
    table.add_column("wrapper")
    for title in ("width", "depth", "parts", "count", "bits"):
        table.add_column(title, justify="right")
    for macro in macros:
        sizes = (macro.width, macro.depth, macro.parts, macro.count, macro.bits)
        table.add_row(
            escape(macro.name),
            f"prunus_{macro.kind}",
            *(f"{size:,}" if size else "" for size in sizes),
        )
    for kind, title in (("registers", "in flip-flops"), ("", "in macros")):
        bits = sum(macro.bits for macro in macros if (macro.kind == "registers") == bool(kind))
        table.add_row(title, "", "", "", "", "", f"{bits:,}")
    return table


def _area_table(area: "Area") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("logic")
    for title in ("count", "flip-flops, um2", "other cells, um2", "area, um2", "gates"):
        table.add_column(title, justify="right")
    for group in (*area.groups, area.total):
        table.add_row(
            escape(group.name),
            f"{group.count:,}",
            *(f"{value:,.0f}" for value in (group.registers, group.combinational, group.area)),
            f"{area.gates(group):,.0f}",
        )
    return table
