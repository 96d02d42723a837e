"""Published convolutional models on the gates' functional model, where they are at hand."""

import numpy as np
import pytest
from support import needs_data
from tiny import dataset, model

from prunus.boards.registry import BOARDS
from prunus.compiler.evaluate import split_host
from prunus.flow.arrange import arrange_input
from prunus.flow.build import load_build, save_build
from prunus.flow.compile import compile_model
from prunus.flow.simulate import simulate

pytestmark = needs_data

BUDGETS = {"kws": 20_000, "ic": 56_000, "vww": 60_000}  # cycles of an inference


@pytest.mark.parametrize("name", BUDGETS)
def test_every_layer_is_exact_and_fast_enough(name, tmp_path):
    build = compile_model(model(name))
    assert build.lossless and build.config.pes == 0 and build.config.columns == 8
    assert sum(layer.cycles for layer in build.layers) <= BUDGETS[name]
    save_build(build, tmp_path / "b")
    samples, _ = dataset(name, 2)
    samples = samples.reshape(-1, *build.graph.tensors[build.graph.inputs[0]].shape)
    result = simulate(load_build(tmp_path / "b"), samples, golden=True)
    assert result.bit_exact and result.samples == 2


def test_the_host_sends_the_keyword_spotter_blocks_of_pixels():
    build = compile_model(model("kws"))
    samples, _ = dataset("kws", 2)
    sent = arrange_input(build, samples.reshape(2, 49, 10, 1))
    _, core, _ = split_host(build.graph)
    zero = core.tensors[core.inputs[0]].zero_point
    assert sent.shape == (2, 600) and sent.dtype == np.int8
    values, counts = np.unique(sent[0], return_counts=True)
    assert counts[values == zero].sum() >= 110
    kept = sent[0][np.array(build.input_index) >= 0]
    assert sorted(kept.tolist()) == sorted(samples[0].ravel().tolist())


def test_smaller_parts_take_smaller_arrays():
    cycles = []
    for size in ("25f", "45f", "85f"):
        build = compile_model(model("kws"), board=BOARDS[f"ulx3s-{size}"])
        cycles.append(sum(layer.cycles for layer in build.layers))
    assert cycles == sorted(cycles, reverse=True) and cycles[0] > cycles[2]
