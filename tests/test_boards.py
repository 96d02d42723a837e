# amaranth: UnusedElaboratable=no
"""Boards and their plans: no tool is needed."""

import re

import pytest
from board_support import MHZ, Flashed, Loopback

from prunus.boards.build import plan
from prunus.boards.registry import BOARDS, find_board


def test_find_board():
    assert find_board("ulx3s-85f").title == "ULX3S 85F"
    with pytest.raises(ValueError, match=r"^unknown board 'icebraker'; did you mean icebreaker\? "
                       r"known boards: icebreaker, ulx3s-12f, .*ulx3s-85f$"):  # fmt: skip
        find_board("icebraker")


@pytest.mark.parametrize("name", BOARDS)
def test_plan(name):
    board = BOARDS[name]
    made = plan(board, Loopback())
    assert made.clock_hz == board.clock_hz
    script = made.files["top.ys"]
    assert re.search(r"read_rtlil top.il\nrename -hide w:\*\[\*\]\n", script)
    pins = next(text for file, text in made.files.items() if file.endswith((".lpf", ".pcf")))
    if board.family == "ice40":
        assert "synth_ice40 -abc9 -device u -top top" in script
        assert "set_frequency clock 24.0\n" in pins and "SB_PLL40_PAD" in made.files["top.il"]
        assert {"set_io uart_0__rx__io 6", "set_io uart_0__tx__io 9"} <= set(pins.splitlines())
    else:
        assert 'FREQUENCY NET "clock" 80000000.0 HZ;' in pins
        assert 'LOCATE COMP "uart_0__rx__io" SITE "M1";' in pins
        assert 'LOCATE COMP "wifi_gpio0_0__io" SITE "L2";' in pins
    assert plan(board, Loopback()) == made  # else nothing would ever be found in the cache


@pytest.mark.parametrize("name", [name for name in BOARDS if BOARDS[name].image_offset])
def test_flash_pins(name):
    board = BOARDS[name]
    assert board.image_offset % (1 << 16) == 0  # flashes are erased by blocks
    made = plan(board, Flashed())
    pins = next(text for file, text in made.files.items() if file.endswith((".lpf", ".pcf")))
    lines = {"cs", "copi", "cipo"} | ({"clk"} if board.family == "ice40" else set())
    assert lines <= set(re.findall(r"image_flash_0__(\w+?)__io", pins))
    assert ("USRMCLK" in made.files["top.il"]) == (board.family == "ecp5")
    if name == "icebreaker":
        assert "set_io image_flash_0__clk__io 15" in pins


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-25f"])
def test_no_pll_at_the_oscillator_clock(name):
    board = BOARDS[name]
    made = plan(board, Loopback(), board.oscillator_hz)
    assert made.clock_hz == board.oscillator_hz
    assert "PLL" not in made.files["top.il"]


def test_pll_parameters_reach_the_netlist():
    text = plan(BOARDS["ulx3s-85f"], Loopback(), 90 * MHZ).files["top.il"]
    value = {
        name: int(re.search(rf"parameter \\{name} (\d+)", text)[1])
        for name in ("CLKI_DIV", "CLKFB_DIV", "CLKOP_DIV", "CLKOS_DIV")
    }
    vco = 25 * MHZ // value["CLKI_DIV"] * value["CLKFB_DIV"] * value["CLKOP_DIV"]
    assert vco / value["CLKOS_DIV"] == 90 * MHZ
    text = plan(BOARDS["icebreaker"], Loopback(), 30 * MHZ).files["top.il"]
    bits = {
        name: int(re.search(rf"parameter \\{name} \d+'([01]+)", text)[1], 2)
        for name in ("DIVR", "DIVF", "DIVQ", "FILTER_RANGE")
    }
    assert bits == {"DIVR": 0, "DIVF": 79, "DIVQ": 5, "FILTER_RANGE": 1}  # what icepll says
