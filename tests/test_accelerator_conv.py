"""Small convolutional networks through the Verilog of every engine, layer by layer."""

import dataclasses

import numpy as np
import pytest
from int8_graphs import Int8, samples

from prunus.compiler.options import Options
from prunus.flow.compile import compile_graph
from prunus.flow.simulate import simulate
from prunus.hw.accelerator import Accelerator
from prunus.sim import lint
from prunus.sim.generate import to_verilog


def separable():
    """Depthwise and pointwise layers, a mean, a fully-connected layer on the systolic array."""
    g = Int8((9, 7, 3), seed=1)
    t = g.conv(g.x, 20, (3, 3), (2, 2), (1, 0, 1, 1))
    t = g.conv(t, 20, (3, 3), padding=(1, 1, 1, 1), depthwise=True)
    t = g.conv(t, 33)
    return g.graph(g.fully_connected(g.mean(t, flat=True), 11))


def residual():
    """Sums of two scales, pools, a function that is a table, a computed rescaling."""
    g = Int8((8, 6, 5), seed=8)
    first = g.conv(g.x, 9, (3, 3), padding=(1, 1, 1, 1))
    second = g.conv(first, 9, (3, 3), padding=(1, 1, 1, 1), rounding="single")
    t = g.lut(g.add(first, second))
    t = g.pool(t, "max", (2, 2), (2, 2))
    t = g.pool(g.add(t, g.conv(t, 9)), "average", (2, 3), (1, 1))
    return g.graph(g.rescale(t))


def mixed():
    """A convolution, then sparse fully-connected layers on the EIE array."""
    g = Int8((5, 6, 4), seed=3)
    t = g.pool(g.conv(g.x, 8, (2, 2)), "max", (2, 2), (2, 2))
    t = g.fully_connected(g.reshape(t, (32,)), 24)
    weight = g.nodes[-1].consts["weight"]
    weight = np.where(g.rng.random(weight.shape) < 0.7, np.int8(0), weight)
    g.nodes[-1] = g.nodes[-1].with_consts(weight=weight)
    return g.graph(g.fully_connected(t, 10, "double"))


CASES = {
    "separable": (separable, Options(lanes=2, tile_pixels=16), {"columns", "line_depth", "window"}),
    "residual": (residual, Options(act_word=8), {"columns", "window", "adder", "tables"}),
    "mixed": (mixed, Options(act_word=4, pes=4, engine="eie"), {"pes", "columns", "window"}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_layer_is_equal(case):
    make, options, parts = CASES[case]
    graph = make()
    build = compile_graph(graph, options=options)
    config = build.config
    every = ("pes", "columns", "line_depth", "window", "adder", "tables")
    assert {part for part in every if getattr(config, part)} == parts
    x = samples(graph, 4)
    golden = simulate(build, x, golden=True)
    assert golden.bit_exact, golden.first_mismatches[0]
    free = simulate(build, x)
    assert free.bit_exact, free.first_mismatches[0]
    assert np.array_equal(golden.outputs, free.outputs)
    assert len(set(map(bytes, free.outputs))) > 1
    stalled = simulate(build, x, stall=0.4, seed=7)
    assert stalled.bit_exact and stalled.cycles == free.cycles
    verilog = to_verilog(Accelerator(dataclasses.replace(config, trace=False)), "accelerator")
    assert lint.lint([verilog], "accelerator") == []
    assert lint.read_with_yosys([verilog], "accelerator") == []
