"""The authors' compressed SqueezeNet, re-coded with this project's Huffman codes, without loss.

Their file has 8 bits for the code and 4 for the gap of each entry, codebooks of 256 float32 and
float32 biases. Here each layer's codes and runs are Huffman-coded as a PE of the EIE array is
loaded, in the order of its columns, with the tables that this needs; a layer with few zeros has
dense columns instead, where zero is a code like others. Codebooks (the entries that are used) and
biases stay float32. Entropy, bits and tables are of nothing but the codes and runs.

The file is read from ``$PRUNUS_DATA`` (see the README).
"""

import argparse
import json
import sys
from typing import Any

import numpy as np
from data import needed

from prunus.compiler.image import WeightLayout, weights
from prunus.compiler.importers.deep_compression import CompressedLayer, read_squeezenet
from prunus.hw.config import Config

FILE = "deep_compression/compressed_SqueezeNet.net"
ROWS = 1024  # accumulators, one for each output
CONFIG = Config(
    pes=1, lanes=1, act_word=1, acc_rows=ROWS, weight_depth=1 << 20, pointer_depth=1 << 14
)


def measure(layer: CompressedLayer) -> dict[str, Any]:
    """One layer's bits, theirs and this project's."""
    codes = layer.dense_codes().reshape(1, layer.shape[0], -1).transpose(0, 2, 1)
    forms = [weights(WeightLayout(codes, present), CONFIG) for present in (None, codes != 0)]
    section, stats = min(forms, key=lambda form: len(form[0].payload))
    used = len(np.unique(codes[codes != 0]))
    return {
        "layer": layer.name,
        "weights": codes.size,
        "nonzeros": int(np.count_nonzero(codes)),
        "their_bytes": layer.stored_bytes,
        "bytes": len(section.payload) + 4 * (used + len(layer.bias)),
        "dense": stats.run_width == 0,
        "codes": used,
        "code_bits": stats.code_bits,
        "run_bits": stats.run_bits,
        "table_bits": stats.table_bits,
        "entropy_bits": stats.entropy_bits,
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    path = needed(parser, FILE)
    rows = [measure(layer) for layer in read_squeezenet(path)]
    numbers = [key for key, value in rows[0].items() if not isinstance(value, str)]
    rows.append({"layer": "all", **{key: sum(row[key] for row in rows) for key in numbers}})
    if arguments.json:
        print(json.dumps(rows))
        return 0
    print("| layer | weights | not zero | density | codes | bits a code | bits a run "
          "| entropy, bytes | reached | over | tables | bytes, all | theirs |")  # fmt: skip
    print("|---|" + 12 * "---:|")
    for row in rows:
        stored = (row["code_bits"] + row["run_bits"]) / 8
        print(f"| {row['layer']} | {row['weights']:,} | {row['nonzeros']:,} "
              f"| {row['nonzeros'] / row['weights']:.1%} | {row['codes']:,} "
              f"| {row['code_bits'] / row['nonzeros']:.2f} "
              f"| {row['run_bits'] / row['nonzeros']:.2f} | {row['entropy_bits'] / 8:,.0f} "
              f"| {stored:,.0f} | {8 * stored / row['entropy_bits'] - 1:.1%} "
              f"| {row['table_bits'] / 8:,.0f} | {row['bytes']:,} "
              f"| {row['their_bytes']:,} |")  # fmt: skip
    last = rows[-1]
    print(f"\n{last['bytes']:,} bytes, theirs are {last['their_bytes']:,}: "
          f"{1 - last['bytes'] / last['their_bytes']:.1%} less, and "
          f"{4 * last['weights'] / last['bytes']:.1f} times less than float32")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
