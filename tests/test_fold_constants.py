"""Constant channels: they go where that changes nothing, and stay where it would."""

import dataclasses

import numpy as np
import pytest
from graphs import float_mlp
from graphs import samples as vectors
from image_graphs import POOL, Chain, residual_network, samples
from support import needs_data
from tiny import dataset, golden, model

from prunus.compiler.evaluate import output, run
from prunus.compiler.importers.tflite import import_tflite
from prunus.compiler.ir import GraphError
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.fold_constants import constants, fold_constants
from prunus.compiler.passes.layers import layers, macs


def quiet(graph, rng, part=0.5, biases="any"):
    """An int8 graph in which some outputs of each layer have no weights."""
    nodes = []
    for node in graph.nodes:
        if "weight" in node.consts:
            count = len(node.consts["bias"])
            zero = rng.random(count) < part
            weight, bias = node.consts["weight"].copy(), node.consts["bias"].copy()
            if node.op == "depthwise_conv_2d":
                weight[..., zero] = 0
            else:
                weight[zero] = 0
            if biases == "none":
                bias[zero] = 0
            node = node.with_consts(weight=weight, bias=bias)
        nodes.append(node)
    return graph.with_nodes(nodes)


def int8(graph):
    return calibrate(graph, samples(graph))


def entering(graph, count=30):
    shape = graph.tensors[graph.inputs[0]].shape
    return np.random.default_rng(9).integers(-128, 128, (count, *shape)).astype(np.int8)


def check(graph):
    """The folded graph, which computes the same; and that every constant is one."""
    x = entering(graph)
    values = run(graph, x)
    for name, known in constants(graph).items():
        flat = values[name].reshape(-1, len(known))
        fixed = known != 1024
        assert (flat[:, fixed] == known[fixed]).all(), name
    folded = fold_constants(graph)
    assert np.array_equal(output(folded, x), values[graph.outputs[0]])
    assert folded.tensors[folded.inputs[0]] == graph.tensors[graph.inputs[0]]
    assert folded.tensors[folded.outputs[0]] == graph.tensors[graph.outputs[0]]
    assert sum(macs(folded, n) for n in layers(folded)) <= sum(
        macs(graph, n) for n in layers(graph)
    )
    return folded


def separable(padded):
    """Pointwise, depthwise, pointwise: what most networks on small chips are made of."""
    chain = Chain((5, 5, 3)).conv("x", "a", 8, size=1).add("relu", "a", "ar")
    chain.conv("ar", "d", 8, depthwise=True, size=3 if padded else 1).add("relu", "d", "dr")
    return chain.conv("dr", "y", 4, size=1).graph()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_separable_networks(padded, seed):
    graph = quiet(int8(separable(padded)), np.random.default_rng(seed))
    folded = check(graph)
    for name in ("ar", "dr"):
        assert folded.tensors[name].shape[2] < graph.tensors[name].shape[2]


@pytest.mark.parametrize("biases", ["any", "none"])
@pytest.mark.parametrize("seed", range(8))
def test_residual_networks(seed, biases):
    graph = quiet(int8(residual_network()), np.random.default_rng(seed), 0.4, biases)
    check(graph)


@pytest.mark.parametrize("seed", range(8))
def test_joined_networks(seed):
    chain = Chain((4, 4, 3)).conv("x", "a", 4, size=1).conv("x", "b", 5).add("relu", "b", "br")
    chain.add("pad", "br", "p", (6, 5, 7), {"padding": (1, 1, 0, 1), "channels": (1, 1)})
    chain.add("average_pool_2d", "p", "m", (3, 2, 7), POOL)
    chain.add("max_pool_2d", "a", "n", (3, 2, 4), POOL | {"kernel": (2, 3), "stride": (1, 1)})
    chain.add("concatenation", "m n", "j", (3, 2, 11), {"axis": 2}).add("tanh", "j", "t")
    chain.conv("t", "c", 4).add("reshape", "c", "f", (24,))
    weight, bias = chain.rng.normal(size=(3, 24)), chain.rng.normal(size=3)
    graph = chain.add("dense", "f", "y", (3,), weight=weight, bias=bias).graph()
    folded = check(quiet(int8(graph), np.random.default_rng(seed)))
    assert folded.tensors["f"].size == np.prod(folded.tensors["c"].shape)


def border(constant):
    """A padded depthwise layer on a channel that is always ``constant`` steps off zero."""
    graph = int8(separable(True))
    first = graph.nodes[0]
    zero = graph.tensors[first.output].zero_point
    weight, bias = first.consts["weight"].copy(), first.consts["bias"].copy()
    weight[2] = 0
    scale = first.consts["multiplier"][2] * 2.0 ** (first.consts["shift"][2] - 31)
    bias[2] = round(constant / scale)
    attrs = {**first.attrs, "clamp": (-128, 127)}
    first = dataclasses.replace(first.with_consts(weight=weight, bias=bias), attrs=attrs)
    graph = graph.with_nodes([first, *graph.nodes[1:]])
    assert constants(graph)[first.output][2] == zero + constant
    return check(graph).tensors[first.output].shape[2]


def test_the_border_sees_the_zero_point():
    assert border(0) == 7
    assert border(10) == 8


def test_a_channel_that_nobody_uses_goes():
    graph = int8(separable(True))
    last = graph.nodes[-1]
    weight = last.consts["weight"].copy()
    weight[..., 3] = 0
    folded = check(graph.with_nodes([*graph.nodes[:-1], last.with_consts(weight=weight)]))
    assert [folded.tensors[name].shape[2] for name in ("ar", "dr", "y")] == [7, 7, 4]


def test_a_network_of_constants_keeps_a_channel():
    graph = quiet(int8(separable(False)), np.random.default_rng(0), part=1.1)
    folded = check(graph)
    assert [folded.tensors[name].shape[2] for name in ("ar", "dr", "y")] == [1, 1, 4]


def test_fully_connected_networks():
    graph = float_mlp((6, 12, 9, 4))
    graph = quiet(calibrate(graph, vectors(graph)), np.random.default_rng(3))
    folded = check(graph)
    assert folded.nodes[0].consts["weight"].shape[0] < 12


def test_float_graphs_are_refused():
    with pytest.raises(GraphError, match="^mlp: fold_constants takes an int8 graph"):
        fold_constants(float_mlp())


@needs_data
def test_visual_wake_words():
    graph = import_tflite(model("vww"))
    folded = fold_constants(graph)
    assert sum(macs(graph, node) for node in layers(graph)) == 7_489_664
    assert sum(macs(folded, node) for node in layers(folded)) <= 3_740_000
    assert sum(node.consts["weight"].size for node in layers(folded)) <= 30_000
    wanted = golden("vww")
    x = np.stack([wanted[f"s{n}_in"].reshape(96, 96, 3) for n in range(2)])
    assert np.array_equal(output(folded, x), output(graph, x))


@needs_data
@pytest.mark.slow
def test_visual_wake_words_on_200_samples():
    samples, _ = dataset("vww", 200)
    folded = fold_constants(import_tflite(model("vww")))
    assert np.array_equal(output(folded, samples), golden("vww")["out_ref_first"])
