"""``prunus compile``, ``simulate`` and ``report``: from a model file to proven figures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..terminal import Failed, json_option, progress, say, show, temporary_name, writable

if TYPE_CHECKING:
    from prunus.compiler.plan import Options

    from ..build import Build
    from ..simulate import Simulation

__all__ = ["compile_command", "report_command", "simulate_command"]

FILE = click.Path(path_type=Path)


@click.command("compile")
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, metavar="BUILD", help="Folder to write.")
@click.option("--board", metavar="NAME", help="Choose the other sizes to fit a board.")
@click.option("--config", "config_file", type=FILE, metavar="FILE.toml", help="Sizes, by name.")
@click.option(
    "--engine",
    default="auto",
    metavar="ENGINE",
    help="auto (the default), eie, systolic, winograd beside systolic, or compact.",
)
@click.option("--density", type=float, metavar="D", help="Keep this fraction of each layer.")
@click.option(
    "--weight-bits",
    type=click.IntRange(1, 8),
    metavar="B",
    help="Share weights: 2**B values a layer, B from 1 to 8.",
)
@click.option(
    "--share-init",
    type=click.Choice(["linear", "density", "random"]),
    default="linear",
    show_default=True,
    help="Where the clusters of --weight-bits start.",
)
@click.option(
    "--calibration",
    type=FILE,
    metavar="X.npy",
    help="Inputs; float models need them, and pruning or sharing is more accurate with them.",
)
@click.option("--pes", type=int, metavar="N", help="PEs of the EIE array.")
@click.option("--queue-depth", type=int, metavar="N", help="Columns that wait in front of a PE.")
@json_option
def compile_command(
    model: Path,
    output: Path,
    board: str | None,
    config_file: Path | None,
    engine: str,
    density: float | None,
    weight_bits: int | None,
    share_init: Literal["linear", "density", "random"],
    calibration: Path | None,
    pes: int | None,
    queue_depth: int | None,
    as_json: bool,
) -> None:
    """Compress MODEL (.tflite or .onnx) where asked to, and lay it out for the hardware.

    Without --density and --weight-bits no weight changes.
    """
    from prunus.compiler.options import ENGINES

    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is unknown; available: {', '.join(ENGINES)}")
    chosen = {"pes": pes, "queue_depth": queue_depth}
    given = {name: value for name, value in chosen.items() if value is not None}
    with progress() as report:
        report("importing the tools", 0, 0)
        from ..build import check_place, save_build
        from ..compile import compile_model
        from ..inputs import read_array

        check_place(output)
        batch = None if calibration is None else read_array(calibration)
        sizes = _sizes(board, config_file, given)
        report(f"compiling {model.name}", 0, 0)
        build = compile_model(
            model,
            calibration=batch,
            density=density,
            weight_bits=weight_bits,
            share_init=share_init,
            engine=None if engine == "auto" else engine,
            **sizes,
        )
        _check_sizes(build, given)
        save_build(build, output)

    def draw(console: Console) -> None:
        _draw_build(console, build)
        console.print(f"Written to {escape(str(output))}.")

    show(build.summary() | {"build": str(output)}, as_json, draw)


def _sizes(board: str | None, config_file: Path | None, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of :func:`compile_model` that decide sizes: options beat the file, and both
    what would be chosen for a board."""
    from ..inputs import options_from, read_options

    fields = (read_options(config_file) if config_file is not None else {}) | given
    options: Options = options_from(fields)
    if board is None:
        return {"options": options}
    from prunus.boards.registry import find_board

    return {"options": options, "board": find_board(board), "fixed": tuple(fields)}


def _check_sizes(build: "Build", given: dict[str, Any]) -> None:
    """Refuse a size that was asked for, and that the accelerator does not have."""
    for name, value in given.items():
        actual = getattr(build.config, name, value)
        if actual != value:
            raise click.UsageError(
                f"--{name.replace('_', '-')} {value} has no effect: this network runs on "
                f"{build.hardware}; leave it out, or choose another --engine"
            )


def _draw_build(console: Console, build: "Build") -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("layer", overflow="fold")
    for title in ("engine", "storage"):
        table.add_column(title)
    for title in ("weights", "kept", "values", "ROM bytes", "bits/weight"):
        table.add_column(title, justify="right")
    for layer in build.layers:
        weights = ("", "", "", "")
        if layer.weights:
            weights = (
                "dense" if layer.dense else "sparse",
                f"{layer.weights:,}",
                f"{layer.nonzeros / layer.weights:.1%}",
                f"{layer.distinct}",
            )
        each = f"{layer.rom_bits / layer.weights:.2f}" if layer.weights else ""
        rom = f"{layer.rom_bits / 8:,.0f}"
        table.add_row(escape(layer.name), layer.engine, *weights, rom, each)
    console.print(table)
    lossless = "no weight was changed" if build.lossless else "weights were changed"
    console.print(
        f"{build.macs:,} multiplications on {build.hardware}; ROM image "
        f"{build.rom_bytes:,} bytes, {build.compression_ratio:.1f} times smaller than float32; "
        f"{lossless}."
    )


@click.command("simulate")
@click.argument("build", type=FILE)
@click.option("--inputs", type=FILE, required=True, metavar="X.npy", help="(samples, ...).")
@click.option("-o", "--output", type=FILE, metavar="Y.npy", help="Where the outputs go.")
@click.option("--golden", is_flag=True, help="The NumPy model instead of the gates.")
@json_option
def simulate_command(
    build: Path, inputs: Path, output: Path | None, golden: bool, as_json: bool
) -> int:
    """Run inputs through the gates of BUILD and compare every layer with the golden model.

    The exit status is 0 only when all of it is equal.
    """
    with progress() as report:
        report("reading the build", 0, 0)
        import numpy as np

        from ..build import load_build
        from ..inputs import read_inputs
        from ..simulate import simulate

        if output is not None:
            writable(output)
        compiled = load_build(build)
        samples = read_inputs(inputs, compiled.graph)
        result = simulate(compiled, samples, golden=golden, progress=report)
    summary = result.summary()
    if output is not None:
        with temporary_name(output) as scratch, open(scratch, "wb") as file:
            np.save(file, result.outputs, allow_pickle=False)
    if not golden:  # kept for the report
        with temporary_name(build / "simulation.json") as scratch:
            scratch.write_text(json.dumps(summary, indent=1) + "\n")
    show(summary, as_json, lambda console: _draw_simulation(console, result))
    if not result.bit_exact:
        raise Failed(f"the gates differ: {result.first_mismatches[0]}")
    if output is not None and not as_json:
        say(f"Outputs written to {output}.")
    return 0


def _draw_simulation(console: Console, result: "Simulation") -> None:
    if result.golden:
        console.print(f"{result.samples} samples through the golden model.")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("layer", overflow="fold")
    table.add_column("engine")
    table.add_column("cycles", justify="right")
    table.add_column("utilization", justify="right")
    for layer in result.layers:
        cycles, used = f"{layer.cycles:,.0f}", f"{layer.utilization:.1%}"
        table.add_row(escape(layer.name), layer.engine, cycles, used)
    console.print(table)
    mean = sum(result.cycles) / max(1, len(result.cycles))
    verdict = "[green]bit-exact[/]" if result.bit_exact else "[red]not bit-exact[/]"
    console.print(
        f"{result.samples} samples, {verdict}; {mean:,.0f} cycles each "
        f"({min(result.cycles):,} to {max(result.cycles):,}), loading {result.load_cycles:,}; "
        f"{result.sim_cycles_per_second:,.0f} cycles simulated a second."
    )


@click.command("report")
@click.argument("build", type=FILE)
@click.option("-o", "--output", type=FILE, metavar="FILE.html", help="Default: in the build.")
@json_option
def report_command(build: Path, output: Path | None, as_json: bool) -> None:
    """Write a page about BUILD: layers, ROM, memories, and the last simulation's figures."""
    from ..build import load_build
    from ..report import read_simulation, report_html

    target = writable(output) if output is not None else None
    compiled = load_build(build)
    simulation = read_simulation(build)
    target = target or build / "report.html"
    with temporary_name(target) as scratch:
        scratch.write_text(report_html(compiled, simulation), encoding="utf-8")
    value = {"report": str(target), "simulated": simulation is not None}
    show(value, as_json, lambda console: console.print(f"Written to {escape(str(target))}."))
