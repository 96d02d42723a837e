"""``prunus boards`` and ``prunus doctor``: what there is to work with."""

import dataclasses

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..terminal import json_option, show

__all__ = ["boards_command", "doctor_command"]


@click.command("boards")
@json_option
def boards_command(as_json: bool) -> None:
    """List the boards that bitstreams can be made for, and the models that they hold."""
    from prunus.boards.registry import BOARDS

    from ..mlperf_tiny import fits

    known = fits()
    boards = [
        {
            "name": board.name,
            "title": board.title,
            "part": board.part,
            "clock_mhz": board.clock_hz / 1e6,
            "baud": board.baud,
            "uart": board.uart or "USB",
            "memory_bytes": board.memory_bytes,
            "resources": dict(board.limits),
            "mlperf_tiny": known.get(board.name, {}),
        }
        for board in BOARDS.values()
    ]

    def draw(console: Console) -> None:
        table = Table(box=None, pad_edge=False)
        table.add_column("board", style="bold")
        table.add_column("part")
        for title in ("clock, MHz", "memory, KiB", "LUT", "block RAM", "multipliers"):
            table.add_column(title, justify="right")
        table.add_column("of MLPerf Tiny")
        for board in BOARDS.values():
            limits = board.limits
            held = [model for model, it in known.get(board.name, {}).items() if "cycles" in it]
            table.add_row(
                board.name, board.part, f"{board.clock_hz / 1e6:g}",
                f"{board.memory_bytes / 1024:.0f}", f"{limits['LUT']:,}",
                f"{limits['BRAM']}", f"{limits['DSP']}", ", ".join(held) or "-",
            )  # fmt: skip
        console.print(table)
        for board in BOARDS.values():
            if board.uart:
                console.print(f"{board.name}: UART {board.uart}.")

    show({"boards": boards}, as_json, draw)


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Say which tool was found where, which version, and what to do about a missing one."""
    from prunus.sim.tools import doctor, find

    checks = doctor()
    places = {
        check.name: str(find(check.name).path) if check.name != "python" else check.source
        for check in checks
        if check.found
    }
    missing = [check.name for check in checks if check.required and not check.found]

    def draw(console: Console) -> None:
        table = Table(box=None, pad_edge=False)
        for title in ("", "tool", "version"):
            table.add_column(title, no_wrap=True)
        table.add_column("where", overflow="fold")
        table.add_column("needed for")
        for check in checks:
            if check.found:
                mark, where = "[green]ok[/]", escape(places[check.name])
            else:
                mark = "[red]missing[/]" if check.required else "[yellow]not found[/]"
                where = check.remedy
            table.add_row(mark, check.name, check.version, where, check.needed_for)
        console.print(table)
        if missing:
            console.print(f"[red]Missing: {', '.join(missing)}.[/] Install as said above.")
        else:
            console.print("[green]Everything that is needed is here.[/]")

    value = {
        "ok": not missing,
        "tools": [
            dataclasses.asdict(check) | {"path": places.get(check.name, "")} for check in checks
        ],
    }
    show(value, as_json, draw)
    return 1 if missing else 0
