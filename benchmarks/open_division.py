"""MLPerf Tiny's keyword spotting and anomaly detection, compressed as its open division allows.

The float models are pruned (kws), brought to int8 and given few values of weights (kws codebooks,
ad equal steps) while they learn from themselves. The inputs of ad are spectra in decibels, far from
zero: a step of the optimizer moves all weights of a sum alike, so its rate is low, and whatever
moves the means of the sums, as a codebook or pruning does, costs most.
There is one data set for each, so a part of it trains and another is measured, never the same:

- kws: every other sample of the 1,000 trains (a fifth of these decides which epoch is kept); the
  accuracy is that of the rest. The benchmark's target is 90 %.
- ad: every other normal sound file trains; the area under the curve is that of the other normal
  files and all anomalies, by the mean squared error of a file's windows. The target is 0.85.

Sizes are whole ROM images. Data and models are read from ``$PRUNUS_DATA/mlperf_tiny``.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from trained import notify, read_arguments, training_parser

from prunus.compiler import evaluate
from prunus.compiler.ir import Graph
from prunus.compiler.load import load_model
from prunus.flow.compile import compile_graph
from prunus.flow.compress import accuracy
from prunus.flow.simulate import simulate

Array = NDArray[Any]
KWS_SCALE, KWS_ZERO = 0.58470291, 83
SHIFT = 4  # frames, of 20 ms, that a spoken word may be moved by
FRAMES = 5  # in a window of the anomaly detector


@dataclass(frozen=True, slots=True)
class Task:
    """A network, its samples, and what is asked of it.

    ``x``, ``y`` train and ``held`` (samples, labels) decides; ``measure`` gives the figure of a
    graph on what neither has seen, ``shown`` are samples of that for the gates.
    """

    name: str
    target: float
    split: str
    graph: Graph
    x: Array
    y: Array
    held: tuple[Array, Array]
    measure: Callable[[Graph], float]
    shown: Array
    bits: int
    epochs: tuple[int, int]  # of pruning, of sharing
    rate: float
    density: float = 1.0
    kind: str = "codebook"
    batch: int = 32
    augment: Callable[[Any, Any], Any] | None = None
    taught: float = 0.7


def keywords(folder: Path) -> Task:
    """Keyword spotting."""
    graph = load_model(folder / "models/kws/qualcomm_kws_saved_model_float32.tflite")
    with np.load(folder / "datasets/kws01_1000.npz") as archive:
        x = (archive["x"].astype(np.float32) - KWS_ZERO) * np.float32(KWS_SCALE)
        y = archive["y"].astype(np.int64)
    trained, measured = np.arange(0, len(x), 2), np.arange(1, len(x), 2)
    held, trained = trained[::5], np.delete(trained, np.s_[::5])
    return Task(
        "kws", 0.90, f"{len(trained)} train, {len(held)} decide, {len(measured)} measured",
        graph, x[trained], y[trained], (x[held], y[held]),
        lambda found: accuracy(found, x[measured], y[measured]), x[measured],
        bits=6, epochs=(40, 15), rate=5e-4, density=0.7, augment=moved,
    )  # fmt: skip


def moved(x: Any, generator: Any) -> Any:
    """Words begin somewhat earlier or later."""
    import torch

    by = torch.randint(-SHIFT, SHIFT + 1, (len(x), 1), generator=generator)
    frames = (torch.arange(x.shape[1]) + by).clamp(0, x.shape[1] - 1)
    return x[torch.arange(len(x))[:, None], frames]


def machines(folder: Path) -> Task:
    """Anomaly detection."""
    graph = load_model(folder / "models/ad/ad01_fp32.tflite")
    with np.load(folder / "datasets/ad01_248_int8in.npz") as archive:
        labels = archive["y"]
        files = (archive["x"] - archive["zero_point"].astype(np.float32)) * archive["scale"]
    frames = [np.lib.stride_tricks.sliding_window_view(file, (FRAMES, 128)) for file in files]
    windows = np.array(frames, np.float32).reshape(len(files), -1, FRAMES * 128)
    normal = np.flatnonzero(labels == 0)
    trained, measured = normal[::2], np.r_[normal[1::2], np.flatnonzero(labels)]
    held, trained = trained[::5], np.delete(trained, np.s_[::5])
    x, some = (windows[chosen].reshape(-1, FRAMES * 128) for chosen in (trained, held))
    split = (f"{len(trained)} normal files train, {len(held)} decide; {len(normal[1::2])} normal "
             f"and {int(labels.sum())} others measured")  # fmt: skip
    return Task(
        "ad", 0.85, split, graph, x, x, (some[::4], some[::4]),
        lambda found: separation(found, windows[measured], labels[measured]),
        windows[measured].reshape(-1, FRAMES * 128)[::97],
        bits=5, epochs=(0, 100), rate=4e-5, kind="uniform", batch=64, taught=1.0,
    )  # fmt: skip


def separation(graph: Graph, files: Array, labels: Array) -> float:
    """Area under the curve; a file's score is the mean squared error of its windows."""
    target = graph.tensors[graph.outputs[0]]
    scores = []
    for file in files:
        given = evaluate.output(graph, evaluate.quantize_input(graph, file))
        if target.scale is not None and target.zero_point is not None:
            given = (given.astype(np.float64) - target.zero_point) * target.scale
        scores.append(np.square(given - file).mean())
    return float(roc_auc_score(labels, scores))


TASKS = {"kws": keywords, "ad": machines}


def run(task: Task, samples: int, effort: float, notify: Any) -> dict[str, Any]:
    """Everything about one network."""
    from prunus.compiler.train.data import make_data
    from prunus.compiler.train.fit import Training
    from prunus.compiler.train.network import Network
    from prunus.compiler.train.pipeline import density_of, prune_steps, quantize_step, share_step

    data = make_data(task.graph, task.x, task.y, task.held)
    teacher = Network(task.graph)

    def training(epochs: int, rate: float) -> Training:
        return Training(epochs=max(1, round(epochs * effort)), batch=task.batch, rate=rate,
                        taught=task.taught)  # fmt: skip

    cut = quantize_step(task.graph, data)
    named = {"int8": cut}
    if task.density < 1:
        pruned = prune_steps(
            task.graph, data, task.density,
            training(task.epochs[0], task.rate), teacher=teacher,
            criterion="obd", every=20, augment=task.augment, progress=notify,
            label=f"{task.name}: pruning",
        )  # fmt: skip
        named["pruned"] = cut = quantize_step(pruned, data)
    shared, _ = share_step(
        cut, data, training(task.epochs[1], task.rate / 2), kind=task.kind, bits=task.bits,
        teacher=teacher, augment=task.augment, progress=notify, label=f"{task.name}: sharing",
    )  # fmt: skip
    named[f"{'codes' if task.kind == 'codebook' else 'steps'} of {task.bits} bits"] = shared
    result: dict[str, Any] = {"network": task.name, "target": task.target, "split": task.split,
                              "models": []}  # fmt: skip
    weights = 4 * sum(
        int(value.size) for node in task.graph.nodes
        for key, value in node.consts.items() if key in ("weight", "bias")
    )  # fmt: skip
    result["models"].append({"model": "float", "bytes": weights,
                             "figure": task.measure(task.graph)})  # fmt: skip
    for label, graph in named.items():
        build = compile_graph(graph)
        row = {"model": label, "bytes": build.rom_bytes, "ratio": weights / build.rom_bytes,
               "density": density_of(graph), "figure": task.measure(graph),
               "cycles": sum(layer.cycles for layer in build.layers)}  # fmt: skip
        if graph is shared and samples:
            ran = simulate(build, task.shown[:samples], progress=notify)
            row |= {"samples": ran.samples, "bit_exact": ran.bit_exact,
                    "cycles": float(np.mean(ran.cycles))}  # fmt: skip
        result["models"].append(row)
    return result


def show(result: dict[str, Any]) -> None:
    """A table."""
    print(f"\n## {result['network']}, target {result['target']}\n\n{result['split']}\n")
    print("| model | weights kept | bytes | ratio | measured | cycles | bit-exact |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for row in result["models"]:
        exact = (
            f"{'yes' if row['bit_exact'] else 'NO'}, {row['samples']}" if "samples" in row else ""
        )
        print(
            f"| {row['model']} | {row.get('density', 1):.0%} | {row['bytes']:,} "
            f"| {row.get('ratio', 1):.1f} | {row['figure']:.4f} | {row.get('cycles', 0):,.0f} "
            f"| {exact} |"
        )


def main(argv: list[str] | None = None) -> int:
    parser = training_parser(__doc__ or "", list(TASKS), 10, "of the measured, through the gates")
    arguments, folder = read_arguments(parser, argv, list(TASKS), "mlperf_tiny")
    results = [
        run(TASKS[name](folder), arguments.samples, arguments.epochs, notify)
        for name in arguments.networks
    ]
    if arguments.json:
        print(json.dumps(results))
    else:
        for result in results:
            show(result)
    models = [row for result in results for row in result["models"]]
    reached = all(result["models"][-1]["figure"] > result["target"] for result in results)
    return 0 if reached and all(row.get("bit_exact", True) for row in models) else 1


if __name__ == "__main__":
    sys.exit(main())
