"""Low-rank factors: exact at full rank, better with more, and ordinary layers afterwards."""

import numpy as np
import pytest
from graphs import float_mlp
from graphs import samples as vectors
from image_graphs import Chain, residual_network, samples
from lowered import check

from prunus.compiler.evaluate import output, split_host
from prunus.compiler.ir import GraphError, Node, equal
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.layers import layers
from prunus.compiler.passes.lowrank import choose_ranks, decompose, factored_weights, kept_energy
from prunus.sim.ops_conv import output_size

CASES = {
    "3x3": dict(kernel=(3, 3), padding=(1, 1, 1, 1)),
    "one side": dict(kernel=(2, 4), padding=(1, 0, 0, 3), stride=(2, 1)),
    "dilated": dict(kernel=(3, 2), padding=(2, 1, 0, 1), dilation=(2, 3)),
    "point": dict(kernel=(1, 1), stride=(2, 3)),
}


def conv(chain, source, target, outputs, *, kernel, stride=(1, 1), padding=(0,) * 4,
         dilation=(1, 1)):  # fmt: skip
    """A convolution at the end of a chain."""
    *size, channels = chain.tensors[source].shape
    made = [
        output_size(size[n], kernel[n], stride[n], dilation[n], *padding[2 * n : 2 * n + 2])
        for n in range(2)
    ]
    attrs = {"stride": stride, "padding": padding, "dilation": dilation}
    weight = chain.rng.normal(size=(outputs, *kernel, channels))
    bias = chain.rng.normal(size=outputs)
    shape = (*made, outputs)
    return chain.add("convolution", source, target, shape, attrs, weight=weight, bias=bias)


def convolution(case, channels=5, outputs=7):
    return conv(Chain((9, 8, channels)), "x", "c", outputs, **CASES[case]).graph()


def full(node):
    outputs, height, width, channels = node.consts["weight"].shape
    return (channels, outputs), min(height * channels, width * outputs)


@pytest.mark.parametrize("case", CASES)
def test_full_rank_is_exact(case):
    graph = convolution(case)
    x = samples(graph, 4)
    for rank in full(graph.nodes[0]):
        factored = decompose(graph, {graph.nodes[0].name: rank})
        assert len(factored.nodes) == (3 if isinstance(rank, tuple) else 2)
        np.testing.assert_allclose(output(factored, x), output(graph, x), atol=1e-12)
        assert abs(kept_energy(graph.nodes[0], rank) - 1) < 1e-12


def test_full_rank_of_a_matrix_is_exact():
    graph = float_mlp((12, 9, 20), dtype=np.float64)
    x = vectors(graph)
    factored = decompose(graph, {"fc0": 9, "fc1": 9})
    assert [node.name for node in layers(factored)] == ["fc0_in", "fc0_out", "fc1_in", "fc1_out"]
    np.testing.assert_allclose(output(factored, x), output(graph, x), atol=1e-12)
    assert equal(decompose(graph, {}), graph)


@pytest.mark.parametrize("case", CASES)
def test_more_rank_keeps_more(case):
    (node,) = convolution(case).nodes
    (inner, outer), most = full(node)
    separate = [kept_energy(node, rank) for rank in range(1, most + 1)]
    assert all(a < b for a, b in zip(separate, separate[1:], strict=False))
    tucker = [kept_energy(node, (inner, rank)) for rank in range(1, outer + 1)]
    assert all(a < b + 1e-12 for a, b in zip(tucker, tucker[1:], strict=False))
    assert 0 < tucker[0] < tucker[-1]
    for rank in (1, most, (1, 1), (inner, outer)):
        graph = convolution(case)
        factored = decompose(graph, {node.name: rank})
        weights = sum(part.consts["weight"].size for part in layers(factored))
        assert weights == factored_weights(node, rank)


def test_kept_energy_is_that_of_the_factors():
    """On white noise, what a layer gives is as far from the original as its weights are."""
    graph = float_mlp((30, 20), dtype=np.float64)
    (node,) = graph.nodes
    x = np.random.default_rng(1).normal(size=(20_000, 30))
    bias = node.consts["bias"]
    for rank in (1, 7, 15):
        wanted, got = output(graph, x), output(decompose(graph, {"fc0": rank}), x)
        share = 1 - np.square(got - wanted).sum() / np.square(wanted - bias).sum()
        assert abs(share - kept_energy(node, rank)) < 0.01


@pytest.mark.parametrize("convolutions", ["tucker", "spatial"])
def test_energy_chooses_ranks(convolutions):
    graph = conv(Chain((8, 8, 16)), "x", "c", 16, **CASES["3x3"]).graph()
    (node,) = graph.nodes
    sizes = []
    for energy in (0.1, 0.3, 0.5):
        ranks = choose_ranks(graph, energy=energy, convolutions=convolutions)
        rank = ranks[node.name]
        assert kept_energy(node, rank) >= (energy if convolutions == "spatial" else 2 * energy - 1)
        sizes.append(factored_weights(node, rank))
    assert sizes == sorted(sizes) and sizes[-1] < node.consts["weight"].size
    # Noise has no low rank: all of its energy takes more weights than it has.
    assert choose_ranks(graph, energy=1.0, convolutions=convolutions) == {}


def test_a_matrix_of_low_rank_is_found():
    rng = np.random.default_rng(0)
    graph = float_mlp((40, 30), dtype=np.float64)
    weight = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 40))
    graph = graph.with_nodes([graph.nodes[0].with_consts(weight=weight)])
    assert choose_ranks(graph, energy=1.0) == {"fc0": 4}
    assert choose_ranks(graph, energy={"fc0": 0.999999}) == {"fc0": 4}


@pytest.mark.parametrize("convolutions", ["tucker", "spatial"])
def test_a_budget_is_kept(convolutions):
    chain = conv(Chain((8, 8, 12)), "x", "c", 24, **CASES["3x3"])
    graph = conv(chain, "c", "d", 24, kernel=(3, 3)).graph()
    total = sum(node.consts["weight"].size for node in graph.nodes)
    kept = []
    for budget in (0.2, 0.5, 0.9, 1.0):
        ranks = choose_ranks(graph, budget=budget, convolutions=convolutions)
        factored = decompose(graph, ranks)
        assert sum(node.consts["weight"].size for node in layers(factored)) <= budget * total
        kept.append(sum(kept_energy(n, ranks[n.name]) for n in graph.nodes if n.name in ranks))
    assert kept[0] < kept[1] < kept[2]
    with pytest.raises(ValueError, match="^budget must be at least 0.0[0-9]*, that of ranks of 1"):
        choose_ranks(graph, budget=0.001, convolutions=convolutions)


@pytest.mark.parametrize("engine", ["auto", "systolic"])
def test_factors_run_on_the_hardware(engine):
    chain = conv(Chain((7, 6, 8)), "x", "c", 12, **CASES["3x3"]).add("relu", "c", "r")
    graph = conv(chain, "r", "d", 12, kernel=(3, 3), stride=(2, 2)).graph()
    names = [node.name for node in layers(graph)]
    graph = decompose(graph, {names[0]: (4, 5), names[1]: 6})
    int8 = calibrate(graph, samples(graph, 30))
    kernels = [node.consts["weight"].shape[1:3] for node in layers(int8)]
    assert kernels == [(1, 1), (3, 3), (1, 1), (3, 1), (1, 3)]
    check(split_host(int8)[1], engine=engine)


def test_factored_matrices_run_on_the_hardware():
    graph = decompose(float_mlp((40, 30, 10)), {"fc0": 6})
    int8 = calibrate(graph, vectors(graph))
    for engine in ("eie", "systolic"):
        check(split_host(int8)[1], engine=engine, pes=8)


def test_what_is_refused():
    graph = residual_network()
    separate = next(n.name for n in layers(graph) if n.op == "depthwise_convolution")
    plain = next(n.name for n in layers(graph) if n.op == "convolution")
    with pytest.raises(GraphError, match=f"^{separate}: depthwise_convolution has no low rank"):
        decompose(graph, {separate: 1})
    with pytest.raises(ValueError, match="^layer must be one of .*, not 'none'$"):
        decompose(graph, {"none": 1})
    for rank in (0, 10_000, True, (0, 1), (1, 10_000), (1, 2, 3)):
        with pytest.raises(ValueError, match=f"^rank of {plain} must be 1 to "):
            decompose(graph, {plain: rank})
    for wrong in ({}, {"energy": 0.5, "budget": 0.5}):
        with pytest.raises(ValueError, match="^one of energy and budget must be given"):
            choose_ranks(graph, **wrong)
    for key in ("energy", "budget"):
        for value in (0, 1.5, True):
            with pytest.raises(ValueError, match=f"^{key} must be above 0 and at most 1, not "):
                choose_ranks(graph, **{key: value})
    with pytest.raises(ValueError, match="^convolutions must be 'tucker' or 'spatial', not 'x'$"):
        choose_ranks(graph, energy=0.5, convolutions="x")
    with pytest.raises(ValueError, match=f"^layer must be one of .*, not '{separate}'$"):
        choose_ranks(graph, energy=0.5, names=[separate])
    vector = Node("fc", "dense", ("x",), "y", {}, {"weight": np.zeros((3, 2))})
    with pytest.raises(ValueError, match="^rank of fc must be 1 to 2, not"):
        kept_energy(vector, (1, 1))
