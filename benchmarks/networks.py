"""MLPerf Tiny's four int8 models and the two networks of NNgen's own examples, as RTL simulation.

Each of MLPerf Tiny's gets the accelerator that it would get for a board. NNgen's networks get as
many multipliers for products as NNgen had for them, or fewer; those for requantization, of which
NNgen has some as well, are counted beside them. Weights and inputs of its networks are random, as
in its examples; its cycles are from its own simulation, with weights in external memory.

Cycles are those of the gates, from the start of the program to the last activation, the largest of
the samples. Every layer of every sample is compared with the golden model, and the outputs of
MLPerf Tiny's models with those of the TFLite reference interpreter.

Utilization is multiplications that were executed over those of an engine's multiplier blocks at two
a cycle each. A block in the systolic array does two, one that is a PE of the EIE array does one:
there 50% is all. Winograd's algorithm makes do with a quarter of them: there 200% is. Channels that
are constant are not executed; on the EIE array neither are weights of zero and activations at their
zero point.

The models and the golden outputs are read from ``$PRUNUS_DATA/mlperf_tiny``.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from data import data_folder, needed
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from prunus.boards.registry import find_board
from prunus.compiler.ir import Graph
from prunus.compiler.load import load_model
from prunus.compiler.plan import Options
from prunus.flow.build import Build
from prunus.flow.compile import compile_graph, compile_model
from prunus.flow.simulate import simulate
from prunus.hw.config import Config

# File, and the most cycles that are aimed for.
MODELS = {
    "kws": ("models/kws/kws_ref_model.tflite", 20_000),
    "vww": ("models/vww/vww_96_int8.tflite", 60_000),
    "ic": ("models/ic/pretrainedResnet_quant.tflite", 56_000),
    "ic-winograd": ("models/ic/pretrainedResnet_quant.tflite", 38_000),
    "ad": ("models/ad/ad01_int8.tflite", 6_000),
}
# NNgen's multipliers and cycles (int8, two input and two output channels at a time), and ours.
PEERS = {
    "nngen-mlp": (4, 70_506, Options(pes=4, lanes=1)),
    "nngen-cnn": (36, 1_788_938, Options(pes=16, act_word=8, lanes=2)),
}
MOST_BLOCKS = 144  # of multipliers, on the ECP5-85F
Array = NDArray[Any]


def tiny(folder: Path, name: str, board: str, samples: int) -> tuple[Build, Array, Array]:
    """One of MLPerf Tiny: its build, inputs, and what the reference gives."""
    name, _, engine = name.partition("-")
    options = Options(engine=engine or "auto")
    build = compile_model(folder / MODELS[name][0], board=find_board(board), options=options)
    shape = build.graph.tensors[build.graph.inputs[0]].shape
    with np.load(folder / "golden" / f"{name}_int8_golden.npz") as golden:
        x = np.stack([golden[f"s{n}_in"].reshape(shape) for n in range(samples)])
        return build, x, golden["out_ref_first"][:samples]


def peer(name: str, samples: int) -> tuple[Build, Array, None]:
    """One of NNgen's examples: mlp.py or cnn.py."""
    rng = np.random.default_rng(0)
    graph = (mlp if name == "nngen-mlp" else cnn)(rng)
    x = rng.normal(0, 1, (max(8, samples), *graph.tensors[graph.inputs[0]].shape))
    build = compile_graph(graph, calibration=x, options=PEERS[name][2])
    return build, x[:samples], None


def mlp(rng: np.random.Generator) -> Graph:
    """784 - 128 - 10, fully connected."""
    return _network("mlp", (784,), (("Gemm", (128, 784)), ("Gemm", (10, 128))), rng)


def cnn(rng: np.random.Generator) -> Graph:
    """Two 3x3 convolutions on 32x32x3, a pool between them, two fully-connected layers."""
    layers = (
        ("Conv", (64, 3, 3, 3)),
        ("MaxPool", ()),
        ("Conv", (64, 64, 3, 3)),
        ("Flatten", ()),
        ("Gemm", (256, 16 * 16 * 64)),
        ("Gemm", (10, 256)),
    )
    return _network("cnn", (3, 32, 32), layers, rng)


def _network(
    name: str,
    size: tuple[int, ...],
    layers: tuple[tuple[str, tuple[int, ...]], ...],
    rng: np.random.Generator,
) -> Graph:
    """A chain with random weights, a Relu after each layer that has some but the last."""
    attributes: dict[str, dict[str, Any]] = {
        "Gemm": {"transB": 1},
        "Conv": {"pads": [1, 1, 1, 1]},
        "MaxPool": {"kernel_shape": [2, 2], "strides": [2, 2]},
        "Flatten": {},
    }
    nodes, weights, last = [], [], "x"
    for n, (op, shape) in enumerate(layers):
        inputs = [last]
        if shape:
            deviation = np.sqrt(2 / np.prod(shape[1:]))
            value = rng.normal(0, deviation, shape).astype(np.float32)
            weights.append(numpy_helper.from_array(value, f"w{n}"))
            inputs.append(f"w{n}")
        last = f"t{n}"
        nodes.append(helper.make_node(op, inputs, [last], f"layer{n}", **attributes[op]))
        if shape and n < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [last], [f"r{n}"], f"relu{n}"))
            last = f"r{n}"
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("x", kind, ["n", *size])],
        [helper.make_tensor_value_info(last, kind, ["n", layers[-1][1][0]])], weights,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        path = Path(folder) / f"{name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
        return load_model(path)


def multipliers(config: Config) -> dict[str, int]:
    """Multiplier blocks of each engine; those of the requantization are not among them."""
    return {"eie": config.pes, "systolic": config.columns * config.act_word, "window": 0}


def measure(build: Build, x: Array, reference: Array | None) -> dict[str, Any]:
    """The samples through the gates."""
    ran = simulate(build, x)
    equal = reference is None or np.array_equal(ran.outputs.ravel(), reference.ravel())
    config = build.config
    blocks = multipliers(config)
    executed = sum(layer.work for layer in ran.layers)
    of_layer = blocks | {"winograd": blocks["systolic"]}  # has no others
    cycles = max(ran.cycles)
    return {
        "cycles": cycles,
        "equal": bool(ran.bit_exact and equal),
        "macs": build.macs,
        "multipliers": sum(blocks.values()),
        "requantization_multipliers": config.lanes * config.lane_blocks,
        "utilization": executed / (2 * sum(blocks.values()) * np.mean(ran.cycles)),
        "rom_bytes": build.rom_bytes,
        "weight_bytes": sum(layer.weights for layer in build.layers),
        "activation_bytes": config.act_depth * config.act_word,
        "layers": [
            {
                "name": layer.name,
                "engine": layer.engine,
                "macs": round(layer.work),
                "cycles": round(layer.cycles),
                "utilization": layer.work / max(1, 2 * of_layer[layer.engine] * layer.cycles),
            }
            for layer in ran.layers
        ],
    }


def main(argv: list[str] | None = None) -> int:
    """Print the table; the exit status says whether everything was equal, and within its limit."""
    names = (*MODELS, *PEERS)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", nargs="*", default=names, metavar="NETWORK",
                        help=f"of {', '.join(names)} (default: all)")  # fmt: skip
    parser.add_argument("--board", default="ulx3s-85f")
    parser.add_argument("--samples", type=int, default=2, choices=(1, 2))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    for name in arguments.networks:
        if name not in names:
            parser.error(f"NETWORK must be of {', '.join(names)}, not {name!r}")
    folder = data_folder() / "mlperf_tiny"
    if any(name in MODELS for name in arguments.networks):
        needed(parser, "mlperf_tiny")
    rows = []
    for name in arguments.networks:
        print(f"{name} ...", file=sys.stderr)
        made: tuple[Build, Array, Array | None]
        if name in MODELS:
            made = tiny(folder, name, arguments.board, arguments.samples)
            beside = {"most_cycles": MODELS[name][1], "most_multipliers": MOST_BLOCKS}
        else:
            made = peer(name, arguments.samples)
            beside = {"nngen_multipliers": PEERS[name][0], "nngen_cycles": PEERS[name][1]}
        rows.append({"network": name, **measure(*made), **beside})
    if arguments.json:
        print(json.dumps({"board": arguments.board, "networks": rows}))
    else:
        print("\n".join(table(rows)))
    return 0 if all(good(row) for row in rows) else 1


def good(row: dict[str, Any]) -> bool:
    """Equal, and within the cycles and multipliers that are aimed for."""
    used = row["multipliers"] + row["requantization_multipliers"]
    return bool(
        row["equal"]
        and row["cycles"] <= row.get("most_cycles", row["cycles"])
        and used <= row.get("most_multipliers", used)
    )


def table(rows: list[dict[str, Any]]) -> list[str]:
    """All networks, and the layers of each, as Markdown."""
    heads = ("network", "MAC", "blocks", "cycles", "aim, or NNgen", "ratio", "utilization",
             "ROM, bytes", "weights", "activations", "equal")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 2)}---|"]
    for row in rows:
        other = row.get("most_cycles") or row["nngen_cycles"]
        lines.append(
            f"| {row['network']} | {row['macs']:,} "
            f"| {row['multipliers']} + {row['requantization_multipliers']} | {row['cycles']:,} "
            f"| {other:,} | {other / row['cycles']:.2f} | {row['utilization']:.1%} "
            f"| {row['rom_bytes']:,} | {row['weight_bytes']:,} | {row['activation_bytes']:,} "
            f"| {'yes' if row['equal'] else 'NO'} |"
        )
    for row in rows:
        lines += ["", row["network"], "", "| layer | engine | executed | cycles | utilization |",
                  "|---|---|---:|---:|---:|"]  # fmt: skip
        for layer in row["layers"]:
            use = f"{layer['utilization']:.1%}" if layer["macs"] else ""
            lines.append(f"| {layer['name']} | {layer['engine']} | {layer['macs']:,} "
                         f"| {layer['cycles']:,} | {use} |")  # fmt: skip
    return lines


if __name__ == "__main__":
    sys.exit(main())
