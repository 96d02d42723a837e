"""From a graph to a build: what is folded, what counts as lossless, which engines are built."""

import numpy as np
import pytest
from graphs import float_mlp
from graphs import samples as mlp_samples
from image_graphs import residual_network
from image_graphs import samples as float_samples
from int8_graphs import Int8, samples
from networks import random_network

from prunus.compiler.ir import GraphError
from prunus.compiler.passes.share import share
from prunus.flow.arrange import arrange_input
from prunus.flow.build import load_build, save_build
from prunus.flow.compile import compile_graph
from prunus.flow.report import report_html
from prunus.flow.simulate import simulate


def quiet_network():
    """Three layers of which the first has channels without weights."""
    g = Int8((6, 7, 3))
    t = g.conv(g.x, 12, (3, 3))
    weight = g.nodes[0].consts["weight"].copy()
    weight[::2] = 0
    g.nodes[0] = g.nodes[0].with_consts(weight=weight)
    return g.graph(g.conv(g.pad(g.conv(t, 8), (1, 1, 1, 1)), 5, (3, 3)))


def test_constants_are_folded_and_nothing_is_lost():
    graph = quiet_network()
    build = compile_graph(graph)
    assert build.lossless and [layer.op for layer in build.layers] == ["conv_2d"] * 3
    assert build.layers[0].weights < graph.nodes[0].consts["weight"].size
    assert build.parameters == sum(
        node.consts[key].size
        for node in graph.nodes
        if node.op == "conv_2d"
        for key in ("weight", "bias")
    )
    assert simulate(build, samples(graph), golden=True).bit_exact
    assert not compile_graph(graph, density=0.5).lossless


@pytest.mark.parametrize("engine", ["auto", "systolic", "eie"])
def test_a_float_residual_network(engine, tmp_path):
    graph = residual_network()
    x = float_samples(graph)
    build = compile_graph(graph, calibration=x, engine=engine)
    assert not build.lossless and build.settings["engine"] == engine
    assert simulate(build, x[:4], golden=True).bit_exact
    assert build.config.columns == 8 and build.config.adder
    save_build(build, tmp_path / "b")
    assert load_build(tmp_path / "b").image == build.image
    page = report_html(build)
    assert "predicted cycles" in page and "max_pool_2d" in page


def test_the_input_is_arranged_for_builds_that_ask():
    g = Int8((16, 12, 1))
    graph = g.graph(g.conv(g.x, 16, (8, 4), (4, 2), (2, 2, 1, 1)))
    build = compile_graph(graph)
    assert build.input_index
    x = samples(graph)
    sent = arrange_input(build, x)
    zero = graph.tensors["x"].zero_point
    index = np.array(build.input_index)
    assert (sent[:, index < 0] == zero).all()
    assert np.array_equal(np.sort(sent[:, index >= 0]), np.sort(x.reshape(len(x), -1)))
    assert simulate(build, x, golden=True).bit_exact
    plain = compile_graph(random_network([8, 4]))
    assert plain.input_index == () and plain.config.columns == 0
    assert np.array_equal(arrange_input(plain, x[:, :2, :4, 0]), x[:, :2, :4, 0].reshape(3, 8))


def test_refusals_name_the_node():
    g = Int8((4, 4, 200))
    t = g.conv(g.x, 3)
    g.nodes[0] = g.nodes[0].with_consts(
        bias=np.full(3, (1 << 31) - 1, np.int32), weight=np.full((3, 1, 1, 200), 127, np.int8)
    )
    with pytest.raises(GraphError, match=r"^conv_2d_0: sums need 33 bits, int32 would overflow$"):
        compile_graph(g.graph(t))
    known = "auto, eie, systolic, winograd, compact"
    with pytest.raises(ValueError, match=rf"^engine must be one of {known}, not 'no'$"):
        compile_graph(random_network([4, 4]), engine="no")


def test_outputs_have_scales_of_their_own_unless_weights_are_few():
    def scales(graph, **settings):
        build = compile_graph(graph, calibration=mlp_samples(graph), **settings)
        return [len(node.consts["shift"]) for node in build.graph.nodes]

    graph = float_mlp((20, 30, 10))
    assert scales(graph) == [30, 10]
    assert scales(graph, weight_bits=4) == [1, 1]
    assert scales(share(graph, 4)) == [1, 1]
