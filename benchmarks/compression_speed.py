"""Time and memory of compressing a network of 61 million weights: random ones of AlexNet's shapes.

Pruned to the densities of Deep Compression, shared in 8 bits (convolutions) and 5 bits (fully
connected), brought to int8, placed on an accelerator of both arrays, and written as a ROM image.
The memory of a step is the process' peak until its end, this program and its libraries included.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.compiler.assemble import Assembly, assemble
from prunus.compiler.evaluate import split_host
from prunus.compiler.importers.onnx_spatial import spread
from prunus.compiler.ir import Graph, Node, Tensor, verify
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.layers import layers
from prunus.compiler.passes.prune import prune
from prunus.compiler.passes.share import share
from prunus.compiler.plan import Options, plan

# Outputs, channels of a group, kernel, stride, padding, groups, pool behind it; weights that stay.
CONVOLUTIONS = (
    ("conv1", 96, 3, 11, 4, 0, 1, True, 0.84),
    ("conv2", 256, 48, 5, 1, 2, 2, True, 0.38),
    ("conv3", 384, 256, 3, 1, 1, 1, False, 0.35),
    ("conv4", 384, 192, 3, 1, 1, 2, False, 0.37),
    ("conv5", 256, 192, 3, 1, 1, 2, True, 0.37),
)
MATRICES = (("fc6", 4096, 9216, 0.09), ("fc7", 4096, 4096, 0.09), ("fc8", 1000, 4096, 0.25))
INPUT = (227, 227, 3)
SECONDS, MEMORY = 60.0, 4 << 30  # what it may take on two cores


class AlexNet:
    """The graph, layer after layer; without the normalizations, which have no weights."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.tensors = [Tensor("x", INPUT)]
        self.nodes: list[Node] = []
        self.density: dict[str, float] = {}
        self.bits: dict[str, int] = {}
        self.weights = 0
        for name, outputs, channels, size, stride, padding, groups, pooled, kept in CONVOLUTIONS:
            weight = self.random(outputs, size, size, channels)
            # Outside of its group an output has zeros, which count as pruned.
            self.density[name], self.bits[name] = kept / groups, 8
            side = (self.shape[0] + 2 * padding - size) // stride + 1
            attrs = {"stride": (stride,) * 2, "padding": (padding,) * 4, "dilation": (1, 1)}
            consts = {"weight": spread(weight, groups), "bias": np.zeros(outputs, np.float32)}
            self.add(name, "convolution", (side, side, outputs), attrs, consts)
            self.add(f"{name}_relu", "relu", (side, side, outputs))
            if pooled:
                attrs = {"kernel": (3, 3), "stride": (2, 2), "padding": (0, 0, 0, 0)}
                side = (side - 3) // 2 + 1
                self.add(f"{name}_pool", "max_pool_2d", (side, side, outputs), attrs)
        self.add("flat", "reshape", (int(np.prod(self.shape)),))
        for name, outputs, inputs, kept in MATRICES:
            weight = self.random(outputs, inputs)
            self.density[name], self.bits[name] = kept, 5
            consts = {"weight": weight, "bias": np.zeros(outputs, np.float32)}
            self.add(name, "dense", (outputs,), {}, consts)
            if name != MATRICES[-1][0]:
                self.add(f"{name}_relu", "relu", (outputs,))
        tensors = {tensor.name: tensor for tensor in self.tensors}
        last = (self.tensors[-1].name,)
        self.graph = verify(Graph("alexnet", ("x",), last, tensors, tuple(self.nodes)))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensors[-1].shape

    def random(self, *shape: int) -> NDArray[np.float32]:
        """Weights of a shape; the first axis is that of the outputs."""
        self.weights += int(np.prod(shape))
        weight = self.rng.standard_normal(shape, np.float32)
        weight *= np.float32((2 / np.prod(shape[1:])) ** 0.5)
        return weight

    def add(self, name: str, op: str, shape: tuple[int, ...], *more: Any) -> None:
        """Append a node."""
        self.nodes.append(Node(name, op, (self.tensors[-1].name,), f"{name}:y", *more))
        self.tensors.append(Tensor(f"{name}:y", shape))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    rows: list[dict[str, Any]] = []

    def timed(name: str, step: Callable[[], Any]) -> Any:
        print(f"{name} ...", file=sys.stderr)
        begun, spent = time.perf_counter(), time.process_time()
        result = step()
        seconds, spent = time.perf_counter() - begun, time.process_time() - spent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        rows.append({"step": name, "seconds": seconds, "cpu_seconds": spent, "peak_bytes": peak})
        return result

    net: AlexNet = timed("make", lambda: AlexNet(arguments.seed))
    graph = net.graph
    net.nodes.clear()
    graph = timed("prune", lambda: prune(graph, net.density))
    graph = timed("share", lambda: share(graph, net.bits))
    x = np.random.default_rng(arguments.seed).random((1, *INPUT))
    graph = timed("int8", lambda: calibrate(graph, x))
    core = split_host(graph)[1]
    placed = timed("place", lambda: plan(core, Options(pes=64, engine="eie")))
    made: Assembly = timed("code", lambda: assemble(placed))
    kept = sum(int(np.count_nonzero(node.consts["weight"])) for node in layers(graph))
    # Making the network is not compressing it.
    seconds, spent = (sum(row[key] for row in rows[1:]) for key in ("seconds", "cpu_seconds"))
    peak = rows[-1]["peak_bytes"]
    within = seconds <= SECONDS and peak <= MEMORY
    if arguments.json:
        result = {"steps": rows, "seconds": seconds, "peak_bytes": peak, "weights": net.weights,
                  "nonzeros": kept, "image_bytes": len(made.image)}  # fmt: skip
        print(json.dumps(result))
        return 0 if within else 1
    print("| step | seconds | of processors | peak, MiB |\n|---|---:|---:|---:|")
    every = {"step": "all but make", "seconds": seconds, "cpu_seconds": spent, "peak_bytes": peak}
    for row in (*rows, every):
        print(f"| {row['step']} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} "
              f"| {row['peak_bytes'] / (1 << 20):,.0f} |")  # fmt: skip
    print(f"\n{net.weights:,} weights, {kept:,} of them kept; the image has {len(made.image):,} "
          f"bytes, {4 * net.weights / len(made.image):.1f} times less than float32")  # fmt: skip
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
