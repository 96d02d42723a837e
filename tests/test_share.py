import numpy as np
import pytest
from graphs import float_mlp, samples
from sklearn.cluster import KMeans

from prunus.compiler.ir import equal, verify
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.layers import changes, layers
from prunus.compiler.passes.prune import prune
from prunus.compiler.passes.share import codebook, share, share_weights

RNG = np.random.default_rng(0)


def both():
    graph = float_mlp((20, 30, 10))
    return [graph, calibrate(graph, samples(graph))]


@pytest.mark.parametrize("init", ["linear", "density", "random"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("graph", both())
def test_few_values_and_zero_counts(graph, bits, init):
    for source in (graph, prune(graph, 0.7)):
        for old, new in zip(layers(source), layers(verify(share(source, bits, init))), strict=True):
            before, after = old.consts["weight"], new.consts["weight"]
            assert len(codebook(after)) <= 1 << bits
            assert not after[before == 0].any()
            assert after.dtype == before.dtype


@pytest.mark.parametrize("graph", both())
def test_sparse_layers_do_not_count_zero(graph):
    pruned = prune(graph, 0.3)
    for node in layers(share(pruned, 2)):
        assert len(codebook(node.consts["weight"])) == 5
    for node in layers(share(pruned, 2, zero_free=False)):
        assert len(codebook(node.consts["weight"])) == 4


def test_equals_scikit_learn():
    weight = RNG.normal(size=2000)
    start = np.quantile(weight, (np.arange(16) + 0.5) / 16, method="hazen")
    kmeans = KMeans(16, init=start[:, None], n_init=1, max_iter=1000, tol=0)
    kmeans.fit(weight[:, None])
    shared = share_weights(weight, 4, "density")
    np.testing.assert_allclose(codebook(shared), np.sort(kmeans.cluster_centers_.ravel()))
    np.testing.assert_allclose(((shared - weight) ** 2).sum(), kmeans.inertia_)


@pytest.mark.parametrize("init", ["linear", "density", "random"])
def test_no_entry_is_wasted(init):
    weight = np.concatenate([RNG.normal(size=500), [50.0, -80.0]])
    assert len(codebook(share_weights(weight, 5, init))) == 32


def test_each_weight_has_its_nearest_value():
    weight = RNG.integers(-128, 128, (40, 40)).astype(np.int8)
    shared = share_weights(weight, 3)
    values = codebook(shared).astype(int)
    values = values[values != 0] if (weight == 0).any() else values
    best = np.abs(weight.astype(int)[..., None] - values).min(axis=-1)
    best[weight == 0] = 0
    assert np.array_equal(np.abs(weight.astype(int) - shared), best)


def test_few_values_stay():
    weight = np.array([[1, 2, 0], [2, 1, -3]], np.int8)
    assert np.array_equal(share_weights(weight, 2), weight)
    assert len(codebook(share_weights(weight, 1))) == 2
    assert np.array_equal(share_weights(np.zeros((2, 2)), 1), np.zeros((2, 2)))


def test_one_layer_only():
    graph = float_mlp((20, 30, 10))
    shared = share(graph, {"fc1": 3})
    rows = changes(graph, shared)
    assert (rows[0].max_error, rows[1].distinct, rows[1].weights) == (0, 8, 300)
    assert 0 < rows[1].mean_error < rows[1].max_error < 1
    assert equal(share(graph, {}), graph)


def test_a_million_weights():
    weight = RNG.normal(size=1 << 20)
    assert len(codebook(share_weights(weight, 8))) == 256


@pytest.mark.parametrize("bits", [0, 9, -1, 2.0, True])
def test_bits_are_checked(bits):
    with pytest.raises(ValueError, match="^bits must be 1 to 8, not "):
        share(float_mlp(), bits)


def test_names_are_checked():
    with pytest.raises(ValueError, match="^init must be one of linear, density, random, not 'x'$"):
        share(float_mlp(), 4, "x")
    with pytest.raises(ValueError, match="^layer must be one of fc0, fc1, not 'fc9'$"):
        share(float_mlp(), {"fc9": 4})


def test_a_sum_of_squares_as_small_as_scikit_learns():
    weight = RNG.normal(size=40_000).astype(np.float32)
    shared = share_weights(weight, 6)
    start = np.linspace(weight.min(), weight.max(), 64)
    kmeans = KMeans(64, init=start[:, None], n_init=1, max_iter=1000, tol=0).fit(weight[:, None])
    assert ((shared - weight) ** 2).sum() < 1.02 * kmeans.inertia_
