"""Convolutions on the Winograd unit of a whole accelerator: Verilog, layer by layer, and cycles."""

import dataclasses

import numpy as np
import pytest
from amaranth import Fragment
from int8_graphs import Int8, samples
from test_multiplier import Ecp5, vendor_model

from prunus.compiler.options import Options
from prunus.flow.compile import compile_graph
from prunus.flow.simulate import simulate
from prunus.hw.accelerator import Accelerator
from prunus.sim import lint
from prunus.sim.generate import to_verilog
from prunus.sim.network import build_harness


def network(extreme=False):
    """3x3 convolutions in front of, behind and between layers of the other engines."""
    g = Int8((9, 7, 16), seed=4, grid=(0.1, 127 if extreme else 3))
    t = g.conv(g.x, 21, (3, 3), padding=(1, 1, 1, 1), per_channel=True)
    t = g.conv(t, 6, (3, 3), padding=(0, 0, 2, 0))
    t = g.conv(t, 9, (3, 3), (2, 2), padding=(0, 1, 0, 1))
    t = g.conv(t, 12, (3, 3), padding=(1, 1, 1, 1), rounding="single")
    if extreme:  # the systolic array takes no -128 where two weights share a multiplier
        for n, node in enumerate(g.nodes):
            weight = np.where(node.consts["weight"] < 0, np.int8(-127), np.int8(127))
            g.nodes[n] = node.with_consts(weight=weight)
    t = g.conv(g.add(t, t), 5)
    return g.graph(t)


CASES = {
    "F4, a filter at a time": (Options(act_word=8), 4, 1),
    "F2": (Options(act_word=8, lanes=2), 2, 1),
    "F4, four filters": (Options(), 4, 4),
}


@pytest.mark.parametrize("case", CASES)
def test_every_layer_is_equal(case):
    options, outputs, filters = CASES[case]
    graph = network(extreme=case == "F2")
    build = compile_graph(graph, options=dataclasses.replace(options, engine="winograd"))
    config = build.config
    assert (config.winograd, config.winograd_filters) == (outputs, filters)
    assert [layer.engine for layer in build.layers].count("winograd") == 3
    x = samples(graph, 3)
    x[0], x[1] = -128, 127
    golden = simulate(build, x, golden=True)
    assert golden.bit_exact, golden.first_mismatches[0]
    free = simulate(build, x)
    assert free.bit_exact, free.first_mismatches[0]
    assert np.array_equal(golden.outputs, free.outputs)
    # The cycle model that engines are chosen by.
    for layer, run in zip(build.layers, free.layers, strict=True):
        if layer.engine == "winograd":
            assert abs(run.cycles - layer.cycles) <= 20, (layer.name, run.cycles, layer.cycles)
    if filters == 1:
        accelerator = Accelerator(dataclasses.replace(config, trace=False))
        verilog = to_verilog(accelerator, "accelerator")
        assert lint.lint([verilog], "accelerator") == []
        assert lint.read_with_yosys([verilog], "accelerator") == []


class OnEcp5(Accelerator):
    """The accelerator with the blocks of an ECP5, which make both kinds of products and sums."""

    def elaborate(self, platform):
        return Fragment.get(super().elaborate(Ecp5()), Ecp5())


@pytest.mark.parametrize("blocks", (0, 3))
def test_the_blocks_of_a_part_sum_up_as_well(blocks, monkeypatch):
    """With narrow sums, some of the other products in blocks of their own, and some in logic."""

    def build_model(config, **_):
        config = dataclasses.replace(config, trace=True)
        verilog = to_verilog(OnEcp5(config), "accelerator")
        own = config.act_word * config.columns + 2 * config.lanes + blocks
        assert verilog.count("MULT18X18D #(") == own
        return build_harness([verilog, *vendor_model(Ecp5)], config)

    monkeypatch.setattr("prunus.flow.simulate.build_model", build_model)
    options = Options(act_word=8, engine="winograd", winograd_blocks=blocks)
    graph = network()
    build = compile_graph(graph, options=options)
    assert build.config.winograd_width < 23 and build.config.winograd_blocks == blocks
    run = simulate(build, samples(graph, 3))
    assert run.bit_exact, run.first_mismatches[0]
