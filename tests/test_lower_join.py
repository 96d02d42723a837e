"""Concatenations, and the layouts that they make."""

import pytest
from int8_graphs import Int8
from lowered import check

from prunus.compiler.ir import GraphError

GRID = (0.1, -5)


def names(placed):
    return [layer.work.op for layer in placed.layers]


@pytest.mark.parametrize("widths", [(16, 16), (5, 11), (16, 3, 20)])
def test_parts_are_made_in_place(widths):
    g = Int8((4, 5, 6), grid=GRID)
    parts = [g.conv(g.x, width, (3, 3), padding=(1, 1, 1, 1)) for width in widths]
    t = g.concatenation(parts)
    placed = check(g.graph(t))
    assert names(placed) == ["conv_2d"] * len(widths)
    t = g.conv(t, 7, (2, 2))
    assert names(check(g.graph(t))) == ["conv_2d"] * (len(widths) + 1)


@pytest.mark.parametrize("widths", [(16, 16), (5, 11), (3, 16)])
def test_streams_and_pools_of_a_joined_tensor(widths):
    g = Int8((4, 5, 6), grid=GRID)
    t = g.concatenation([g.conv(g.x, width) for width in widths])
    a = g.pool(t, "max", (2, 2))
    b = g.pool(g.conv(t, sum(widths), (2, 2), depthwise=True), "average", (1, 1))
    placed = check(g.graph(g.concatenation([a, b, g.conv(t, 3, (2, 2))])))
    assert names(placed).count("copy") == (widths[0] % 16 > 0)


def test_what_has_another_user_is_copied():
    g = Int8((3, 4, 5), grid=GRID)
    a, b = g.conv(g.x, 7), g.conv(g.x, 16)
    t = g.concatenation([a, g.x, b, a])
    t = g.concatenation([g.conv(t, 3), t, g.conv(a, 2)])
    placed = check(g.graph(t))
    assert names(placed).count("copy") == 4  # a twice, x, and the first joined tensor


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("channels", [4, 16])
def test_every_axis(axis, channels):
    g = Int8((3, 4, channels), seed=axis, grid=GRID)
    parts = [g.conv(g.x, channels), g.conv(g.x, channels, (1, 1)), g.x]
    t = g.concatenation(parts, axis)
    check(g.graph(g.conv(t, 5, (2, 2))))
    check(g.graph(t))


def test_vectors():
    g = Int8((12,), grid=GRID)
    a, b = g.fully_connected(g.x, 5), g.fully_connected(g.x, 20)
    t = g.concatenation([g.lut(a), b, g.x], 0)
    for engine in ("eie", "systolic"):
        check(g.graph(t), engine=engine)
        check(g.graph(g.fully_connected(t, 9)), engine=engine)


def test_parts_that_are_reshaped_sums_and_functions():
    g = Int8((4, 4, 16), grid=GRID)
    a, b = g.conv(g.x, 16), g.conv(g.x, 16)
    t = g.concatenation([g.reshape(g.add(a, b), (16, 16)), g.reshape(g.lut(a), (16, 16))], 1)
    placed = check(g.graph(t))
    assert names(placed) == ["conv_2d", "conv_2d", "add", "lut"]
    t = g.concatenation([g.reshape(g.pool(b, "max", (1, 1)), (16, 16)), t], 1)
    check(g.graph(t))


def test_an_image_that_does_not_fill_words_cannot_be_folded():
    g = Int8((4, 6, 5), grid=GRID)
    pairs = g.reshape(g.conv(g.x, 5), (4, 3, 10))  # of pixels, with a gap inside of them
    check(g.graph(g.pool(g.conv(pairs, 3, (2, 2)), "max", (2, 2))))
    t = g.conv(g.reshape(pairs, (2, 5, 12)), 3, (2, 2))
    with pytest.raises(GraphError, match=r"^conv_2d_5: .* reshape images of a multiple of 16 chan"):
        check(g.graph(t))
    g = Int8((4, 6, 16), grid=GRID)
    t = g.reshape(g.conv(g.x, 16), (4, 3, 32))
    check(g.graph(g.conv(t, 3, (2, 2))))
