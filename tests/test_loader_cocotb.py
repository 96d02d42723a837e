"""The loader's Verilog under Verilator, against the model that reads an image."""

import json

import pytest
from load_support import small

from prunus.hw.load.loader import Loader
from prunus.sim import verilator
from prunus.sim.generate import to_verilog
from prunus.sim.lint import lint

CONFIGS = [
    dict(pes=8, lanes=4, code_bits=8, acc_rows=16, weight_depth=640, huffman_bits=10),
    dict(pes=8, lanes=1, code_bits=4, acc_rows=13, weight_depth=600, huffman_bits=8),
    dict(pes=4, lanes=2, code_bits=8, acc_rows=16, weight_depth=640, sparse=False),
    dict(
        pes=4, lanes=4, code_bits=4, acc_rows=16, weight_depth=640, huffman_bits=8, act_word=8,
        columns=4, tile_depth=50, window=True, tables=3,
    ),
    dict(pes=0, lanes=4, act_word=8, columns=4, tile_depth=50, window=True, tables=1),
]  # fmt: skip


@pytest.mark.parametrize("changes", CONFIGS, ids=["int8", "codebook", "dense", "all", "no PEs"])
def test_fills_the_memories(changes, tmp_path):
    changes = dict(pointer_depth=64) | changes
    source = to_verilog(Loader(small(**changes)), "loader")
    assert lint([source], "loader") == []
    model = verilator.build([source], "loader")
    for gap in ("0", "0.6"):
        env = {"GAP": gap, "CONFIG": json.dumps(changes)}
        (result,) = verilator.run(model, "benches.loader", env=env, work_dir=tmp_path, seed=1)
        assert result.name == "fills_the_memories"
