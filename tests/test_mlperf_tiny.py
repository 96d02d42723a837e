"""The four int8 networks of MLPerf Tiny, from their files through the gates of an ECP5-85F.

Every layer is compared with the golden integers and with what the reference interpreter stored,
every output with the interpreter's. The 200 samples through the gates are behind the slow marker.
"""

import functools
import re

import numpy as np
import pytest
from support import needs_data
from tiny import dataset, golden, model

from prunus.boards.registry import find_board
from prunus.compiler.cost import matrix_cycles
from prunus.compiler.evaluate import run, split_host
from prunus.compiler.plan import Options
from prunus.flow.compile import compile_model
from prunus.flow.simulate import simulate

pytestmark = needs_data

BUDGETS = {"kws": 20_000, "ic": 56_000, "vww": 60_000, "ad": 6_000}  # cycles of an inference
WINOGRAD_BUDGET = 38_000  # of ic, on the unit
COMPACT_BUDGET = 250_000  # of kws, on the engine of the smallest parts
LOGITS = {"kws": 11, "ic": 14, "vww": 29, "ad": 9}  # the last operator in the gates


@functools.cache
def compiled(name, engine="auto"):
    return compile_model(model(name), board=find_board("ulx3s-85f"), options=Options(engine=engine))


def shaped(name, samples):
    graph = compiled(name).graph
    return samples.reshape(-1, *graph.tensors[graph.inputs[0]].shape)


def kept(result, stored):
    """Whether the channels (last axis) of a layer are those stored, without some of them."""
    found = 0
    for channel in np.moveaxis(stored.reshape(*result.shape[:-1], -1), -1, 0):
        if found < result.shape[-1] and np.array_equal(result[..., found], channel):
            found += 1
    return found == result.shape[-1]


def expected(build, values, layer):
    """Cycles of a layer by the cost model, which the EIE array's zeros make fewer, on average."""
    if layer.engine != "eie":
        return layer.cycles
    source = next(node.inputs[0] for node in build.graph.nodes if node.name == layer.name)
    zero = build.graph.tensors[source].zero_point
    active = np.count_nonzero(values[source] != zero, axis=-1).mean()
    rows = -(-layer.outputs // build.config.pes)
    assert layer.dense and layer.passes == 1
    return matrix_cycles([(rows * active, layer.outputs)], active, build.config.lanes)


RUNS = [(name, "auto", most) for name, most in BUDGETS.items()]
RUNS += [("ic", "winograd", WINOGRAD_BUDGET), ("kws", "compact", COMPACT_BUDGET)]


@pytest.mark.parametrize(("name", "engine", "budget"), RUNS)
def test_two_samples_through_the_gates(name, engine, budget):
    build, reference = compiled(name, engine), golden(name)
    assert build.lossless
    assert any(layer.engine == "winograd" for layer in build.layers) == (engine == "winograd")
    x = shaped(name, np.stack([reference["s0_in"], reference["s1_in"]]))
    ran = simulate(build, x)
    assert ran.bit_exact, ran.first_mismatches[0]  # every layer equals the graph's
    assert max(ran.cycles) <= budget
    values = run(build.graph, x)
    for layer, measured in zip(build.layers, ran.layers, strict=True):
        wanted = expected(build, values, layer)
        off = abs(measured.cycles - wanted)
        assert off <= max(50, 0.05 * measured.cycles), (layer.name, measured.cycles, wanted)
    last = max(key for key in reference if key.startswith("s0_op"))[3:]
    stored = np.stack([reference[f"s{n}_{last}"].ravel() for n in range(2)])
    assert np.array_equal(ran.outputs.reshape(2, -1), stored)


@pytest.mark.parametrize("name", BUDGETS)
def test_every_layer_that_is_left_is_the_interpreters(name):
    """Channels that are constant are gone; what is left of a layer has the stored bits."""
    build, reference = compiled(name), golden(name)
    x = shaped(name, np.stack([reference["s0_in"], reference["s1_in"]]))
    values = run(build.graph, x)
    numbers = {layer.name: int(re.search(r"_(\d+)$", layer.name)[1]) for layer in build.layers}
    operators = {key[3:] for key in reference if key.startswith("s0_op")}
    stored = {int(key[2:4]): key for key in operators}
    for layer in build.layers:
        key = stored[numbers[layer.name]]
        wanted = np.stack([reference[f"s{n}_{key}"] for n in range(2)])
        assert kept(values[layer.tensor], wanted), layer.name
    shaping = {number for number, key in stored.items() if re.search("RESHAPE|SOFTMAX", key)}
    assert set(numbers.values()) == stored.keys() - shaping
    assert max(numbers.values()) == LOGITS[name]
    assert values[build.layers[-1].tensor].size == wanted.size  # no logit is gone


@pytest.mark.parametrize("name", BUDGETS)
def test_all_samples_through_the_image(name):
    samples, _ = dataset(name, 200)
    ran = simulate(compiled(name), shaped(name, samples), golden=True)
    assert ran.bit_exact, ran.first_mismatches[0]
    wanted = golden(name)["out_ref_first"]
    assert np.array_equal(ran.outputs.reshape(wanted.shape), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUDGETS)
def test_all_samples_through_the_gates(name):
    samples, _ = dataset(name, 200)
    ran = simulate(compiled(name), shaped(name, samples))
    assert ran.bit_exact, ran.first_mismatches[0]
    assert max(ran.cycles) <= BUDGETS[name]
    wanted = golden(name)["out_ref_first"]
    assert np.array_equal(ran.outputs.reshape(wanted.shape), wanted)
    print(f"{name}: {min(ran.cycles)}, {np.mean(ran.cycles):.1f}, {max(ran.cycles)} cycles")


def test_the_softmax_is_all_that_the_host_computes():
    for name in BUDGETS:
        pre, _, post = split_host(compiled(name).graph)
        assert not pre.nodes
        assert [node.op for node in post.nodes] == ([] if name == "ad" else ["softmax"])
