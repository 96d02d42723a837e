"""A small network from nothing to proven gates: trained, pruned, shared, coded, simulated."""

import contextlib
import dataclasses
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from prunus.boards.board import Board
from prunus.compiler import evaluate
from prunus.compiler.load import load_model
from prunus.compiler.passes.prune import magnitude_mask
from prunus.compiler.passes.share import share
from prunus.compiler.plan import Options

from .build import Build, save_build
from .compile import compile_graph
from .report import report_html
from .simulate import Simulation, simulate
from .verilog import write_verilog

__all__ = ["DENSITY", "WEIGHT_BITS", "Demo", "Digits", "load_split", "run_demo", "train"]

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]  # what, done, of

HIDDEN = (112, 56)
DENSITY = 0.1
WEIGHT_BITS = 4
PES = 4
# Weights go in steps, the last ones in the smallest: each step is healed before the next.
DENSITIES = (0.6, 0.4, 0.25, 0.17, 0.13, DENSITY)
BATCH = 64
EPOCHS = 30  # before the first weight goes
HEALING_EPOCHS = 6  # after each step, and five times as many after the last


@dataclass(frozen=True, slots=True)
class Digits:
    """Images of 8 x 8 pixels, 0..1, and what they show."""

    x_train: Floats
    y_train: NDArray[np.int64]
    x_test: Floats
    y_test: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo found.

    ``accuracy`` on the test split of the network as trained (``float``), ``pruned``, with
    ``shared`` weights, and as the gates computed it (``integer``); ``weights`` of that network,
    before any went; ``seconds`` a step took.
    """

    accuracy: dict[str, float]
    build: Build
    simulation: Simulation
    weights: int
    seconds: dict[str, float]

    @property
    def density(self) -> float:
        """Fraction of the weights that was kept, but for those of units that became constant."""
        return sum(layer.nonzeros for layer in self.build.layers) / self.weights

    @property
    def utilization(self) -> float:
        """Multiplications that are work, over PEs times cycles."""
        work = sum(layer.work for layer in self.simulation.layers)
        return float(work / (self.build.config.pes * np.mean(self.simulation.cycles)))

    def summary(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        simulated = self.simulation.summary()
        cycles = simulated["cycles"]
        return {
            "accuracy": {step: round(value, 4) for step, value in self.accuracy.items()},
            "density": round(self.density, 4),
            "weight_bits": WEIGHT_BITS,
            "weights": self.weights,
            "nonzeros": sum(layer.nonzeros for layer in self.build.layers),
            "macs": self.build.macs,
            "rom_bytes": self.build.rom_bytes,
            "float32_bytes": self.build.float32_bytes,
            "compression_ratio": round(self.build.compression_ratio, 3),
            "pes": self.build.config.pes,
            "samples": simulated["samples"],
            "layers_compared": simulated["samples"] * len(self.build.layers),
            "bit_exact": simulated["bit_exact"],
            "mismatches": simulated["mismatches"],
            "cycles": round(float(np.mean(cycles)), 1),
            "cycles_min": min(cycles),
            "cycles_max": max(cycles),
            "load_cycles": simulated["load_cycles"],
            "utilization": round(self.utilization, 4),
            "layers": simulated["layers"],
            "sim_cycles_per_second": simulated["sim_cycles_per_second"],
            "seconds": {step: round(value, 2) for step, value in self.seconds.items()},
        }


def load_split() -> Digits:
    """The digits that come with scikit-learn, a quarter of them kept for the test."""
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16, y, random_state=0, stratify=y)
    return Digits(x_train, y_train, x_test, y_test)


def train(
    digits: Digits, progress: Progress, *, epochs: int = EPOCHS, healing: int = HEALING_EPOCHS
) -> tuple[MLPClassifier, dict[str, float]]:
    """A network with ``DENSITY`` of its weights, and its accuracy before and after pruning.

    The smallest weights of each layer are set to zero, step by step; between the steps the rest
    is trained on, with the mask applied again after each batch.
    """
    net = MLPClassifier(
        hidden_layer_sizes=HIDDEN, batch_size=BATCH, learning_rate_init=2e-3, random_state=0
    )
    shuffle = np.random.default_rng(0)
    classes = np.unique(digits.y_train)

    def epoch(masks: list[NDArray[np.bool_]] | None) -> None:
        order = shuffle.permutation(len(digits.x_train))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            some = order[first : first + BATCH]
            net.partial_fit(digits.x_train[some], digits.y_train[some], classes=classes)
            if masks is not None:
                for weight, mask in zip(net.coefs_, masks, strict=True):
                    weight *= mask

    accuracy = {}
    with threadpool_limits(1), _interruptible():  # the matrices are too small to share
        for n in range(epochs):
            progress("training", n, epochs)
            epoch(None)
        progress("training", epochs, epochs)
        accuracy["float"] = float(net.score(digits.x_test, digits.y_test))
        rounds = [healing] * (len(DENSITIES) - 1) + [5 * healing]
        done = 0
        for density, count in zip(DENSITIES, rounds, strict=True):
            masks = [magnitude_mask(weight, density) for weight in net.coefs_]
            for _ in range(count):
                progress("pruning and healing", done, sum(rounds))
                epoch(masks)
                done += 1
        progress("pruning and healing", done, done)
        accuracy["pruned"] = float(net.score(digits.x_test, digits.y_test))
    return net, accuracy


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the training: scikit-learn turns it into a warning and goes on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Training interrupted by user")
        try:
            yield
        except UserWarning as warning:
            raise KeyboardInterrupt from warning


def run_demo(
    folder: Path | None = None, progress: Progress | None = None, *, board: Board | None = None
) -> Demo:
    """Train, compress, generate, simulate the whole test split through the gates, compare.

    In ``folder`` the build, the Verilog, the test split, the figures and a page about them are
    kept. The accelerator has ``PES`` PEs, or what ``board`` holds.
    """
    notify = progress or (lambda what, done, of: None)
    seconds: dict[str, float] = {}
    start = time.monotonic()

    def lap(step: str) -> None:
        nonlocal start
        now = time.monotonic()
        seconds[step], start = now - start, now

    digits = load_split()
    net, accuracy = train(digits, notify)
    lap("training")

    notify("compressing", 0, 0)
    shared = share(load_model(net), WEIGHT_BITS)
    accuracy["shared"] = _score(evaluate.output(shared, digits.x_test), digits)
    options = Options(pes=PES)
    build = compile_graph(shared, calibration=digits.x_train, options=options, board=board)
    build = dataclasses.replace(
        build, settings=build.settings | {"density": DENSITY, "weight_bits": WEIGHT_BITS}
    )
    lap("compressing")

    simulation = simulate(build, digits.x_test, progress=notify)
    accuracy["integer"] = _score(simulation.outputs, digits)
    lap("simulating")

    weights = sum(int(matrix.size) for matrix in net.coefs_)
    demo = Demo(accuracy, build, simulation, weights, seconds)
    if folder is not None:
        notify("writing", 0, 0)
        _keep(demo, digits, folder)
    return demo


def _score(outputs: NDArray[Any], digits: Digits) -> float:
    return float(np.mean(outputs.argmax(axis=1) == digits.y_test))


def _keep(demo: Demo, digits: Digits, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_build(demo.build, folder / "build")
    simulated = demo.simulation.summary()
    (folder / "build" / "simulation.json").write_text(json.dumps(simulated, indent=1) + "\n")
    write_verilog(demo.build, folder / "verilog")
    np.save(folder / "inputs.npy", digits.x_test)
    np.save(folder / "labels.npy", digits.y_test)
    (folder / "report.html").write_text(report_html(demo.build, simulated), encoding="utf-8")
    (folder / "demo.json").write_text(json.dumps(demo.summary(), indent=1) + "\n")
