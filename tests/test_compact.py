# amaranth: UnusedElaboratable=no
"""The compact engine: the same bits as the others, in the model and in the gates."""

import dataclasses

import numpy as np
import pytest
from int8_graphs import Int8, samples
from networks import random_network
from test_engines_agree import agree

from prunus.compiler.ir import GraphError
from prunus.compiler.options import Options
from prunus.flow.compile import compile_graph
from prunus.flow.simulate import simulate
from prunus.hw.accelerator import Accelerator
from prunus.hw.compact.core import CompactCore
from prunus.hw.config import Config
from prunus.sim import lint
from prunus.sim.generate import to_verilog

COMPACT = Options(engine="compact", huffman_bits=8, frame_bytes=64)
BOTH = [COMPACT, Options(engine="systolic", act_word=8)]


def separable(seed=1, size=(9, 7), channels=3):
    """Strides, padding, depthwise and pointwise layers, a mean, a fully-connected layer."""
    g = Int8((*size, channels), seed=seed)
    t = g.conv(g.x, 20, (3, 3), (2, 2), (1, 0, 1, 1))
    t = g.conv(t, 20, (3, 3), padding=(1, 1, 1, 1), depthwise=True)
    t = g.conv(t, 10)
    t = g.conv(t, 10, (3, 3), (2, 1), padding=(1, 1, 1, 1), rounding="single")
    return g.graph(g.fully_connected(g.mean(t, flat=True), 11))


def pools(seed=2):
    """More pixels than there are accumulators, in layers that are split, and an average."""
    g = Int8((21, 19, 5), seed=seed)
    t = g.conv(g.x, 6, (3, 3), padding=(1, 1, 1, 1))
    t = g.pool(t, "average", (2, 3), (2, 2))
    return g.graph(g.conv(t, 3, (1, 1)))


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_systolic_array(seed):
    sizes = [(9, 7), (12, 5), (5, 30), (20, 18)]
    graph = separable(seed, sizes[seed], channels=(3, 1, 4, 6)[seed])
    engines, _ = agree(graph, BOTH)
    assert engines == {"compact"}
    agree(pools(seed), BOTH)


def test_agrees_on_fully_connected_layers():
    agree(random_network([40, 70, 9, 31], seed=1, per_channel=True, double=True), BOTH)


@pytest.mark.parametrize("make", [separable, pools])
def test_every_layer_of_the_gates_is_equal(make):
    graph = make()
    build = compile_graph(graph, options=COMPACT)
    x = samples(graph, 3)
    free = simulate(build, x)
    assert free.bit_exact, free.first_mismatches[0]
    golden = simulate(build, x, golden=True)
    assert np.array_equal(golden.outputs, free.outputs)
    assert len(set(map(bytes, free.outputs))) > 1
    for layer, measured in zip(build.layers, free.layers, strict=True):
        off = abs(measured.cycles - layer.cycles)
        assert off <= max(50, 0.05 * measured.cycles), (layer.name, measured.cycles, layer.cycles)
    stalled = simulate(build, x, stall=0.4, seed=7)
    assert stalled.bit_exact and stalled.cycles == free.cycles
    config = dataclasses.replace(build.config, trace=False)
    verilog = to_verilog(Accelerator(config), "accelerator")
    assert lint.lint([verilog], "accelerator") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"act_word": 8}, r"^act_word must be 4 with the compact engine, not 8$"),
        ({"window": True}, r"^window must be False with the compact engine, not True$"),
        ({"tile_pixels": 300}, r"^tile_pixels must be at most 256 with the compact engine, not"),
        ({"tile_depth": 16384}, r"^tile_depth must leave at most 16384 words in a memory of the"),
    ],
)
def test_configurations_are_checked(change, message):
    fields = {"pes": 0, "columns": 2, "lanes": 2, "act_word": 4, "compact": True}
    Config(**fields)
    with pytest.raises(ValueError, match=message):
        Config(**{**fields, **change})


def test_the_core_is_for_compact_configurations():
    with pytest.raises(ValueError, match=r"^compact must be True for the compact core, not False$"):
        CompactCore(Config())


def test_what_it_does_not_have_is_refused():
    g = Int8((6, 6, 4), seed=5)
    graph = g.graph(g.pool(g.conv(g.x, 4), "max", (2, 2), (2, 2)))
    with pytest.raises(GraphError, match=r"^\w+: the compact engine has no MAX of windows; "):
        compile_graph(graph, options=COMPACT)
