"""First convolutions with strides: the host rearranges their input."""

import numpy as np
import pytest
from int8_graphs import Int8, samples
from lowered import check

from prunus.compiler.evaluate import output
from prunus.compiler.lower_input import arranged, space_to_depth
from prunus.compiler.options import Options
from prunus.compiler.plan import plan
from prunus.compiler.steps import Sizes

SIZES = Sizes(word=16, lanes=8, columns=8, tile_pixels=64, matrices=False)


@pytest.mark.parametrize("seed", range(30))
def test_blocks_of_pixels_are_the_same_convolution(seed):
    rng = np.random.default_rng(seed)
    stride = tuple(int(v) for v in rng.integers(1, 4, 2))
    kernel = tuple(int(v) for v in rng.integers(1, 7, 2))
    size = tuple(int(max(k, s) + rng.integers(0, 9)) for k, s in zip(kernel, stride, strict=True))
    padding = tuple(int(rng.integers(0, kernel[n // 2])) for n in range(4))
    g = Int8((*size, int(rng.integers(1, 4))), seed)
    t = g.conv(g.x, 5, kernel, stride, padding)
    graph = g.graph(g.conv(t, 3))
    changed, index = space_to_depth(graph, graph.nodes[0])
    x = samples(graph)
    flat = np.pad(x.reshape(3, -1), ((0, 0), (0, 1)), constant_values=graph.tensors["x"].zero_point)
    moved = flat[:, index].reshape(3, *changed.tensors["x"].shape)
    assert np.array_equal(output(changed, moved), output(graph, x))
    assert np.bincount(index[index >= 0]).max() == 1  # nothing is sent twice


def test_the_keyword_spotter_first_layer():
    g = Int8((490,))
    t = g.conv(g.reshape(g.x, (49, 10, 1)), 64, (10, 4), (2, 2), (4, 5, 1, 1))
    placed = check(g.graph(t))
    (descriptor,) = placed.program
    assert (descriptor["rows"], descriptor["taps_y"], descriptor["taps_x"]) == (8, 5, 1)
    assert placed.layers[0].cycles < 2700
    assert len(placed.input_index) == 25 * 6 * 4 and (placed.input_index == -1).sum() == 110


def test_only_where_it_is_faster():
    g = Int8((16, 16, 3))
    graph = g.graph(g.conv(g.x, 8, (3, 3), (2, 2), (0, 1, 0, 1)))
    assert arranged(graph, SIZES)[1] is None
    g = Int8((16, 16, 1))
    t = g.conv(g.x, 8, (8, 4), (4, 2))
    assert arranged(g.graph(t), SIZES)[1] is not None
    g.pool(g.x, "max", (2, 2))  # somebody else needs the input as it is
    assert arranged(g.graph(t), SIZES)[1] is None


def test_the_input_is_as_it_is_otherwise():
    g = Int8((5, 4, 3))
    placed = plan(g.graph(g.conv(g.x, 8, (3, 3))), Options())
    assert placed.input_index.tolist() == list(range(60))
