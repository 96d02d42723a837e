import numpy as np
import pytest
from graphs import float_mlp, samples

from prunus.compiler.ir import equal, verify
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.layers import changes, layers, real_weight
from prunus.compiler.passes.prune import magnitude_mask, prune


def both():
    graph = float_mlp((8, 12, 5))
    return [graph, calibrate(graph, samples(graph), per_channel=True)]


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.77])
@pytest.mark.parametrize("graph", both())
def test_keeps_the_largest(graph, density):
    pruned = verify(prune(graph, density))
    for old, new in zip(layers(graph), layers(pruned), strict=True):
        before, after = (node.consts["weight"].astype(float) for node in (old, new))
        count = int(density * before.size + 0.5)
        kept = after != 0
        assert np.count_nonzero(kept) == count
        assert np.array_equal(after[kept], before[kept])
        assert new.consts["weight"].dtype == old.consts["weight"].dtype
        if count:
            real = np.abs(real_weight(graph, old))
            assert real[kept].min() >= real[~kept].max()
        assert np.array_equal(old.consts["bias"], new.consts["bias"])


@pytest.mark.parametrize("graph", both())
def test_density_one_changes_nothing(graph):
    assert equal(prune(graph, 1.0), graph)
    assert equal(prune(graph, 1, scope="network"), graph)


@pytest.mark.parametrize("graph", both())
def test_one_layer_only(graph):
    pruned = prune(graph, {"fc1": 0.2})
    rows = changes(graph, pruned)
    assert rows[0].max_error == 0
    assert rows[1].nonzeros == 12
    weight = real_weight(graph, layers(graph)[1])
    assert rows[1].max_error == np.sort(np.abs(weight).ravel())[-13]


@pytest.mark.parametrize("graph", both())
def test_network_scope_ranks_real_weights(graph):
    pruned = prune(graph, 0.3, scope="network")
    kept, gone = [], []
    for old, new in zip(layers(graph), layers(pruned), strict=True):
        weight, mask = np.abs(real_weight(graph, old)), new.consts["weight"] != 0
        kept.extend(weight[mask])
        gone.extend(weight[~mask])
    assert len(kept) == round(0.3 * (8 * 12 + 12 * 5))
    assert min(kept) >= max(gone)


def test_mask_takes_the_first_among_equals():
    mask = magnitude_mask(np.array([-128, 127, 5, -5], np.int8), 0.75)
    assert mask.tolist() == [True, True, True, False]
    assert magnitude_mask(np.ones((2, 3)), 0.5).tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize("density", [0, 0.0, -0.5, 1.5, float("nan"), True])
def test_density_is_checked(density):
    for call in (
        lambda: prune(float_mlp(), density),
        lambda: prune(float_mlp(), {"fc0": density}),
        lambda: prune(float_mlp(), density, scope="network"),
        lambda: magnitude_mask(np.ones(3), density),
    ):
        with pytest.raises(ValueError, match="^density must be above 0 and at most 1, not "):
            call()


def test_names_are_checked():
    with pytest.raises(ValueError, match="^layer must be one of fc0, fc1, not 'fc9'$"):
        prune(float_mlp(), {"fc9": 0.5})
    with pytest.raises(ValueError, match="^scope must be 'layer' or 'network', not 'all'$"):
        prune(float_mlp(), 0.5, scope="all")
    with pytest.raises(ValueError, match="^density must be one number when scope is 'network'$"):
        prune(float_mlp(), {"fc0": 0.5}, scope="network")


def test_mask_equals_a_sort():
    rng = np.random.default_rng(3)
    for weights in (rng.integers(-9, 10, 500).astype(np.int8), rng.normal(size=500)):
        order = np.argsort(-np.abs(weights.astype(float)), kind="stable")
        for density in (0.001, 0.004, 0.3, 0.5, 0.999, 1.0):
            expected = np.zeros(500, bool)
            expected[order[: int(density * 500 + 0.5)]] = True
            assert np.array_equal(magnitude_mask(weights, density), expected)
