"""Every operator of the gates: the image computes what the graph means."""

import numpy as np
import pytest
from int8_graphs import Int8
from lowered import check

from prunus.compiler.ir import GraphError
from prunus.compiler.passes.fold_pad import fold_pad
from prunus.compiler.plan import Options, plan
from prunus.hw.isa import Op

SMALL = {"act_word": 8}
WORDS = [{}, SMALL, {"act_word": 16, "lanes": 4}, {"act_word": 32, "lanes": 8}, {"act_word": 4}]


def ops(placed):
    return [Op(descriptor["op"]).name for descriptor in placed.program]


@pytest.mark.parametrize("options", WORDS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_convolutions(seed, options):
    rng = np.random.default_rng(seed)
    g = Int8((int(rng.integers(5, 10)), int(rng.integers(5, 10)), int(rng.integers(1, 20))), seed)
    kernel = tuple(int(v) for v in rng.integers(1, 4, 2))
    stride = tuple(int(v) for v in rng.integers(1, 3, 2))
    padding = tuple(int(rng.integers(0, kernel[n // 2])) for n in range(4))
    t = g.conv(g.x, int(rng.integers(1, 40)), kernel, stride, padding, per_channel=bool(seed % 2))
    t = g.conv(t, int(rng.integers(1, 20)), (2, 2), rounding=("single", "double")[seed % 2])
    check(g.graph(t), **options)


@pytest.mark.parametrize("dilation", [(2, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("channels", [1, 5, 16, 33])
def test_dilated_convolutions(dilation, channels):
    g = Int8((9, 8, channels))
    t = g.conv(g.x, 7, (3, 3), padding=(2, 1, 1, 2), dilation=dilation)
    t = g.conv(t, 3, (2, 2), dilation=dilation)
    check(g.graph(t))


def test_a_kernel_as_large_as_the_image():
    g = Int8((4, 5, 3))
    check(g.graph(g.conv(g.conv(g.x, 20, (4, 5)), 9)))


@pytest.mark.parametrize("width", [1, 15, 16, 17, 40])
def test_pixels_of_any_number_of_channels(width):
    g = Int8((3, 4, width))
    t = g.conv(g.x, width, (3, 3), padding=(1, 1, 1, 1))
    check(g.graph(g.conv(t, 5, (3, 3), padding=(1, 1, 1, 1))))


@pytest.mark.parametrize("options", WORDS, ids=str)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (2, 3), (3, 1), (3, 5), (4, 3), (3, 6)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2)])
def test_depthwise(kernel, stride, options):
    g = Int8((8, 9, 3), seed=kernel[0])
    padding = tuple((kernel[n // 2] - n % 2) // 2 for n in range(4))
    t = g.conv(g.x, 19, (1, 1))
    check(g.graph(g.conv(t, 19, kernel, stride, padding, depthwise=True)), **options)


def test_depthwise_is_streamed_where_it_can_be():
    g = Int8((8, 9, 16))
    every = (1, 1, 1, 1)
    t = g.conv(g.x, 16, (3, 3), padding=every, depthwise=True)
    assert ops(check(g.graph(t))) == ["DEPTHWISE"]
    weight = g.nodes[0].consts["weight"].copy()
    weight[0, 0, 0, 0] = -128  # on the first weight of a multiplier, which can be anything
    g.nodes[0] = g.nodes[0].with_consts(weight=weight)
    assert ops(check(g.graph(t))) == ["CONV"]


@pytest.mark.parametrize(("channels", "multiplier"), [(1, 8), (3, 5), (16, 3), (7, 2), (20, 2)])
def test_depthwise_with_several_outputs_for_a_channel(channels, multiplier):
    g = Int8((6, 5, channels))
    t = g.conv(g.x, channels * multiplier, (3, 3), padding=(1, 1, 1, 1), depthwise=True)
    t = g.conv(t, channels * multiplier * 2, (2, 2), depthwise=True, dilation=(2, 1))
    check(g.graph(t))


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("channels", [1, 8, 16, 21])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((2, 2), (2, 2), (0, 0, 0, 0)), ((3, 3), (1, 1), (1, 1, 1, 1)),
     ((3, 2), (2, 1), (0, 1, 1, 0)), ((5, 4), (1, 2), (2, 2, 1, 2)),
     ((7, 6), (1, 1), (3, 3, 2, 3)), ((7, 6), (7, 6), (0, 0, 0, 0))],
)  # fmt: skip
def test_pools(kind, channels, kernel, stride, padding):
    g = Int8((7, 6, channels), seed=channels)
    t = g.pool(g.x, kind, kernel, stride, padding)
    check(g.graph(t))
    g = Int8((7, 6, 2), seed=channels)
    t = g.pool(g.conv(g.x, channels), kind, kernel, stride, padding)
    check(g.graph(g.conv(t, 3)), **SMALL)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 5), (4, 3, 16), (9, 7, 20)])
def test_mean(shape, flat):
    g = Int8(shape)
    t = g.mean(g.conv(g.x, 18), flat)
    check(g.graph(g.fully_connected(t if flat else g.reshape(t, (18,)), 6)))
    g = Int8(shape, seed=3)
    check(g.graph(g.mean(g.x, flat)))


@pytest.mark.parametrize("channels", [2, 16, 19])
def test_sums_and_functions(channels):
    g = Int8((4, 5, channels), seed=channels)
    a, b = g.conv(g.x, channels), g.conv(g.x, channels, (3, 3), padding=(1, 1, 1, 1))
    t = g.add(g.lut(a), g.rescale(b))
    t = g.add(t, a)
    t = g.lut(g.add(t, t))
    placed = check(g.graph(g.fully_connected(g.reshape(t, (20 * channels,)), 9)))
    assert placed.config.adder and placed.config.tables == 3


def test_functions_of_the_input_and_of_vectors():
    g = Int8((5, 3, 3))
    t = g.add(g.lut(g.x), g.x)
    t = g.conv(t, 7, (3, 3))
    t = g.rescale(g.reshape(t, (3, 7)))
    t = g.lut(g.fully_connected(g.reshape(t, (21,)), 40))
    check(g.graph(t))
    check(g.graph(t), engine="eie")


@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize("around", [(0, 0), (1, 0), (2, 17)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 2, 3, 1)])
def test_padding(channels, around, padding):
    for first in (False, True):
        g = Int8((4, 3, channels), seed=channels)
        source = g.x if first else g.conv(g.x, channels)
        t = g.pad(source, padding, around)
        check(g.graph(g.pool(t, "max", (2, 2))))


def test_folded_padding_is_the_same():
    g = Int8((5, 5, 4))
    t = g.conv(g.pad(g.x, (1, 1, 1, 1)), 6, (3, 3))
    graph = g.graph(t)
    assert len(check(fold_pad(graph)).layers) == 1
    check(graph)


@pytest.mark.parametrize("engine", ["auto", "eie", "systolic"])
@pytest.mark.parametrize("channels", [1, 12, 16, 25])
def test_fully_connected_behind_an_image(engine, channels):
    g = Int8((3, 4, 2), seed=channels)
    t = g.reshape(g.conv(g.x, channels), (12 * channels,))
    t = g.fully_connected(g.fully_connected(t, 30, "double"), 5)
    placed = check(g.graph(t), engine=engine, pes=8)
    assert {layer.work.engine for layer in placed.layers if layer.matrix} <= {"eie"}
    if engine != "auto":
        assert (engine == "eie") == bool(placed.config.pes)


def test_fully_connected_on_the_systolic_array():
    g = Int8((37,))
    t = g.fully_connected(g.fully_connected(g.x, 50), 21)
    assert ops(check(g.graph(t), engine="systolic")) == ["CONV", "CONV"]
    assert ops(check(g.graph(t))) == ["EIE", "EIE"]


def test_a_vector_becomes_an_image():
    g = Int8((10,))
    t = g.reshape(g.fully_connected(g.x, 60), (4, 5, 3))
    check(g.graph(g.pool(g.conv(t, 6, (3, 3)), "average", (2, 2))))


def test_engines_are_chosen_by_cycles():
    g = Int8((4, 4, 4))
    t = g.reshape(g.conv(g.x, 16), (256,))
    graph = g.graph(g.fully_connected(g.fully_connected(t, 256), 64))
    assert plan(graph, Options()).config.pes == 64
    assert plan(graph, Options(pes=2)).config.pes == 0
    known = "auto, eie, systolic, winograd, compact"
    with pytest.raises(ValueError, match=rf"^engine must be one of {known}, not 'x'$"):
        plan(graph, Options(engine="x"))


def test_the_lowest_weight_is_refused_where_two_share_a_multiplier():
    g = Int8((3, 3, 2))
    t = g.conv(g.x, 20)
    weight = g.nodes[0].consts["weight"].copy()
    weight[0, 0, 0, 0] = -128
    g.nodes[0] = g.nodes[0].with_consts(weight=weight)
    check(g.graph(t))
    weight[9, 0, 0, 0] = -128
    g.nodes[0] = g.nodes[0].with_consts(weight=weight)
    with pytest.raises(GraphError, match=r"^conv_2d_0: has a weight of -128, and the systolic"):
        check(g.graph(t))
    g = Int8((20,))
    t = g.fully_connected(g.x, 20)
    weight = g.nodes[0].consts["weight"].copy()
    weight[9, 0] = -128
    g.nodes[0] = g.nodes[0].with_consts(weight=weight)
    check(g.graph(t))
    with pytest.raises(GraphError, match=r"^fully_connected_0: has a weight of -128"):
        check(g.graph(t), engine="systolic")
