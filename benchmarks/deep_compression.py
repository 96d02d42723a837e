"""LeNet-300-100 and LeNet-5 (Caffe's variants), trained and compressed here, beside the paper.

Deep Compression (Han et al., ICLR 2016) reports 40 times at 1.58 % error for the first, 39 times at
0.74 % for the second; this measures how far the same idea goes with this compiler, every model as
the gates run it. Trained on 55,000 of MNIST's training images, deformed at random; the other 5,000
decide when to stop and how many bits a layer gets; the error is that of the 10,000 test images.
No step looks at those, but the tolerances below were set with their error in view. Then images go
through the gates, every layer compared.

Ratios are weights and biases in float32 over the whole ROM image: codes, runs, tables, codebooks,
biases, records, program. MNIST is read from ``$PRUNUS_DATA/mnist``; what was trained is kept in the
user's cache by what it was made from.
"""

import gzip
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trained import notify, read_arguments, training_parser

from prunus.compiler import store
from prunus.compiler.ir import Graph, Node, Tensor, verify
from prunus.compiler.passes.layers import layers
from prunus.compiler.passes.share import share
from prunus.compiler.plan import Options
from prunus.flow.build import Build
from prunus.flow.compile import compile_graph
from prunus.flow.compress import accuracy
from prunus.flow.simulate import simulate
from prunus.sim.cache import Cache, default_folder, digest

Array = NDArray[Any]
RECIPE = 2  # of the training below; a change makes what is in the cache another thing
HELD = 5000
MARKS = (40, 60, 100)
PES = 16
FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
         "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")  # fmt: skip
WINDOW = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained and compressed, and what the paper says of it.

    ``stages`` are densities, each pruned from the one before. ``paper``: ratio, error in percent;
    ``kept``: the percentage of weights that it keeps in each layer.
    """

    name: str
    paper: tuple[float, float]
    kept: tuple[int, ...]
    dense_epochs: int
    stages: tuple[float, ...]
    prune_epochs: int
    share_epochs: int
    loss: float
    batch: int = 128
    rate: float = 2e-3


# What each step of a recipe depends on, stages aside.
DENSE = ("name", "dense_epochs", "batch", "rate")
PRUNED = (*DENSE, "prune_epochs")
SHARED = (*PRUNED, "share_epochs", "loss")
RECIPES = {
    "lenet-300-100": Recipe(
        "lenet-300-100", (40, 1.58), (8, 9, 26), dense_epochs=25, stages=(0.04, 0.025),
        prune_epochs=16, share_epochs=5, loss=0.01,
    ),
    "lenet-5": Recipe(
        "lenet-5", (39, 0.74), (66, 12, 8, 19), dense_epochs=14, stages=(0.04,),
        prune_epochs=6, share_epochs=3, loss=0.002,
    ),
}  # fmt: skip


def network(name: str, seed: int = 0) -> Graph:
    """The untrained network, with He's initialization."""
    rng = np.random.default_rng(seed)
    spatial = name == "lenet-5"
    tensors = {"image": Tensor("image", (28, 28, 1) if spatial else (784,))}
    nodes: list[Node] = []

    def add(
        op: str, label: str, shape: tuple[int, ...], weight: Sequence[int] = (), **attrs: Any
    ) -> None:
        last = list(tensors)[-1]
        consts = {}
        if weight:
            scale = np.sqrt(2 / np.prod(weight[1:]))
            consts = {"weight": rng.normal(0, scale, tuple(weight)).astype(np.float32),
                      "bias": np.zeros(weight[0], np.float32)}  # fmt: skip
        nodes.append(Node(label, op, (last,), f"{label}.out", attrs, consts))
        tensors[f"{label}.out"] = Tensor(f"{label}.out", shape)

    pool = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}
    if spatial:
        add("convolution", "conv1", (24, 24, 20), (20, 5, 5, 1), **WINDOW)
        add("max_pool_2d", "pool1", (12, 12, 20), **pool)
        add("convolution", "conv2", (8, 8, 50), (50, 5, 5, 20), **WINDOW)
        add("max_pool_2d", "pool2", (4, 4, 50), **pool)
        add("reshape", "flat", (800,))
        add("dense", "ip1", (500,), (500, 800))
        add("relu", "relu1", (500,))
        add("dense", "ip2", (10,), (10, 500))
    else:
        add("dense", "ip1", (300,), (300, 784))
        add("relu", "relu1", (300,))
        add("dense", "ip2", (100,), (100, 300))
        add("relu", "relu2", (100,))
        add("dense", "ip3", (10,), (10, 100))
    last = list(tensors)[-1]
    return verify(Graph(name, ("image",), (last,), tensors, tuple(nodes)))


def mnist(folder: Path) -> list[Array]:
    """Images (n, 784) 0..1 and labels, of training and test."""
    found = []
    for name, head in zip(FILES, (16, 8, 16, 8), strict=True):
        with gzip.open(folder / name) as file:
            found.append(np.frombuffer(file.read(), np.uint8, offset=head))
    return [
        (found[0].reshape(-1, 784) / 255).astype(np.float32), found[1].astype(np.int64),
        (found[2].reshape(-1, 784) / 255).astype(np.float32), found[3].astype(np.int64),
    ]  # fmt: skip


def deform(x: Any, generator: Any) -> Any:
    """Images turned, scaled, sheared, moved and bent a little, each in its own way.

    Source: Simard et al., "Best practices for convolutional neural networks", 2003.
    """
    import torch
    from torch.nn import functional

    n = len(x)

    def some(size: float) -> Any:
        return (torch.rand(n, generator=generator) * 2 - 1) * size

    turn, shear = some(0.2), some(0.15)
    wide, high = 1 + some(0.12), 1 + some(0.12)
    cos, sin = torch.cos(turn), torch.sin(turn)
    rows = (
        torch.stack([cos * wide, shear - sin * high, some(0.1)], 1),
        torch.stack([sin * wide, cos * high, some(0.1)], 1),
    )
    places = functional.affine_grid(torch.stack(rows, 1), (n, 1, 28, 28), align_corners=False)
    bent = torch.randn(n, 2, 7, 7, generator=generator) * 0.06
    bent = functional.interpolate(bent, (28, 28), mode="bilinear", align_corners=True)
    image = x.reshape(n, 1, 28, 28)
    places = places + bent.permute(0, 2, 3, 1)
    return functional.grid_sample(image, places, align_corners=False).reshape(x.shape)


class Trainer:
    """The steps of a recipe, each from the cache where it is there."""

    def __init__(self, recipe: Recipe, arrays: list[Array], epochs: float, notify: Any):
        from prunus.compiler.train.data import make_data

        self.recipe, self.epochs, self.notify = recipe, epochs, notify
        start = network(recipe.name)
        shape = start.tensors["image"].shape
        x, y, self.test_x, self.test_y = arrays
        x, self.test_x = x.reshape(-1, *shape), self.test_x.reshape(-1, *shape)
        self.data = make_data(start, x[:-HELD], y[:-HELD], (x[-HELD:], y[-HELD:]))
        self.start = start
        self.key = {"recipe": RECIPE, "epochs": epochs, "samples": len(x),
                    "labels": digest(y[::97].tolist())}  # fmt: skip

    def made(self, step: str, used: tuple[str, ...], make: Callable[[Path], Graph]) -> Graph:
        """The graph of a step, which names all stages before it, by what it ``used``."""
        fields = {name: getattr(self.recipe, name) for name in used}
        key = digest(self.key | fields | {"step": step})
        part = default_folder() / "training" / f"{key}.pt"

        def fill(folder: Path) -> None:
            part.parent.mkdir(parents=True, exist_ok=True)
            store.save(make(part), folder / "graph.npz")
            for path in part.parent.glob(f"{key}*"):
                path.unlink()

        folder, _ = Cache("trained").get(key, fill)
        return store.load(folder / "graph.npz")

    def training(self, epochs: int, rate: float) -> Any:
        """Settings of one training."""
        from prunus.compiler.train.fit import Training

        return Training(epochs=max(1, round(epochs * self.epochs)), batch=self.recipe.batch,
                        rate=rate)  # fmt: skip

    def dense(self) -> Graph:
        """All weights, in floats."""
        from prunus.compiler.train.fit import fit
        from prunus.compiler.train.network import Network

        def make(part: Path) -> Graph:
            made = Network(self.start)
            fit(made, self.data, self.training(self.recipe.dense_epochs, self.recipe.rate),
                augment=deform, checkpoint=part, progress=self.notify,
                label=f"{self.recipe.name}: training")  # fmt: skip
            return made.export()

        return self.made("dense", DENSE, make)

    def pruned(self, stage: int) -> Graph:
        """The float network with a stage's share of its weights."""
        from prunus.compiler.train.network import Network
        from prunus.compiler.train.pipeline import prune_steps

        density = self.recipe.stages[stage]

        def make(part: Path) -> Graph:
            before = self.pruned(stage - 1) if stage else self.dense()
            return prune_steps(
                before, self.data, density,
                self.training(self.recipe.prune_epochs, self.recipe.rate),
                teacher=Network(self.dense()), augment=deform, until=0.5, checkpoint=part,
                criterion="obd", every=150,
                progress=self.notify, label=f"{self.recipe.name}: pruning to {density:.1%}",
            )  # fmt: skip

        return self.made(f"pruned {self.recipe.stages[: stage + 1]}", PRUNED, make)

    def shared(self, stage: int) -> Graph:
        """The int8 network with trained codebooks."""
        from prunus.compiler.train.network import Network
        from prunus.compiler.train.pipeline import quantize_step, share_step

        def make(part: Path) -> Graph:
            graph, _ = share_step(
                quantize_step(self.pruned(stage), self.data), self.data,
                self.training(self.recipe.share_epochs, self.recipe.rate / 2),
                loss=self.recipe.loss, teacher=Network(self.dense()), augment=deform,
                checkpoint=part, progress=self.notify,
                label=f"{self.recipe.name}: sharing at {self.recipe.stages[stage]:.1%}",
            )  # fmt: skip
            return graph

        return self.made(f"shared {self.recipe.stages[: stage + 1]}", SHARED, make)

    def error(self, graph: Graph) -> float:
        """Of the test images, in percent."""
        return 100 * (1 - accuracy(graph, self.test_x, self.test_y))

    def row(self, label: str, graph: Graph) -> dict[str, Any]:
        """A model's figures."""
        build = compile_graph(graph, options=Options(pes=PES))
        return {
            "model": label, "bytes": build.rom_bytes, "ratio": ratio(self.start, build),
            "error": self.error(graph), "layers": layer_rows(self.start, build, graph),
        }  # fmt: skip

    def ablation(self, stage: int) -> list[dict[str, Any]]:
        """What each method adds, at one density."""
        from prunus.compiler.passes.prune import prune
        from prunus.compiler.train.pipeline import quantize_step

        dense, pruned, shared = self.dense(), self.pruned(stage), self.shared(stage)
        bits = {node.name: bits_of(node) for node in layers(shared)}
        int8, healed = quantize_step(dense, self.data), quantize_step(pruned, self.data)
        density = self.recipe.stages[stage]
        more = {name: count + 1 for name, count in bits.items()}  # zero takes an entry
        cut = quantize_step(prune(dense, density, scope="network"), self.data)
        return [
            self.row("int8, Huffman", int8),
            self.row("codebooks alone, not trained", share(int8, more)),
            self.row("pruned at once, not trained", cut),
            self.row("pruned while trained", healed),
            self.row("and codebooks, not trained", share(healed, bits)),
            self.row("and trained", shared),
        ]


def bits_of(node: Node) -> int:
    """Bits of a code for each value of a layer that is not zero."""
    weight = node.consts["weight"]
    return max(1, int(len(np.unique(weight[weight != 0])) - 1).bit_length())


def ratio(start: Graph, build: Build) -> float:
    """Weights and biases of the original in float32, over the whole image."""
    count = sum(int(node.consts[key].size) for node in layers(start) for key in ("weight", "bias"))
    return 4 * count / build.rom_bytes


def plain_runs(weight: Array, pes: int, width: int = 5) -> int:
    """Run entries, fillers included, of a matrix whose rows are dealt to PEs in turn."""
    matrix = weight.reshape(len(weight), -1)
    total = 0
    for pe in range(min(pes, len(matrix))):
        places = np.flatnonzero(matrix[pe::pes].T.ravel())
        gaps = np.diff(places, prepend=-1) - 1
        total += len(places) + int((gaps >> width).sum())
    return total


def layer_rows(start: Graph, build: Build, graph: Graph) -> list[dict[str, Any]]:
    """For each layer: weights kept, and bits of a kept weight before and after Huffman coding."""
    coded = {layer.name: layer for layer in build.layers}
    rows = []
    for first, node in zip(layers(start), layers(graph), strict=True):
        weight, layer = node.consts["weight"], coded[node.name]
        kept = int(np.count_nonzero(weight))
        sparse = layer.rom.run_bits > 0
        rows.append({
            "name": node.name, "weights": int(first.consts["weight"].size), "kept": kept,
            "engine": layer.engine, "values": len(np.unique(weight[weight != 0])),
            "code_before": float(bits_of(node)) if sparse else 8.0 * weight.size / max(1, kept),
            "code_after": layer.rom.code_bits / max(1, kept),
            "run_before": 5.0 * plain_runs(weight, PES) / max(1, kept) if sparse else 0.0,
            "run_after": layer.rom.run_bits / max(1, kept), "bytes": layer.rom_bits / 8,
        })  # fmt: skip
    return rows


def run(name: str, folder: Path, samples: int, epochs: float, ablate: bool, notify: Any) -> Any:
    """Everything about one network."""
    recipe = RECIPES[name]
    trainer = Trainer(recipe, mnist(folder), epochs, notify)
    dense = trainer.dense()
    result: dict[str, Any] = {"network": name, "paper": recipe.paper, "kept": recipe.kept,
                              "dense_error": trainer.error(dense), "models": []}  # fmt: skip
    for stage, density in enumerate(recipe.stages):
        graph = trainer.shared(stage)
        row = trainer.row(f"{density:.1%} of the weights", graph)
        if samples:
            build = compile_graph(graph, options=Options(pes=PES))
            ran = simulate(build, trainer.test_x[:samples], progress=notify)
            row |= {"samples": ran.samples, "bit_exact": ran.bit_exact,
                    "cycles": float(np.mean(ran.cycles))}  # fmt: skip
        result["models"].append(row)
    if ablate:
        result["ablation"] = trainer.ablation(0)
    return result


def show(result: dict[str, Any]) -> None:
    """Tables."""
    least, most = result["paper"]
    print(f"\n## {result['network']}: {result['dense_error']:.2f} % error before compression\n")
    print("| model | bytes | ratio | error, % | marks | cycles | bit-exact |")
    print("|---|---:|---:|---:|---|---:|---|")
    print(f"| Deep Compression | | {least:.0f} | {most:.2f} | | | |")
    for row in result["models"]:
        marks = ", ".join(f"{mark}x" for mark in MARKS if row["ratio"] >= mark)
        held = marks if row["error"] <= most else f"({marks}; above {most} %)"
        exact = (
            f"{'yes' if row['bit_exact'] else 'NO'}, {row['samples']:,}" if "samples" in row else ""
        )
        cycles = f"{row['cycles']:,.0f}" if "cycles" in row else ""
        print(f"| {row['model']} | {row['bytes']:,} | {row['ratio']:.1f} | {row['error']:.2f} "
              f"| {held} | {cycles} | {exact} |")  # fmt: skip
    for row in result["models"]:
        print(f"\n{row['model']}\n\n| layer | engine | weights | kept | paper | values "
              "| code bits, before | after | run bits, before | after | bytes |\n"
              "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
        for layer, paper in zip(row["layers"], result["kept"], strict=True):
            print(f"| {layer['name']} | {layer['engine']} | {layer['weights']:,} "
                  f"| {layer['kept'] / layer['weights']:.1%} | {paper} % | {layer['values']} "
                  f"| {layer['code_before']:.1f} | {layer['code_after']:.2f} "
                  f"| {layer['run_before']:.2f} | {layer['run_after']:.2f} "
                  f"| {layer['bytes']:,.0f} |")  # fmt: skip
    if "ablation" in result:
        print(
            "\nwhat each method adds\n\n| model | bytes | ratio | error, % |\n|---|---:|---:|---:|"
        )
        for row in result["ablation"]:
            print(
                f"| {row['model']} | {row['bytes']:,} | {row['ratio']:.1f} | {row['error']:.2f} |"
            )


def main(argv: list[str] | None = None) -> int:
    parser = training_parser(__doc__ or "", list(RECIPES), 1000, "test images through the gates")
    parser.add_argument("--no-ablation", action="store_true")
    arguments, folder = read_arguments(parser, argv, list(RECIPES), "mnist")
    results = [
        run(name, folder, arguments.samples, arguments.epochs, not arguments.no_ablation, notify)
        for name in arguments.networks
    ]
    if arguments.json:
        print(json.dumps(results))
    else:
        for result in results:
            show(result)
    exact = all(row.get("bit_exact", True) for r in results for row in r["models"])
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
