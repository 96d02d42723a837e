"""Padding goes into convolutions, where they alone see it."""

import dataclasses

import numpy as np
import pytest
from image_graphs import POOL, Chain, samples

from prunus.compiler.evaluate import output, quantize_input
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.fold_pad import fold_pad


def padded(padding=(1, 0, 0, 1), channels=(0, 0), size=3):
    chain = Chain((5, 4, 3)).conv("x", "a", 4)
    h, w = 5 + padding[0] + padding[1], 4 + padding[2] + padding[3]
    attrs = {"padding": padding, "channels": channels}
    chain.add("pad", "a", "p", (h, w, 4 + sum(channels)), attrs)
    return chain.conv("p", "y", 4 + sum(channels), depthwise=True, size=size)


def check(graph, ops):
    for kind in (graph, calibrate(graph, samples(graph))):
        folded = fold_pad(kind)
        x = quantize_input(kind, samples(graph, 20))
        assert np.array_equal(output(folded, x), output(kind, x))
        assert [node.op == "pad" for node in folded.nodes] == [op == "pad" for op in ops.split()]


def test_padding_becomes_the_convolutions():
    check(padded().graph(), "conv conv")
    folded = fold_pad(padded().graph())
    assert folded.nodes[-1].attrs["padding"] == (2, 1, 1, 2)
    assert "p" not in folded.tensors


@pytest.mark.parametrize("changes", [
    {"padding": (2, 0, 0, 0)}, {"channels": (1, 0)}, {"padding": (1, 1, 1, 1), "size": 1},
])  # fmt: skip
def test_padding_that_stays(changes):
    check(padded(**changes).graph(), "conv pad conv")


def test_padding_that_others_see_stays():
    chain = padded((1, 0, 0, 0))
    chain.add("max_pool_2d", "p", "m", (3, 2, 4), POOL)
    chain.add("max_pool_2d", "y", "n", (3, 2, 4), POOL).add("add", "m n", "z")
    check(chain.graph(), "conv pad conv max max add")
    chain = padded()
    both = dataclasses.replace(chain.graph(), outputs=("p", "y"))
    assert fold_pad(both).nodes == both.nodes


def test_two_convolutions_take_it():
    chain = padded().conv("p", "b", 4).add("add", "y b", "z")
    check(chain.graph(), "conv conv conv add")
