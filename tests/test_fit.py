"""Accelerators that are chosen for a board fit it, by the board's own count."""

import pytest
from int8_graphs import Int8
from networks import random_network

from prunus.boards.estimate import blocks, estimate, shortfall
from prunus.boards.registry import BOARDS
from prunus.compiler.plan import Options, plan
from prunus.flow.fit import FitError, choose_options


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_choice_fits(board, density):
    graph = random_network([64, 48, 10], density=density, bits=4)
    options = choose_options(graph, board)
    placed = plan(graph, options)
    assert not shortfall(board, estimate(board, placed.config, 0))
    if options.pes > 1:  # no smaller one is as fast
        slower = plan(graph, Options(pes=1, act_word=options.act_word, lanes=1))
        assert slower.cycles > placed.cycles


def test_larger_parts_are_not_slower():
    graph = random_network([256, 128, 64])
    sizes = [BOARDS[f"ulx3s-{size}"] for size in ("25f", "45f", "85f")]
    cycles = [plan(graph, choose_options(graph, board)).cycles for board in sizes]
    assert cycles == sorted(cycles, reverse=True)


def test_shortfall_is_told_in_numbers():
    graph = random_network([1000, 200])
    with pytest.raises(
        FitError,
        match=r"^icebreaker: the model needs at least \d+ BRAM of 30.*; ulx3s-45f would take it$",
    ):
        choose_options(graph, BOARDS["icebreaker"])


def test_no_board_at_all():
    graph = random_network([4000, 300])
    with pytest.raises(FitError, match=r"no known board would take it$"):
        choose_options(graph, BOARDS["ulx3s-85f"])


@pytest.mark.parametrize(
    ("family", "width", "depth", "count"),
    [("ecp5", 36, 512, 1), ("ecp5", 8, 4096, 2), ("ecp5", 1, 16384, 1), ("ice40", 16, 256, 1),
     ("ice40", 17, 256, 2), ("ice40", 2, 2049, 2)],
)  # fmt: skip
def test_blocks(family, width, depth, count):
    assert blocks(family, width, depth) == count


@pytest.mark.parametrize("size", ["25f", "85f"])
def test_convolutions_fit_as_well(size):
    g = Int8((12, 12, 3))
    t = g.conv(g.conv(g.x, 32, (3, 3)), 32, (3, 3), depthwise=True)
    graph = g.graph(g.fully_connected(g.reshape(t, (8 * 8 * 32,)), 10))
    board = BOARDS[f"ulx3s-{size}"]
    options = choose_options(graph, board)
    placed = plan(graph, options)
    assert placed.config.columns and not shortfall(board, estimate(board, placed.config, 0))
    smallest = plan(graph, Options(act_word=2, engine="systolic"))
    assert placed.cycles < smallest.cycles
    both = choose_options(graph, board, Options(engine="eie"))
    assert plan(graph, both).config.pes == both.pes
