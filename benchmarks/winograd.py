"""What the Winograd unit gains: layers and networks, in the gates.

First ic's four 3x3 layers of stride 1, each a network of its own of the same size with random
weights: cycles from the engine's start to the last activation, with reading, transforms and edge
tiles; those of the cost model; those of the systolic array by its cost model; and
multiply-accumulates of the convolution for each multiplication and cycle.

Then whole networks, each without and with the unit beside a systolic array of the same size: ic
(MLPerf Tiny), ResNet-20 and ResNet-32 for CIFAR-10, calibrated on random inputs. Every layer of
every sample is compared with the golden model. These are read from ``$PRUNUS_DATA``, and left out
where it is not there.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from data import data_folder
from numpy.typing import NDArray

from prunus.compiler.ir import Graph, Node, Tensor, verify
from prunus.compiler.load import load_model
from prunus.compiler.options import Options
from prunus.flow.build import Build
from prunus.flow.compile import compile_graph
from prunus.flow.simulate import simulate
from prunus.hw.winograd.geometry import Geometry

# Height and width, channels in and out.
LAYERS = ((32, 16), (32, 16), (16, 32), (8, 64))
LEAST = 3.0  # multiply-accumulates for each multiplier and cycle
NETWORKS = {
    "ic": "mlperf_tiny/models/ic/pretrainedResnet_quant.tflite",
    "resnet-20": "cifar10_resnet/resnet20_cifar10.onnx",
    "resnet-32": "cifar10_resnet/resnet32_cifar10.onnx",
}
Array = NDArray[Any]


def layer(size: int, channels: int) -> Graph:
    """A 3x3 convolution, padded, of as many channels as there are in its input."""
    rng = np.random.default_rng(size)
    weight = rng.integers(-127, 128, (channels, 3, 3, channels)).astype(np.int8)
    consts = {
        "weight": weight,
        "bias": rng.integers(-5000, 5000, channels).astype(np.int32),
        "multiplier": rng.integers(1 << 30, 1 << 31, channels),
        "shift": np.full(channels, -8 - int(np.log2(np.sqrt(9 * channels)))),
    }
    attrs = {
        "stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "rounding": "double",
        "clamp": (-128, 127),
    }  # fmt: skip
    shape = size, size, channels
    tensors = {"x": Tensor("x", shape, 0.1, -7), "y": Tensor("y", shape, 0.1, 3)}
    name = f"{size}x{size}x{channels}"
    node = Node(name, "conv_2d", ("x",), "y", attrs, consts)
    return verify(Graph(name, ("x",), ("y",), tensors, (node,)))


def measured(build: Build, x: Array) -> tuple[list[int], int, bool]:
    """Cycles of each layer and of the network, and whether all was equal."""
    ran = simulate(build, x)
    return [round(found.cycles) for found in ran.layers], max(ran.cycles), bool(ran.bit_exact)


def layer_row(size: int, channels: int) -> dict[str, Any]:
    """A layer on the unit."""
    graph = layer(size, channels)
    build = compile_graph(graph, options=Options(engine="winograd"))
    x = np.random.default_rng(1).integers(-128, 128, (1, size, size, channels)).astype(np.int8)
    (cycles,), _, equal = measured(build, x)
    (planned,) = build.layers
    multipliers = Geometry.of(build.config).multipliers
    return {
        "layer": build.graph.name,
        "macs": planned.macs,
        "cycles": cycles,
        "predicted": planned.cycles,
        "systolic": planned.costs["systolic"],
        "multipliers": multipliers,
        "macs_per_multiplier": planned.macs / multipliers / cycles,
        "equal": equal,
    }


def network_row(name: str, path: Path) -> dict[str, Any]:
    """A network without and with the unit."""
    graph = load_model(path)
    rng = np.random.default_rng(0)
    shape = graph.tensors[graph.inputs[0]].shape
    if graph.quantized:
        batch, x = None, rng.integers(-128, 128, (1, *shape)).astype(np.int8)
    else:
        batch = rng.normal(0, 1, (8, *shape))
        x = batch[:1]
    row: dict[str, Any] = {"network": name}
    equal = True
    for key, engine in (("systolic", "systolic"), ("winograd", "auto")):
        build = compile_graph(graph, calibration=batch, options=Options(engine=engine))
        _, row[key], same = measured(build, x)
        row[f"{key}_predicted"] = sum(planned.cycles for planned in build.layers)
        row["macs"] = build.macs
        equal &= same
    return row | {"equal": equal}


def main(argv: list[str] | None = None) -> int:
    """Print the tables; the exit status says whether everything was equal and fast enough."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="*", default=tuple(NETWORKS), choices=tuple(NETWORKS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    folder = data_folder()
    found = {size: layer_row(*size) for size in dict.fromkeys(LAYERS)}
    layers = [found[size] for size in LAYERS]
    networks = [
        network_row(name, folder / NETWORKS[name])
        for name in arguments.networks
        if (folder / NETWORKS[name]).is_file()
    ]
    if arguments.json:
        print(json.dumps({"layers": layers, "networks": networks}))
    else:
        print("\n".join(table(layers, networks)))
    rows = (*layers, *networks)
    fast = all(row["macs_per_multiplier"] >= LEAST for row in layers)
    return 0 if fast and all(row["equal"] for row in rows) else 1


def table(layers: list[dict[str, Any]], networks: list[dict[str, Any]]) -> list[str]:
    """Both tables as Markdown."""
    lines = [
        "| layer | MAC | cycles | predicted | systolic | MAC / multiplier / cycle | equal |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in layers:
        lines.append(
            f"| {row['layer']} | {row['macs']:,} | {row['cycles']:,} | {row['predicted']:,} "
            f"| {row['systolic']:,} | {row['macs_per_multiplier']:.2f} "
            f"| {'yes' if row['equal'] else 'NO'} |"
        )
    if networks:
        lines += ["", "| network | MAC | without | with | predicted | equal |",
                  "|---|---:|---:|---:|---:|---|"]  # fmt: skip
    for row in networks:
        lines.append(
            f"| {row['network']} | {row['macs']:,} | {row['systolic']:,} | {row['winograd']:,} "
            f"| {row['winograd_predicted']:,} | {'yes' if row['equal'] else 'NO'} |"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
