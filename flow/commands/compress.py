"""``prunus compress``: towards a budget, with training."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from ..terminal import InputError, json_option, progress, show, temporary_name

if TYPE_CHECKING:
    from ..compress import Compression

__all__ = ["compress_command"]

FILE = click.Path(path_type=Path)


@click.command("compress")
@click.argument("model", type=FILE)
@click.option("--data", type=FILE, required=True, metavar="X.npz", help="Samples x, labels y.")
@click.option(
    "--budget", required=True, metavar="KIND=VALUE",
    help="size=12k (bytes), accuracy=0.97 or cycles=2000.",
)  # fmt: skip
@click.option("-o", "--output", type=FILE, required=True, metavar="OUT", help="Folder to write.")
@click.option(
    "--scheme", type=click.Choice(["codebook", "uniform", "power", "ternary", "binary"]),
    default="codebook", show_default=True, help="What weights may be.",
)  # fmt: skip
@click.option(
    "--bits", type=click.IntRange(1, 8), metavar="B", help="Of all layers; else searched."
)
@click.option(
    "--criterion", type=click.Choice(["magnitude", "obd", "activation"]), default="obd",
    show_default=True, help="Which weights go first.",
)  # fmt: skip
@click.option(
    "--schedule", type=click.Choice(["cubic", "oneshot"]), default="cubic", show_default=True,
    help="How fast they go.",
)  # fmt: skip
@click.option(
    "--densities", type=click.Choice(["rank", "scan", "equal"]), default="rank", show_default=True,
    help="Of the layers: by the rank of all weights, by the sensitivity scan, or the same for all.",
)  # fmt: skip
@click.option("--stochastic", is_flag=True, help="Round at random in training (uniform).")
@click.option("--lasso", type=click.FloatRange(0), default=0.0, metavar="L",
              help="Weight of the sum of magnitudes in pruning.")  # fmt: skip
@click.option("--group", type=click.FloatRange(0), default=0.0, metavar="L",
              help="Weight of group LASSO, which empties rows and columns.")  # fmt: skip
@click.option("--balance", is_flag=True, help="Keep equal work for each PE.")
@click.option("--low-rank", type=click.FloatRange(0, 1, min_open=True), metavar="E",
              help="First split layers so that they keep this share of energy.")  # fmt: skip
@click.option("--factors", type=click.Choice(["tucker", "spatial"]), default="tucker",
              show_default=True, help="Of convolutions of low rank.")  # fmt: skip
@click.option("--teacher", type=FILE, metavar="MODEL", help="Learn from this; else from MODEL.")
@click.option("--no-teacher", is_flag=True, help="Learn from the labels alone.")
@click.option("--epochs", type=click.IntRange(1), default=12, show_default=True,
              help="Of pruning, in each step.")  # fmt: skip
@click.option("--tune-epochs", type=click.IntRange(1), default=4, show_default=True,
              help="Of training the values, in each step.")  # fmt: skip
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True)
@click.option("--rate", type=float, default=1e-3, show_default=True, help="Of learning.")
@click.option("--steps", type=click.IntRange(1, 50), default=10, show_default=True,
              help="Most models to try.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True,
              help="Of PyTorch.")  # fmt: skip
@click.option("--board", metavar="NAME", help="Choose sizes that fit a board.")
@click.option("--pes", type=int, metavar="N", help="PEs of the EIE array.")
@json_option
def compress_command(
    model: Path,
    data: Path,
    budget: str,
    output: Path,
    teacher: Path | None,
    no_teacher: bool,
    board: str | None,
    pes: int | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Prune, share and train MODEL (.onnx, .tflite, .npz) until it meets a budget.

    Writes model.npz, which prunus compile takes, report.json, report.txt and curve.svg. Needs the
    extra prunus[train]. An interrupted run goes on where it was when it is called again.
    """
    from ..budget import parse_budget

    wanted = parse_budget(budget)
    if board is not None and pes is not None:
        raise click.UsageError("--board chooses the number of PEs; leave out --board or --pes")
    if teacher is not None and no_teacher:
        raise click.UsageError("--teacher and --no-teacher exclude each other; give one of them")
    with progress() as report:
        report("importing the tools", 0, 0)
        from prunus.boards.registry import find_board
        from prunus.compiler.load import load_model
        from prunus.compiler.train.extra import need_train

        need_train("matplotlib")
        from prunus.compiler.train.data import make_data

        from ..compress import Settings, compress
        from ..inputs import options_from
        from ..labelled import read_labelled

        tune = chosen.pop("tune_epochs")
        chosen["low_rank"] = chosen["low_rank"] or 0.0
        settings = Settings(tune_epochs=tune, taught=0.0 if no_teacher else 0.7, **chosen)
        graph = load_model(model)
        arrays = read_labelled(data)
        try:
            split = make_data(graph, arrays["x"], arrays["y"], seed=settings.seed)
            test = None
            if "x_test" in arrays:
                tested = make_data(graph, arrays["x"], arrays["y"],
                                   (arrays["x_test"], arrays["y_test"]))  # fmt: skip
                test = (tested.held_x, tested.held_y)
        except ValueError as error:
            raise InputError(f"{data}: {error}") from None
        if output.exists() and not output.is_dir():
            raise InputError(f"{output}: is a file; name a folder")
        output.mkdir(parents=True, exist_ok=True)
        found = compress(
            graph, split, wanted, output / "work", settings=settings, test=test,
            teacher=None if teacher is None else load_model(teacher),
            options=options_from({} if pes is None else {"pes": pes}),
            board=None if board is None else find_board(board), progress=report,
        )  # fmt: skip
        report("writing", 0, 0)
        _keep(found, output)

    def draw(console: Console) -> None:
        from ..curve import report_text

        console.print(Text(report_text(found)))
        console.print(Text(f"Written to {output}; compile {output / 'model.npz'}."))

    show(found.summary() | {"output": str(output)}, as_json, draw)


def _keep(found: "Compression", output: Path) -> None:
    """The model, the report and the curve; then the work folder is no longer needed."""
    from prunus.compiler import store

    from ..curve import draw_curve, report_text

    store.save(found.graph, output / "model.npz")
    for name, text in (
        ("report.json", json.dumps(found.summary(), indent=1) + "\n"),
        ("report.txt", report_text(found)),
    ):
        with temporary_name(output / name) as scratch:
            scratch.write_text(text, encoding="utf-8")
    with temporary_name(output / "curve.svg") as scratch:
        draw_curve(found, scratch)
    shutil.rmtree(output / "work", ignore_errors=True)
