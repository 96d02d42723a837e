"""``prunus demo``: everything once, on a network that is trained on the spot."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from ..terminal import Failed, json_option, progress, show

if TYPE_CHECKING:
    from ..demo import Demo

__all__ = ["demo_command"]

STEPS = {
    "float": "as trained, float32",
    "pruned": "{density:.0%} of the weights left",
    "shared": "{values} values a layer",
    "integer": "int8, through the gates",
}


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the build, the Verilog and the figures.",
)
@click.option("--board", metavar="NAME", help="Sizes for a board, instead of 4 PEs.")
@json_option
def demo_command(output: Path | None, board: str | None, as_json: bool) -> int:
    """Train, compress, generate and prove a small network on scikit-learn's digits."""
    from prunus.boards.registry import find_board

    chosen = None if board is None else find_board(board)
    with progress() as report:
        report("importing the tools", 0, 0)
        from ..demo import run_demo

        result = run_demo(output, report, board=chosen)
    show(result.summary(), as_json, lambda console: _draw(console, result, output))
    if not result.simulation.bit_exact:
        raise Failed(f"the gates differ: {result.simulation.first_mismatches[0]}")
    return 0


def _draw(console: Console, demo: "Demo", output: Path | None) -> None:
    figures = demo.summary()
    steps = Table(box=None, pad_edge=False, show_header=False)
    steps.add_column(style="bold")
    steps.add_column()
    steps.add_column(justify="right")
    steps.add_column()
    for step, text in STEPS.items():
        value = demo.accuracy[step]
        steps.add_row(
            step,
            text.format(density=demo.density, values=1 << figures["weight_bits"]),
            f"{value:.2%}",
            f"[green]{'█' * round(40 * (value - 0.5) / 0.5)}[/]" if value > 0.5 else "",
        )
    console.print(Panel(steps, title="Accuracy on the test split", title_align="left"))

    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="bold")
    facts.add_column()
    sizes = " - ".join(str(n) for n in _sizes(demo))
    facts.add_row("network", f"{sizes}, {figures['weights']:,} weights")
    facts.add_row("density", f"{demo.density:.1%}, {figures['nonzeros']:,} weights are not zero")
    facts.add_row(
        "ROM image",
        f"{figures['rom_bytes']:,} bytes with tables, codebooks and indices, "
        f"{figures['float32_bytes']:,} as float32: "
        f"[bold green]{figures['compression_ratio']:.1f} times smaller[/]",
    )
    facts.add_row(
        "cycles",
        f"{figures['cycles']:,.0f} per inference ({figures['cycles_min']:,} to "
        f"{figures['cycles_max']:,}), after {figures['load_cycles']:,} to load and decode",
    )
    facts.add_row(
        "utilization",
        f"{demo.utilization:.1%} of {figures['pes']} PEs; zeros are not work",
    )
    facts.add_row(
        "layers",
        ", ".join(
            f"{escape(la.name)} {la.cycles:,.0f} cycles at {la.utilization:.0%}"
            for la in demo.simulation.layers
        ),
    )
    verdict = "[bold green]yes[/]" if figures["bit_exact"] else "[bold red]no[/]"
    facts.add_row(
        "bit-exact",
        f"{verdict}, {figures['layers_compared']:,} layers of {figures['samples']} images "
        "compared with the golden model",
    )
    facts.add_row(
        "seconds",
        ", ".join(f"{step} {value:.1f}" for step, value in demo.seconds.items()),
    )
    console.print(Panel(facts, title="The accelerator, simulated as gates", title_align="left"))
    if output is not None:
        where = escape(str(output))
        console.print(
            f"Kept in {where}: build/, verilog/accelerator.v, inputs.npy, labels.npy, "
            "report.html, demo.json"
        )


def _sizes(demo: "Demo") -> list[int]:
    layers = demo.build.layers
    first = layers[0]
    return [first.weights // first.outputs, *(layer.outputs for layer in layers)]
