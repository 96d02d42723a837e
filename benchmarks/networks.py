"""MLPerf Tiny's four int8 models, and the two networks of NNgen's examples, as RTL simulation.

Each model gets the accelerator that it would get for a board. NNgen's networks get as many
multipliers as NNgen had for them, those of the requantization counted, and random weights; NNgen's
cycles are those of its own simulation, with weights in external memory.

Cycles are those of the gates, from the start of the program to the last activation; every layer
of every sample is compared with the golden model, and the outputs of MLPerf Tiny's with those of
the TFLite reference interpreter. Utilization is executed multiplications over what the multiplier
blocks of the arrays could have done: two a cycle and block in the systolic array, one in a PE of
the EIE array, where only non-zero weights times non-zero activations count as work.

The models and the golden outputs are read from ``$PRUNUS_DATA`` (see the README).
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from prunus.boards.registry import find_board
from prunus.compiler.load import load_model
from prunus.compiler.plan import Options
from prunus.flow.build import Build
from prunus.flow.compile import compile_graph, compile_model
from prunus.flow.simulate import Simulation, simulate

MODELS = {
    "kws": "models/kws/kws_ref_model.tflite",
    "ic": "models/ic/pretrainedResnet_quant.tflite",
    "vww": "models/vww/vww_96_int8.tflite",
    "ad": "models/ad/ad01_int8.tflite",
}
# NNgen's cycles, as published in this project's notes: its own examples, int8, own simulation.
PEERS = {
    "nngen-mlp": (70_506, Options(pes=2, lanes=1, lane_blocks=2)),
    "nngen-cnn": (1_788_938, Options(pes=0, lanes=2)),
}
Array = NDArray[Any]


def tiny(folder: Path, name: str, board: str, samples: int) -> tuple[Build, Array, Array]:
    """One of MLPerf Tiny: its build, inputs, and what the reference gives."""
    build = compile_model(folder / MODELS[name], board=find_board(board))
    golden = np.load(folder / "golden" / f"{name}_int8_golden.npz")
    shape = build.graph.tensors[build.graph.inputs[0]].shape
    x = np.stack([golden[f"s{n}_in"].reshape(shape) for n in range(samples)])
    return build, x, golden["out_ref_first"][:samples]


def peer(name: str, samples: int) -> tuple[Build, Array, None]:
    """One of NNgen's examples, with random weights."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []

    def layer(op: str, before: str, shape: tuple[int, ...], relu: bool, **attributes: Any) -> str:
        n = len(weights)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights.append(numpy_helper.from_array(
            rng.normal(0, scale, shape).astype(np.float32), f"w{n}"))  # fmt: skip
        nodes.append(helper.make_node(op, [before, f"w{n}"], [f"t{n}"], f"layer{n}", **attributes))
        if relu:
            nodes.append(helper.make_node("Relu", [f"t{n}"], [f"r{n}"], f"relu{n}"))
        return f"r{n}" if relu else f"t{n}"

    if name == "nngen-mlp":
        size: tuple[int, ...] = (784,)
        last = layer("Gemm", "x", (128, 784), True, transB=1)
    else:
        size = (3, 32, 32)
        last = layer("Conv", "x", (64, 3, 3, 3), True, pads=[1, 1, 1, 1])
        nodes.append(helper.make_node("MaxPool", [last], ["p"], "pool", kernel_shape=[2, 2],
                                      strides=[2, 2]))  # fmt: skip
        last = layer("Conv", "p", (64, 64, 3, 3), True, pads=[1, 1, 1, 1])
        nodes.append(helper.make_node("Flatten", [last], ["f"], "flatten"))
        last = layer("Gemm", "f", (256, 16 * 16 * 64), True, transB=1)
    last = layer("Gemm", last, (10, 128 if name == "nngen-mlp" else 256), False, transB=1)
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("x", kind, ["n", *size])],
        [helper.make_tensor_value_info(last, kind, ["n", 10])], weights,
    )  # fmt: skip
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"prunus-{name}-{os.getpid()}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    try:
        imported = load_model(path)
    finally:
        path.unlink()
    x = rng.normal(0, 1, (max(8, samples), *imported.tensors[imported.inputs[0]].shape))
    build = compile_graph(imported, calibration=x, options=PEERS[name][1])
    return build, x[:samples], None


def measure(build: Build, x: Array, reference: Array | None) -> dict[str, Any]:
    """The samples through the gates."""
    ran: Simulation = simulate(build, x)
    equal = reference is None or np.array_equal(ran.outputs.ravel(), reference.ravel())
    config = build.config
    return {
        "cycles": max(ran.cycles),
        "equal": bool(ran.bit_exact and equal),
        "macs": build.macs,
        "multipliers": config.pes + config.columns * config.act_word,
        "requantization_multipliers": config.lanes * config.lane_blocks,
        "rom_bytes": build.rom_bytes,
        "weight_bytes": sum(layer.weights for layer in build.layers),
        "activation_bytes": config.act_depth * config.act_word,
        "layers": [
            {"name": layer.name, "engine": layer.engine, "cycles": layer.cycles,
             "utilization": layer.utilization}
            for layer in ran.layers
        ],
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    names = (*MODELS, *PEERS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=names, metavar="NETWORK",
                        help=f"of {', '.join(names)} (default: all)")  # fmt: skip
    parser.add_argument("--board", default="ulx3s-85f")
    parser.add_argument("--samples", type=int, default=1, choices=(1, 2))
    parser.add_argument("--layers", action="store_true", help="a line for each layer as well")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    for name in arguments.networks:
        if name not in names:
            parser.error(f"NETWORK must be of {', '.join(names)}, not {name!r}")
    folder = Path(os.environ.get("PRUNUS_DATA", "../shared/data")) / "mlperf_tiny"
    if not folder.is_dir() and any(name in MODELS for name in arguments.networks):
        parser.error(f"{folder}: no such folder; set PRUNUS_DATA to where the models are")
    rows = []
    for name in arguments.networks:
        print(f"{name} ...", file=sys.stderr)
        made = (
            tiny(folder, name, arguments.board, arguments.samples)
            if name in MODELS
            else peer(name, arguments.samples)
        )
        rows.append({"network": name, **measure(*made), "nngen_cycles": PEERS.get(name, (0,))[0]})
    if arguments.json:
        print(json.dumps(rows))
    else:
        _print(rows, arguments.layers)
    return 0 if all(row["equal"] for row in rows) else 1


def _print(rows: list[dict[str, Any]], layers: bool) -> None:
    print("| network | MAC | multipliers | cycles | NNgen's | utilization | ROM, bytes | weights "
          "| activations | equal |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|")
    for row in rows:
        total = sum(layer["cycles"] for layer in row["layers"]) or 1
        use = sum(layer["cycles"] * layer["utilization"] for layer in row["layers"]) / total
        peer_cycles = f"{row['nngen_cycles']:,}" if row["nngen_cycles"] else ""
        print(f"| {row['network']} | {row['macs']:,} "
              f"| {row['multipliers']} + {row['requantization_multipliers']} | {row['cycles']:,} "
              f"| {peer_cycles} | {use:.1%} | {row['rom_bytes']:,} | {row['weight_bytes']:,} "
              f"| {row['activation_bytes']:,} | {'yes' if row['equal'] else 'NO'} |")  # fmt: skip
    for row in rows if layers else []:
        print(
            f"\n{row['network']}\n\n| layer | engine | cycles | utilization |\n|---|---|---:|---:|"
        )
        for layer in row["layers"]:
            print(f"| {layer['name']} | {layer['engine']} | {layer['cycles']:,.0f} "
                  f"| {layer['utilization']:.1%} |")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
