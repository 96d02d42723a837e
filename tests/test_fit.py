"""Accelerators that are chosen for a board fit it, by the board's own count."""

import dataclasses
import re

import pytest
from int8_graphs import Int8
from networks import random_network

from prunus.boards.estimate import blocks, estimate, shortfall
from prunus.boards.registry import BOARDS
from prunus.compiler.plan import Options, plan
from prunus.flow import fit
from prunus.flow.fit import FitError, Plans, choose_options


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


def test_the_nearest_board_is_the_smallest_that_takes_it():
    """Also where that has less memory: the most of an iCE40's is in blocks of another kind."""
    graph = random_network([256, 128])
    plans = Plans(graph)
    taken = [name for name, board in BOARDS.items() if takes(plans, board)]
    smallest = min(taken, key=lambda name: BOARDS[name].luts)
    assert "icebreaker" not in taken and "tang-nano-9k" in taken
    with pytest.raises(FitError, match=rf"; {smallest} would take it$"):
        plans.choose(BOARDS["icebreaker"])


def takes(plans, board):
    try:
        plans.choose(board)
    except FitError:
        return False
    return True


def test_the_shortfall_is_that_of_the_nearest_accelerator():
    board = dataclasses.replace(BOARDS["icebreaker"], luts=20_000, ffs=20_000)
    graph = random_network([1000, 200])
    with pytest.raises(FitError) as caught:
        choose_options(graph, board)
    needed = int(re.search(r"at least (\d+) BRAM of 30; ", str(caught.value))[1])
    trials = [plan(graph, Options(pes=pes, lanes=1)) for pes in (1, 2, 4, 8)]
    assert needed <= min(estimate(board, placed.config, 0)["BRAM"] for placed in trials)


def test_logic_is_not_filled_to_the_last_cell():
    board = BOARDS["icebreaker"]
    assert shortfall(board, {"LUT": 4857, "BRAM": 30}) == {}
    assert shortfall(board, {"LUT": 4858, "BRAM": 31}) == {"LUT": (4858, 4857), "BRAM": (31, 30)}


@pytest.mark.parametrize("board", ["icebreaker", "ulx3s-25f"])
def test_sizes_that_are_fixed_are_kept(board):
    graph = random_network([64, 48, 10])
    asked = Options(pes=1, queue_depth=2, huffman_bits=9)
    free = choose_options(graph, BOARDS[board])
    options = choose_options(graph, BOARDS[board], asked, fixed=("pes", "queue_depth"))
    assert (options.pes, options.queue_depth) == (1, 2)
    assert options.act_word == free.act_word
    if board == "icebreaker":  # kept small, unless it is fixed
        assert options.huffman_bits == free.huffman_bits != 9


def test_fixed_sizes_that_do_not_go_together():
    asked = Options(pes=3, lanes=2)
    with pytest.raises(FitError, match=r"^ulx3s-25f: pes must be a multiple of lanes"):
        choose_options(random_network([64, 10]), BOARDS["ulx3s-25f"], asked, ("pes", "lanes"))


def test_the_compact_engine_is_not_chosen_for_sizes_that_it_does_not_have():
    g = Int8((6, 6, 3), seed=1)
    graph = g.graph(g.conv(g.x, 8, (3, 3)))
    fixed = {"act_word": 8, "lanes": 4}
    asked, board = Options(**fixed), BOARDS["icebreaker"]
    assert choose_options(graph, board).engine == "compact"
    with pytest.raises(FitError, match=r"^icebreaker: the model needs .* of 8"):
        choose_options(graph, board, asked, tuple(fixed))
    compact = dataclasses.replace(asked, engine="compact")
    with pytest.raises(FitError, match=r"^icebreaker: act_word must be 4 with the compact engine"):
        choose_options(graph, board, compact, tuple(fixed))


def test_a_refusal_lays_out_each_accelerator_once(monkeypatch):
    calls = []
    monkeypatch.setattr(fit, "plan", lambda *sizes: calls.append(sizes) or plan(*sizes))
    with pytest.raises(FitError, match=r"no known board would take it$"):
        choose_options(random_network([4000, 300]), BOARDS["ulx3s-85f"])
    assert len(calls) == len({options for _, options in calls})


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
