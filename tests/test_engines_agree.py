"""The same layers on every engine that can take them: identical bits.

Fully-connected layers on the EIE array, sparse and dense, and on systolic arrays of several sizes;
1x1 convolutions beside both; depthwise convolutions streamed through the array's lines, as
convolutions of a few channels, and as whole convolutions with a diagonal of weights.
"""

import numpy as np
import pytest
from int8_graphs import Int8, samples
from networks import random_network

from prunus.compiler.ir import Graph, Node, Tensor, verify
from prunus.compiler.options import Options
from prunus.flow.arrange import arrange_input
from prunus.flow.compile import compile_graph
from prunus.flow.simulate import simulate
from prunus.sim.machine import Machine

WINOGRAD = [
    Options(engine="winograd", act_word=word, lanes=lanes)
    for word, lanes in ((8, 2), (8, 4), (16, 4), (16, 8))
]
SYSTOLIC = [Options(engine="systolic", act_word=word) for word in (2, 4, 8, 16)]
EIE = [
    Options(engine="eie", pes=1, act_word=1),
    Options(engine="eie", pes=6, act_word=4, sparse=True),
    Options(engine="eie", pes=8, sparse=False),
    Options(engine="eie", pes=64),
]


def bits(graph, options, x):
    """The engines with multipliers that a build has, and every tensor that they write."""
    build = compile_graph(graph, options=options)
    ran = Machine(build.config, build.image).run_batch(arrange_input(build, x))
    layers = {la.tensor: ran.layers[n].reshape(len(x), -1) for n, la in enumerate(build.layers)}
    return {layer.engine for layer in build.layers} - {"window"}, layers


def agree(graph, choices, x=None):
    """Every layer of a graph has the same bits with all options; the engines of each."""
    x = samples(graph, 4) if x is None else x
    engines, first = bits(graph, choices[0], x)
    found = [engines]
    for options in choices[1:]:
        engines, layers = bits(graph, options, x)
        assert layers.keys() == first.keys()
        for name, values in layers.items():
            assert np.array_equal(values, first[name]), (name, options)
        found.append(engines)
    assert any(len(np.unique(values)) > 1 for values in first.values())
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "sizes, settings",
    [
        ([1, 1], {}),
        ([3, 5, 2], {"per_channel": True}),
        ([17, 16, 1], {"double": True}),
        ([64, 33, 10], {"density": 0.3}),
        ([40, 70, 9, 31], {"density": 0.6, "bits": 4, "per_channel": True, "double": True}),
        ([257, 129, 12], {"density": 0.1}),
    ],
)
def test_fully_connected_layers(sizes, settings, seed):
    graph = random_network(sizes, seed=seed, **settings)
    found = agree(graph, EIE + SYSTOLIC)
    assert found == [{"eie"}] * len(EIE) + [{"systolic"}] * len(SYSTOLIC)


@pytest.mark.parametrize("zero", [-128, -1, 0, 127])
@pytest.mark.parametrize("rounding", ["single", "double"])
def test_zero_points_and_extremes(zero, rounding):
    """Also weights of -128, which only the first of a multiplier's two products takes."""
    g = Int8((30,), seed=zero + 200, grid=(0.1, zero))
    t = g.fully_connected(g.fully_connected(g.x, 21, rounding), 19, rounding)
    for number, node in enumerate(g.nodes):
        weight = node.consts["weight"].copy()
        weight[0, ::3] = -128
        g.nodes[number] = node.with_consts(weight=weight)
    graph = g.graph(t)
    x = samples(graph, 6)
    x[0], x[1], x[2, ::2] = -128, 127, zero
    agree(graph, EIE + SYSTOLIC, x)


@pytest.mark.parametrize("seed", range(3))
def test_small_networks(seed):
    """1x1 convolutions in front of fully-connected layers; nothing is pooled."""
    g = Int8((2 + seed, 3, 5), seed=seed)
    t = g.conv(g.conv(g.x, 9), 6 + seed, rounding="single")
    t = g.reshape(t, (g.tensors[t].size,))
    graph = g.graph(g.fully_connected(g.fully_connected(t, 20), 7, "double"))
    both = [Options(engine="eie", act_word=word, pes=4) for word in (4, 16)]
    found = agree(graph, both + SYSTOLIC + [Options()])
    assert found[:2] == [{"eie", "systolic"}] * 2
    assert found[2:6] == [{"systolic"}] * 4


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("padding", [(1, 1, 1, 1), (0, 0, 0, 0), (0, 1, 2, 0)])
def test_3x3_convolutions(padding, seed):
    """On Winograd units of either tile size as on systolic arrays."""
    size = [(5, 7), (8, 8), (9, 10)][seed]
    g = Int8((*size, 16), seed=seed)
    t = g.conv(g.x, 17 + 7 * seed, (3, 3), padding=padding)
    t = g.conv(t, 24, (3, 3), padding=padding, rounding="single", per_channel=False)
    graph = g.graph(g.conv(t, 5))
    x = samples(graph, 4)
    x[0], x[1], x[2, ::2] = -128, 127, -128
    found = agree(graph, SYSTOLIC[1:] + WINOGRAD, x)
    assert all("winograd" not in engines for engines in found[:3])
    assert all("winograd" in engines for engines in found[3:])


@pytest.mark.parametrize("seed", range(3))
def test_a_convolution_is_a_fully_connected_layer_of_each_pixel(seed):
    g = Int8((3, 4, 13), seed=seed)
    graph = g.graph(g.conv(g.x, 22, per_channel=seed > 0))
    (node,) = graph.nodes
    tensors = {
        name: Tensor(name, (tensor.shape[2],), tensor.scale, tensor.zero_point)
        for name, tensor in graph.tensors.items()
    }
    attrs = {key: node.attrs[key] for key in ("rounding", "clamp")}
    consts = {**node.consts, "weight": node.consts["weight"].reshape(22, 13)}
    each = Node("each", "fully_connected", node.inputs, node.output, attrs, consts)
    pixel = verify(Graph("pixel", graph.inputs, graph.outputs, tensors, (each,)))
    x = samples(graph, 3)
    for options in SYSTOLIC:
        _, layers = bits(graph, options, x)
        image = layers[node.output].reshape(-1, 22)
        for other in EIE:
            engines, layers = bits(pixel, other, x.reshape(-1, 13))
            assert engines == {"eie"} and np.array_equal(layers[node.output], image)


def depthwise(stride=(1, 1), padding=(1, 1, 1, 1), channels=11, size=(6, 7), seed=0):
    g = Int8((*size, 3), seed=seed)
    t = g.conv(g.x, channels)
    t = g.conv(t, channels, (3, 3), stride, padding, depthwise=True)
    return g.graph(g.conv(t, 5))


def diagonal(graph):
    """The same function: the depthwise layer as a convolution whose other weights are zero."""
    nodes = list(graph.nodes)
    weight = nodes[1].consts["weight"][0]
    channels = weight.shape[-1]
    whole = np.zeros((channels, *weight.shape[:2], channels), np.int8)
    whole[range(channels), :, :, range(channels)] = np.moveaxis(weight, -1, 0)
    consts = {**nodes[1].consts, "weight": whole}
    before, after = nodes[1].inputs, nodes[1].output
    nodes[1] = Node(nodes[1].name, "conv_2d", before, after, nodes[1].attrs, consts)
    return verify(Graph("diagonal", graph.inputs, graph.outputs, graph.tensors, tuple(nodes)))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "stride, padding, channels",
    [((1, 1), (1, 1, 1, 1), 11), ((2, 2), (0, 1, 0, 1), 16), ((1, 2), (0, 0, 2, 0), 33)],
)
def test_depthwise_layers(stride, padding, channels, seed):
    graph = depthwise(stride, padding, channels, seed=seed)
    x = samples(graph)
    agree(graph, SYSTOLIC, x)
    streamed = compile_graph(graph, options=SYSTOLIC[3])
    assert (
        streamed.config.line_depth
        and not compile_graph(graph, options=SYSTOLIC[1]).config.line_depth
    )
    _, first = bits(graph, SYSTOLIC[3], x)
    for options in SYSTOLIC[1:]:
        _, layers = bits(diagonal(graph), options, x)
        assert all(np.array_equal(layers[name], values) for name, values in first.items())


def through_the_gates(graph, choices):
    x = samples(graph, 4)
    outputs = []
    for options in choices:
        ran = simulate(compile_graph(graph, options=options), x)
        assert ran.bit_exact, ran.first_mismatches[0]  # every layer, with the graph's
        outputs.append(ran.outputs)
    assert all(np.array_equal(found, outputs[0]) for found in outputs[1:])


def test_fully_connected_layers_through_the_gates():
    graph = random_network([40, 33, 10], density=0.5, seed=4, per_channel=True, double=True)
    through_the_gates(graph, [EIE[1], SYSTOLIC[1]])


@pytest.mark.slow
def test_more_fully_connected_layers_through_the_gates():
    graph = random_network([257, 129, 12], density=0.2, seed=5)
    through_the_gates(graph, [EIE[2], EIE[3], SYSTOLIC[0], SYSTOLIC[2], SYSTOLIC[3]])


@pytest.mark.slow
def test_depthwise_layers_through_the_gates():
    graph = depthwise((2, 1), (1, 1, 1, 1), 19)
    through_the_gates(graph, SYSTOLIC)
    through_the_gates(diagonal(graph), [SYSTOLIC[3]])
