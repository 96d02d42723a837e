"""``prunus verilog``, ``build``, ``flash`` and ``infer``: from a build to a board that runs it."""

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..places import check_folder
from ..terminal import Failed, json_option, progress, show, temporary_name, writable
from .asic import asic_options, chosen_asic, report_asic

if TYPE_CHECKING:
    from prunus.boards.result import BuildResult

__all__ = ["build_command", "flash_command", "infer_command", "verilog_command"]

FILE = click.Path(path_type=Path)

# The sizes of each engine; those of the EIE array are fields of Config.
ENGINE_FIELDS = {
    "eie": {
        "pes": "PEs.",
        "lanes": "Accumulators drained a cycle.",
        "queue_depth": "Columns that wait in front of a PE.",
        "code_bits": "Bits of a stored weight; below 8 it is an index into the codebook.",
        "weight_depth": "Entries of a PE's weight memory.",
        "pointer_depth": "Columns of a PE's pointer memory.",
        "acc_rows": "Accumulators of a PE.",
        "acc_width": "Bits of an accumulator.",
        "codebooks": "Codebooks.",
        "act_word": "Activations in a word of the activation memory.",
        "act_depth": "Words of the activation memory.",
    },
    "systolic": {
        "rows": "PEs in a column: inputs taken a cycle.",
        "columns": "PEs in a row, of two outputs each.",
        "depth": "Rows of the left matrix whose sums are kept.",
    },
    "winograd": {
        "outputs": "4 for F(4x4, 3x3), 2 for F(2x2, 3x3).",
        "filters": "Output channels at a time.",
        "passes": "Cycles for the products of an input channel.",
        "channels": "Most input channels.",
        "weight_depth": "Words of the weight memory: input channels times groups of filters.",
        "word": "Input channels in a word of the map memory.",
        "lanes": "Output channels in a beat.",
        "map_depth": "Words of the map memory.",
    },
}
ENGINE_HELP = "One engine as a core of its own: eie, systolic, winograd."
SYSTOLIC = {"rows": 16, "columns": 8, "depth": 256}


def _engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    texts: dict[str, list[str]] = {}
    for engine, fields in ENGINE_FIELDS.items():
        for name, text in fields.items():
            texts.setdefault(name, []).append(f"{engine}: {text}")
    for name, lines in reversed(texts.items()):
        option = f"--{name.replace('_', '-')}"
        help_text = " ".join(lines)
        command = click.option(option, name, type=int, metavar="N", help=help_text)(command)
    return command


@click.command("verilog")
@click.argument("build", type=FILE, required=False)
@click.option("-o", "--output", type=FILE, required=True, metavar="DIR", help="Folder to write.")
@click.option("--rom", is_flag=True, help="Put the image into block RAM.")
@click.option("--trace", is_flag=True, help="Bring out every activation that is written.")
@click.option(
    "--bus",
    metavar="BUS",
    help="For embedding: AXI4-Stream, and registers on this bus: axi (AXI4-Lite), wishbone.",
)
@click.option(
    "--stream-bits", type=int, metavar="N", help="Width of those streams, 8 to 512; 32 by default."
)
@click.option(
    "--engine", metavar="ENGINE", help="One engine as a core of its own: eie, systolic, winograd."
)
@_engine_options
@click.option("--dense", is_flag=True, help="eie: no pointer memories.")
@asic_options
@json_option
def verilog_command(
    build: Path | None,
    output: Path,
    rom: bool,
    trace: bool,
    bus: str | None,
    stream_bits: int | None,
    engine: str | None,
    dense: bool,
    target: str,
    liberty: Path | None,
    sram_bits: int | None,
    as_json: bool,
    **fields: int | None,
) -> None:
    """Write the accelerator of BUILD, or with --engine one engine of the sizes given."""
    from ..verilog import check_engine, write_engine, write_verilog

    given = {name: value for name, value in fields.items() if value is not None}
    asic = chosen_asic(target, liberty, sram_bits)
    made = asic.target if asic else None
    if stream_bits is not None and bus is None:
        raise click.UsageError("--stream-bits goes with --bus")
    if engine is None:
        if build is None:
            raise click.UsageError("give a BUILD of prunus compile, or --engine")
        if given or dense:
            name = f"--{next(iter(given), 'dense').replace('_', '-')}"
            raise click.UsageError(f"{name} goes with --engine; a build has its sizes")
        from ..build import load_build

        compiled = load_build(build)
        widths = {} if stream_bits is None else {"stream_bits": stream_bits}
        files = write_verilog(
            compiled, check_folder(output), rom=rom, trace=trace, asic=made, bus=bus, **widths
        )
    else:
        check_engine(engine)
        if build is not None or rom or trace or bus:
            raise click.UsageError("--engine takes neither a BUILD nor --rom, --trace, --bus")
        for name in (*given, *(["dense"] if dense else [])):
            if name not in (*ENGINE_FIELDS[engine], *(["dense"] if engine == "eie" else [])):
                option = f"--{name.replace('_', '-')}"
                raise click.UsageError(f"{option} is not a size of the {engine} engine")
        sizes: dict[str, Any] = dict(given)
        if engine == "eie":
            sizes["sparse"] = not dense
            if "lanes" not in sizes:
                sizes["lanes"] = _lanes(sizes)
        elif engine == "systolic":
            sizes = SYSTOLIC | sizes
        files = write_engine(engine, check_folder(output), asic=made, **sizes)

    value = {"top": files[0].stem, "files": [str(file) for file in files]}
    reported, draw_report = report_asic(asic, files[0]) if asic else ({}, lambda console: None)

    def draw(console: Console) -> None:
        for file in files:
            console.print(f"{escape(str(file))}  {file.stat().st_size:,} bytes")
        draw_report(console)

    show(value | reported, as_json, draw)


def _lanes(sizes: dict[str, Any]) -> int:
    """Lanes that divide the PEs and the activation word, so that --pes 3 needs no --lanes."""
    from prunus.compiler.plan import default_lanes
    from prunus.hw.config import Config

    usual = Config()
    pes, word = (sizes.get(name, getattr(usual, name)) for name in ("pes", "act_word"))
    return default_lanes(pes, word) if pes > 0 and word > 0 else usual.lanes


@click.command("build")
@click.argument("build", type=FILE)
@click.option("--board", "board_name", required=True, metavar="NAME", help="See prunus boards.")
@click.option("-o", "--output", type=FILE, required=True, metavar="DIR", help="Folder to write.")
@click.option("--clock", type=float, metavar="MHZ", help="Clock; the board's own by default.")
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=4,
    metavar="N",
    help="Placements to try, at most, until one meets the clock; 4.",
)
@click.option(
    "--image",
    metavar="PLACE",
    help="Where the ROM image is: rom (block RAM), flash (that of the bitstream), or host, which "
    "loads it; by default block RAM where it fits, else flash where there is one.",
)
@click.option("--rom/--no-rom", default=None, help="The same as --image rom, --image host.")
@click.option("--tools", default="auto", metavar="KIND", help="auto (the default), native, wheel.")
@json_option
def build_command(
    build: Path,
    board_name: str,
    output: Path,
    clock: float | None,
    seeds: int,
    image: str | None,
    rom: bool | None,
    tools: str,
    as_json: bool,
) -> int:
    """Make a bitstream of BUILD for a board, with the routed clock and the use of the part."""
    from prunus.boards.clock import below
    from prunus.boards.registry import find_board

    if rom is not None:
        if image is not None:
            raise click.UsageError("--image and --rom exclude each other; give one of them")
        image = "rom" if rom else "host"
    board = find_board(board_name)
    with progress() as report:
        report("reading the build", 0, 0)
        from ..bitstream import make_bitstream
        from ..build import load_build

        compiled = load_build(build)
        result = make_bitstream(
            compiled,
            board,
            check_folder(output),
            clock_mhz=clock,
            seeds=seeds,
            image=image,
            tools=tools,
            progress=lambda stage, note: report(f"{stage}, {note}" if note else stage, 0, 0),
        )
    show(result.as_dict(), as_json, lambda console: _draw_bitstream(console, result))
    if not result.timing_met:
        slower = below(board, result.fmax_mhz * 0.97e6)
        raise Failed(
            f"{board.name}: routed at {result.fmax_mhz:.1f} MHz, below the clock of "
            f"{result.clock_mhz:.1f} MHz; try more --seeds"
            + (f", or --clock {slower / 1e6:g}" if slower else "")
        )
    return 0


def _draw_bitstream(console: Console, result: "BuildResult") -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("resource")
    for title in ("used", "available", ""):
        table.add_column(title, justify="right")
    for kind, (used, available) in result.resources.items():
        table.add_row(kind, f"{used:,}", f"{available:,}", f"{used / max(1, available):.0%}")
    console.print(table)
    met = "[green]met[/]" if result.timing_met else "[red]missed[/]"
    console.print(
        f"{result.board}: clock {result.clock_mhz:.1f} MHz {met}, routed "
        f"{result.fmax_mhz:.1f} MHz; UART at {result.baud:,} baud."
    )
    path = result.critical_path
    if path is not None:
        console.print(f"Slowest path: {escape(str(path))}")
    console.print(escape(str(result.bitstream)))
    if result.image is not None:
        console.print(f"{escape(str(result.image))}, for the flash at 0x{result.image_offset:x}")


@click.command("flash")
@click.argument("folder", type=FILE, metavar="DIR")
@click.option("--keep", is_flag=True, help="Write the flash, so that it survives power-off.")
@click.option("--dry-run", is_flag=True, help="Only say which commands would run.")
@json_option
def flash_command(folder: Path, keep: bool, dry_run: bool, as_json: bool) -> None:
    """Program the board that the bitstream in DIR was built for, and its image's flash."""
    from prunus.boards.flash import flash

    with _only_on_stderr(as_json):
        commands = flash(folder, keep=keep, dry_run=dry_run)

    def draw(console: Console) -> None:
        for command in commands:
            console.print(escape(shlex.join(command)), soft_wrap=True)

    show({"commands": commands, "programmed": not dry_run}, as_json, draw)


@contextlib.contextmanager
def _only_on_stderr(active: bool) -> Iterator[None]:
    """What other programs print on standard output goes to standard error."""
    if not active:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@click.command("infer")
@click.option("--port", required=True, metavar="PORT", help="Serial port, /dev/ttyUSB1 say.")
@click.option("--inputs", type=FILE, required=True, metavar="X.npy", help="(samples, ...).")
@click.option("-o", "--output", type=FILE, metavar="Y.npy", help="Where the outputs go.")
@click.option("--build", type=FILE, metavar="BUILD", help="Load its image; do its host part.")
@click.option(
    "--baud",
    type=click.IntRange(1, 50_000_000),
    default=1_000_000,
    metavar="N",
    help="1000000 by default.",
)
@json_option
def infer_command(
    port: str, inputs: Path, output: Path | None, build: Path | None, baud: int, as_json: bool
) -> None:
    """Run inputs on the board at PORT.

    Without --build the board must hold an image already; inputs and outputs are then int8.
    """
    with progress() as report:
        report("reading the inputs", 0, 0)
        import numpy as np

        from ..infer import infer
        from ..inputs import read_array, read_inputs
        from ..link import open_serial

        if output is not None:
            writable(output)
        if build is None:
            compiled, samples = None, read_array(inputs)
        else:
            from ..build import load_build

            compiled = load_build(build)
            samples = read_inputs(inputs, compiled.graph)
        with open_serial(port, baud) as serial:
            ran = infer(serial, samples, build=compiled, progress=report)
    outputs, cycles = ran.outputs, ran.cycles
    if output is not None:
        with temporary_name(output) as scratch, open(scratch, "wb") as file:
            np.save(file, outputs, allow_pickle=False)

    def draw(console: Console) -> None:
        mean = sum(cycles) / max(1, len(cycles))
        console.print(
            f"{len(outputs)} samples, {mean:,.0f} cycles each; latency {1000 * ran.latency:.2f} ms "
            f"with the link, {ran.throughput:,.0f} samples a second."
        )
        if output is None:
            console.print(escape(np.array2string(outputs, threshold=200)))
        else:
            console.print(f"Outputs written to {escape(str(output))}.")

    value: dict[str, Any] = {
        "samples": len(outputs),
        "cycles": list(cycles),
        "latency_ms": round(1000 * ran.latency, 3),
        "samples_per_second": round(ran.throughput, 1),
    }
    if output is None:
        value["outputs"] = outputs.tolist()
    show(value, as_json, draw)
