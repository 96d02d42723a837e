"""Sites for the multiplier blocks of a systolic array."""

import re

import pytest

from prunus.boards.floorplan import multiplier_sites, place_multipliers
from prunus.boards.registry import BOARDS, find_board

ECP5 = [board for board in BOARDS.values() if board.family == "ecp5"]


def names(rows, columns, array="core.systolic.array."):
    return {
        (row, column): f"{array}pe_{row}_{column}.multiplier.block"
        for row in range(rows)
        for column in range(columns)
    }


def place(site):
    x, y, kind = re.fullmatch(r"X(\d+)/Y(\d+)/MULT18_([0145])", site).groups()
    return int(x), int(y), int(kind)


@pytest.mark.parametrize("board", ECP5, ids=lambda board: board.name)
def test_there_are_as_many_sites_as_blocks(board):
    sites = [site for row in multiplier_sites(board) for site in row]
    assert len(set(sites)) == len(sites) == board.dsps
    for row in multiplier_sites(board):
        assert [place(site)[0] for site in row] == sorted(place(site)[0] for site in row)


def test_the_85f_as_the_tools_have_it():
    first, second, third = multiplier_sites(find_board("ulx3s-85f"))
    assert first[:5] == ["X4/Y10/MULT18_0", "X5/Y10/MULT18_1", "X8/Y10/MULT18_4",
                         "X9/Y10/MULT18_5", "X13/Y10/MULT18_0"]  # fmt: skip
    assert second[26:29] == ["X62/Y34/MULT18_4", "X63/Y34/MULT18_5", "X69/Y34/MULT18_0"]
    assert third[-1] == "X119/Y58/MULT18_5"


@pytest.mark.parametrize("rows, columns", [(16, 8), (16, 9), (8, 4), (17, 7), (4, 1), (1, 5)])
def test_neighbours_are_near(rows, columns):
    cells = names(rows, columns)
    others = ["core.vector.lane_0.lh.block", "core.eie.array.pe_3.multiplier.block"]
    placed = place_multipliers(find_board("ulx3s-85f"), [*cells.values(), *others])
    assert set(placed) == set(cells.values())
    assert len(set(placed.values())) == rows * columns
    for (row, column), cell in cells.items():
        x, y, _ = place(placed[cell])
        if row:  # partial sums: along the chip's row
            above_x, above_y, _ = place(placed[cells[row - 1, column]])
            assert y == above_y and 0 < x - above_x <= 14
        if column:  # activations: a step along the row, or to the next
            left_x, left_y, _ = place(placed[cells[row, column - 1]])
            assert abs(y - left_y) in (0, 24)
            assert abs(x - left_x) <= 6 if y == left_y else abs(x - left_x) <= 50


@pytest.mark.parametrize(
    "board, cells",
    [
        ("icebreaker", names(2, 2).values()),
        ("ulx3s-85f", []),
        ("ulx3s-85f", ["core.eie.array.pe_3.multiplier.block"]),
        ("ulx3s-85f", names(32, 8).values()),  # larger than the part
        ("ulx3s-85f", list(names(4, 4).values())[:-1]),  # not whole
        ("ulx3s-85f", [*names(2, 2).values(), *names(2, 2, "other.").values()]),
        ("ulx3s-25f", names(8, 4).values()),
    ],
)
def test_others_are_left_to_the_placer(board, cells):
    assert place_multipliers(find_board(board), cells) == {}
