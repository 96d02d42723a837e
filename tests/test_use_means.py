"""Average pools of a whole image, which become means."""

import numpy as np
import pytest
from image_graphs import Chain, samples

from prunus.compiler.evaluate import output, quantize_input
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.use_means import use_means
from prunus.sim.ops import dequantize


def pooled(kernel=(4, 6), padding=(0, 0, 0, 0), result=(1, 1, 5)):
    attrs = {"kernel": kernel, "stride": (2, 2), "padding": padding}
    chain = Chain((4, 6, 3)).conv("x", "c", 5).add("relu", "c", "r")
    return chain.add("average_pool_2d", "r", "y", result, attrs).graph()


def test_the_function_stays():
    graph = pooled()
    changed = use_means(graph)
    assert [node.op for node in changed.nodes] == ["convolution", "relu", "mean"]
    x = samples(graph)
    np.testing.assert_allclose(output(changed, x), output(graph, x), rtol=1e-12)


@pytest.mark.parametrize(
    "pool", [((4, 5), (0, 0, 0, 0), (1, 1, 5)), ((4, 6), (1, 1, 1, 1), (2, 2, 5))]
)
def test_other_pools_stay(pool):
    graph = pooled(*pool)
    assert use_means(graph).nodes == graph.nodes


def test_the_scale_is_that_of_the_means():
    graph = pooled()
    x = samples(graph, 100)
    quantized = calibrate(graph, x, ranges="full")
    before, after = (quantized.tensors[name] for name in ("r", "y"))
    wanted = output(graph, x)
    assert after.scale < before.scale / 2
    assert abs(255 * after.scale - wanted.max()) < 1e-5 * wanted.max()
    result = output(quantized, quantize_input(quantized, x))
    real = dequantize(result, after.scale, after.zero_point)
    assert np.abs(real - wanted).max() < before.scale
