"""From a model, samples and a budget to a compressed model: prune, share, train, measure, again."""

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prunus.boards.board import Board
from prunus.compiler import evaluate, store
from prunus.compiler.ir import Array, Graph, ModelError
from prunus.compiler.passes.lowrank import choose_ranks, decompose
from prunus.compiler.plan import Options
from prunus.compiler.train.extra import need_train

from .budget import Budget
from .build import Build
from .compile import compile_graph
from .ladder import chosen, first_density, next_density

if TYPE_CHECKING:
    from prunus.compiler.train.data import Data
    from prunus.compiler.train.fit import Training
    from prunus.compiler.train.network import Network

__all__ = ["DENSITIES", "Compression", "Settings", "Step", "accuracy", "compress"]

Progress = Callable[[str, int, int], None]
DENSITIES = ("rank", "scan", "equal")
_EVALUATED = 1000  # samples at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to compress.

    ``scheme`` and ``bits``: what weights may be (:mod:`prunus.compiler.train.schemes`); without
    bits they are searched for each layer, the fewest that let the loss grow by ``tolerance``
    before training; ``stochastic`` rounding goes with uniform ones. ``criterion`` and
    ``schedule``: of pruning; the densities of the layers come from the rank of each weight in the
    whole network ("rank"), or from the sensitivity scan ("scan"), or are all the same ("equal").
    ``lasso``: of the sum of magnitudes; ``group``: of group LASSO, which empties whole rows and
    columns. ``balance``: equal work for each PE. ``low_rank``: the share of its squared weights
    that a layer keeps when it becomes two or three smaller ones, before all else (0: none does);
    ``factors`` of convolutions are "tucker" or "spatial". ``epochs`` of pruning and ``tune_epochs``
    of sharing in each step, at most ``steps`` of these. ``taught``: how much of the loss is the
    teacher's (0: no teacher).
    """

    scheme: str = "codebook"
    bits: int | None = None
    tolerance: float = 0.03
    stochastic: bool = False
    criterion: str = "obd"
    schedule: str = "cubic"
    densities: str = "rank"
    lasso: float = 0.0
    group: float = 0.0
    balance: bool = False
    low_rank: float = 0.0
    factors: Literal["tucker", "spatial"] = "tucker"
    epochs: int = 12
    tune_epochs: int = 4
    batch: int = 64
    rate: float = 1e-3
    taught: float = 0.7
    steps: int = 10
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.densities not in DENSITIES:
            raise ValueError(
                f"densities must be one of {', '.join(DENSITIES)}, not {self.densities!r}"
            )

    def training(self, epochs: int, rate: float, lasso: float = 0.0) -> "Training":
        """The settings of one training."""
        from prunus.compiler.train.fit import Training

        return Training(
            epochs=epochs, batch=self.batch, rate=rate, taught=self.taught, seed=self.seed,
            threads=self.threads, l1=lasso,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One model of the search, as the hardware would run it.

    ``accuracy`` on the held-out samples, of the integers that the gates compute (where labels are
    values: 1 less the share of their variance that is not explained). ``file`` has the graph.
    """

    number: int
    density: float
    accuracy: float
    bytes: int
    cycles: int
    ratio: float
    bits: dict[str, int]
    layers: list[dict[str, Any]]
    file: str

    @property
    def mean_bits(self) -> float:
        """Bits of a code, over the weights that are not zero; 8 where nothing is shared."""
        weights = [(layer["nonzeros"], self.bits.get(layer["name"], 8)) for layer in self.layers]
        total = sum(count for count, _ in weights)
        return float(sum(count * bits for count, bits in weights) / max(1, total))


@dataclass(frozen=True, slots=True, eq=False)
class Compression:
    """What the search found: the chosen model, its build, and every step on the way.

    ``met``: whether the budget is; ``message`` says so in a line. ``sensitivity`` has the held-out
    loss of each layer pruned alone. ``float_accuracy`` is that of the model as it was given.
    """

    graph: Graph
    build: Build
    budget: Budget
    steps: tuple[Step, ...]
    best: Step
    met: bool
    message: str
    float_accuracy: float
    test_accuracy: float | None
    sensitivity: dict[str, dict[float, float]]

    def summary(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return {
            "model": self.graph.name,
            "budget": {"kind": self.budget.kind, "value": self.budget.value},
            "met": self.met,
            "message": self.message,
            "float_accuracy": round(self.float_accuracy, 6),
            "test_accuracy": None if self.test_accuracy is None else round(self.test_accuracy, 6),
            "chosen": self.best.number,
            "steps": [
                dataclasses.asdict(step) | {"mean_bits": round(step.mean_bits, 3)}
                for step in self.steps
            ],
            "sensitivity": self.sensitivity,
        }


def compress(
    graph: Graph,
    data: "Data",
    budget: Budget,
    work: Path,
    *,
    settings: Settings | None = None,
    teacher: Graph | None = None,
    test: tuple[Array, Array] | None = None,
    options: Options | None = None,
    board: Board | None = None,
    progress: Progress | None = None,
) -> Compression:
    """Search for the best model within a budget.

    Each step prunes the network of the step before further while it is trained, brings it to
    int8, chooses and trains its codebooks, and compiles it. The original network (or ``teacher``)
    is what the smaller ones learn from. ``work`` keeps what is done: a run that was interrupted
    goes on from there when it is made again.

    Raises
    ------
    ExtraMissing, DataError, TrainingError, ModelError, GraphError, ValueError
        One line.
    """
    need_train()
    from prunus.compiler.train.checkpoint import fingerprint
    from prunus.compiler.train.network import Network
    from prunus.compiler.train.pipeline import density_of, quantize_step

    settings, notify = settings or Settings(), progress or (lambda what, done, of: None)
    name = None if board is None else board.name
    given = (graph, data.x, data.y, data.held_x, data.held_y, str(budget), settings, options, name)
    _claim(work, fingerprint(*given, *([] if teacher is None else [teacher])))
    original = Network(graph)
    if teacher is not None:
        taught = Network(teacher)
        _same_task(graph, teacher)
    else:
        taught = original
    size = _original_bytes(graph)
    search = _Search(work, data, settings, taught, options, board, notify, size)

    start = _low_rank(graph, settings)
    scanned = search.kept(
        "scan.json", lambda: search.scan(original if start is graph else Network(start))
    )
    plain = quantize_step(start, data)
    steps = [search.measured(0, plain, {}, density_of(plain))]
    tried = {0: start}
    density = first_density(budget, steps)
    while density is not None and len(steps) <= settings.steps:
        number = len(steps)
        origin = max((s.number for s in steps if s.density > density), default=0)
        pruned, shared, bits = search.step(number, tried[origin], density)
        tried[number] = pruned
        steps.append(search.measured(number, shared, bits, density_of(shared)))
        density = next_density(budget, steps)
    best, met = chosen(budget, steps)
    final = store.load(work / best.file)
    build = compile_graph(final, options=options, board=board)
    labels = None if test is None else accuracy(final, *test)
    message = f"The budget, {budget}, is met." if met else (
        f"The budget, {budget}, cannot be met; the nearest of {len(steps)} models has "
        f"{best.bytes:,} bytes, {best.cycles:,} cycles and an accuracy of {best.accuracy:.2%}."
    )  # fmt: skip
    return Compression(
        final, build, budget, tuple(steps), best, met, message,
        accuracy(graph, data.held_x, data.held_y), labels,
        {layer: {float(d): loss for d, loss in rows.items()} for layer, rows in scanned.items()},
    )  # fmt: skip


def accuracy(graph: Graph, x: Array, y: Array) -> float:
    """Of a graph on samples, by the golden operators; of values the share of explained variance."""
    parts = [
        evaluate.output(graph, evaluate.quantize_input(graph, x[start : start + _EVALUATED]))
        for start in range(0, len(x), _EVALUATED)
    ]
    given, tensor = np.concatenate(parts), graph.tensors[graph.outputs[0]]
    if tensor.scale is not None and tensor.zero_point is not None:
        given = (given.astype(np.float64) - tensor.zero_point) * tensor.scale
    if y.dtype.kind == "f":
        wrong = float(np.square(given - y).mean())
        return 1 - wrong / max(float(np.var(y)), 1e-30)
    flat = given.reshape(len(given), -1)
    if flat.shape[1] == 1:  # a probability, or its logit
        closed = any(n.op == "logistic" and n.output == graph.outputs[0] for n in graph.nodes)
        return float(np.mean((flat[:, 0] > (0.5 if closed else 0.0)) == (y == 1)))
    return float(np.mean(flat.argmax(axis=1) == y))


@dataclass(frozen=True, slots=True)
class _Search:
    """What every step of a search needs; all of it is kept in ``work`` as it is made."""

    work: Path
    data: "Data"
    settings: Settings
    teacher: "Network"
    options: Options | None
    board: Board | None
    notify: Progress
    original_bytes: int

    def scan(self, network: "Network") -> dict[str, dict[str, float]]:
        """The held-out loss of each layer pruned alone, by density."""
        from prunus.compiler.train.pruning import sensitivity

        found = sensitivity(network, self.data, progress=self.notify)
        return {
            name: {str(density): score.loss for density, score in rows.items()}
            for name, rows in found.items()
        }

    def step(
        self, number: int, graph: Graph, density: float
    ) -> tuple[Graph, Graph, dict[str, int]]:
        """The pruned graph, the shared one made of it, and the bits of its layers."""
        from prunus.compiler.train.pipeline import prune_steps, quantize_step, share_step

        s, label = self.settings, f"step {number}, {density:.1%} of the weights"
        teacher = self.teacher if s.taught else None
        files = [self.work / f"step{number:02}{kind}" for kind in ("p.npz", ".npz", ".bits.json")]
        if not files[0].exists():
            pruned = prune_steps(
                graph, self.data, self.densities(graph, density),
                s.training(s.epochs, s.rate, s.lasso), teacher=teacher,
                criterion=s.criterion, schedule=s.schedule, group=s.group,
                scope="network" if s.densities == "rank" else "layer",
                pes=(self.options or Options()).pes if s.balance else 0,
                every=max(5, min(100, len(self.data.x) // s.batch // 4)),
                checkpoint=self.work / "prune.pt", progress=self.notify, label=label,
            )  # fmt: skip
            store.save(pruned, files[0])
        pruned = store.load(files[0])
        if not (files[1].exists() and files[2].exists()):
            shared, bits = share_step(
                quantize_step(pruned, self.data), self.data,
                s.training(s.tune_epochs, s.rate / 2), kind=s.scheme, bits=s.bits,
                loss=s.tolerance, noisy=s.stochastic, teacher=teacher,
                checkpoint=self.work / "share.pt", progress=self.notify, label=f"{label}: sharing",
            )  # fmt: skip
            store.save(shared, files[1])
            _write(files[2], json.dumps(bits))
        return pruned, store.load(files[1]), json.loads(files[2].read_text())

    def densities(self, graph: Graph, density: float) -> float | dict[str, float]:
        """Of the network, or of each layer where the scan decides."""
        from prunus.compiler.passes.layers import layers
        from prunus.compiler.train.fit import Score
        from prunus.compiler.train.pruning import scanned_densities

        if self.settings.densities != "scan":
            return density
        rows = json.loads((self.work / "scan.json").read_text())
        found = {
            name: {float(d): Score(loss, 0.0) for d, loss in losses.items()}
            for name, losses in rows.items()
        }
        sizes = {node.name: int(node.consts["weight"].size) for node in layers(graph)}
        return scanned_densities(found, sizes, density)

    def measured(self, number: int, graph: Graph, bits: dict[str, int], density: float) -> Step:
        """The step's figures, and its graph as a file."""
        self.notify(f"step {number}: measuring", 0, 0)
        path = self.work / f"step{number:02}.npz"
        if not path.exists():
            store.save(graph, path)

        def measure() -> dict[str, Any]:
            build = compile_graph(graph, options=self.options, board=self.board)
            rows = [layer for layer in build.summary()["layers"] if layer["weights"]]
            return {
                "number": number,
                "density": density,
                "accuracy": accuracy(graph, self.data.held_x, self.data.held_y),
                "bytes": build.rom_bytes,
                "cycles": sum(layer.cycles for layer in build.layers),
                "ratio": self.original_bytes / build.rom_bytes,
                "bits": bits,
                "layers": rows,
                "file": path.name,
            }

        return Step(**self.kept(f"step{number:02}.json", measure))

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, from the work folder if it was there."""
        path = self.work / name
        if not path.exists():
            _write(path, json.dumps(make()))
        return json.loads(path.read_text())


def _low_rank(graph: Graph, settings: Settings) -> Graph:
    """The graph with smaller layers, where low ranks are wanted."""
    if not settings.low_rank:
        return graph
    if graph.quantized:
        raise ModelError(f"{graph.name}: its weights are integers; low rank needs a float model")
    return decompose(
        graph, choose_ranks(graph, energy=settings.low_rank, convolutions=settings.factors)
    )


def _original_bytes(graph: Graph) -> int:
    return 4 * sum(
        int(node.consts[key].size)
        for node in graph.nodes
        if "weight" in node.consts
        for key in ("weight", "bias")
    )


def _same_task(graph: Graph, teacher: Graph) -> None:
    ends = [
        (g.tensors[g.inputs[0]].shape, math.prod(g.tensors[g.outputs[0]].shape))
        for g in (graph, teacher)
    ]
    if ends[0] != ends[1]:
        raise ModelError(
            f"{teacher.name}: the teacher takes {ends[1][0]} and gives {ends[1][1]} values, and "
            f"{graph.name} takes {ends[0][0]} and gives {ends[0][1]}"
        )


def _claim(work: Path, key: str) -> None:
    """Make the work folder this run's: what another run left there goes."""
    mark = work / "run"
    try:
        if mark.read_text() == key:
            return
    except OSError:
        if work.exists() and (not work.is_dir() or any(work.iterdir())):
            raise ValueError(f"{work}: exists and is not of this command; name another") from None
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _write(mark, key)


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text)
    os.replace(scratch, path)
