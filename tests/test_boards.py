# amaranth: UnusedElaboratable=no
"""Boards and their plans: no tool is needed."""

import dataclasses
import re
from pathlib import Path

import pytest
from board_support import MHZ, Flashed, Loopback

from prunus.boards.build import plan
from prunus.boards.clock import made_hz
from prunus.boards.registry import BOARDS, find_board


def test_find_board():
    assert find_board("ulx3s-85f").title == "ULX3S 85F"
    with pytest.raises(ValueError, match=r"^unknown board 'icebraker'; did you mean icebreaker\? "
                       r"known boards: icebreaker, upduino3, .*colorlight-i5$"):  # fmt: skip
        find_board("icebraker")


# What a board's own documents say: clock input, UART in and out, lights for ready and failed.
PINS = {
    "icebreaker": ("35", "6", "9", "37", "11"),
    "upduino3": (None, "15", "14", "39", "41"),
    "upduino3-osc": ("20", "15", "14", "39", "41"),
    "tang-nano-9k": ("52", "18", "17", "10", "11"),
    "ulx3s": ("G2", "M1", "L4", "C1", "B2"),
    "orangecrab": ("A9", "N17", "M18", "M3", "K4"),
    "colorlight-i5": ("P3", "H18", "J17", "U16", None),
}
CONSTRAINT = {
    "lpf": r'LOCATE COMP "{}" SITE "(.*)";',
    "pcf": r"set_io {} (.*)",
    "cst": r'IO_LOC "{}" (.*);',
}


def pin(file, text, name):
    """Where the port called ``name`` is; None where there is none."""
    found = re.search(CONSTRAINT[file.suffix[1:]].format(name), text)
    return found and found[1]


@pytest.mark.parametrize("name", BOARDS)
def test_plan(name):
    board = BOARDS[name]
    made = plan(board, Loopback())
    assert made.clock_hz == board.clock_hz
    script = made.files["top.ys"]
    assert re.search(r"read_rtlil top.il\nrename -hide w:\*\[\*\]\n", script)
    file = next(Path(name) for name in made.files if not name.endswith((".il", ".ys")))
    text = made.files[file.name]
    ready, failed = (f"{light[0]}_{light[1]}__io" if light else "none"
                     for light in (board.ready_led, board.failed_led))  # fmt: skip
    ports = (f"{board.oscillator}_0__io", "uart_0__rx__io", "uart_0__tx__io", ready, failed)
    known = PINS.get(name) or PINS[name.rpartition("-")[0]]
    assert tuple(pin(file, text, port) for port in ports) == known
    if board.family == "ice40":
        assert "synth_ice40 -abc9 -device u -top top" in script
        assert "set_frequency clock 24.0\n" in text
    elif board.family == "ecp5":
        assert 'FREQUENCY NET "clock" 80000000.0 HZ;' in text
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


def test_lines_that_are_held_high():
    ulx3s, upduino = (plan(BOARDS[name], Loopback()).files for name in ("ulx3s-85f", "upduino3"))
    assert pin(Path("top.lpf"), ulx3s["top.lpf"], "wifi_gpio0_0__io") == "L2"
    # Else the flash, whose pins the UART is on, might listen.
    assert pin(Path("top.pcf"), upduino["top.pcf"], "flash_cs_0__io") == "16"


@pytest.mark.parametrize("name", ["icebreaker", "upduino3-osc", "ulx3s-25f", "tang-nano-9k"])
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
    # From a pin that is not the PLL's own, with the same dividers.
    text = plan(BOARDS["upduino3-osc"], Loopback(), 30 * MHZ).files["top.il"]
    assert "SB_PLL40_CORE" in text and re.search(r"parameter \\DIVF \d+'0*1001111\n", text)
    text = plan(BOARDS["tang-nano-9k"], Loopback(), 54 * MHZ).files["top.il"]
    value = {
        name: int(re.search(rf"parameter \\{name} (\d+)", text)[1])
        for name in ("IDIV_SEL", "FBDIV_SEL", "ODIV_SEL")
    }
    assert 27 * (value["FBDIV_SEL"] + 1) // (value["IDIV_SEL"] + 1) == 54
    assert 400 <= 54 * value["ODIV_SEL"] <= 1200


@pytest.mark.parametrize(("clock_hz", "divider"), [(48, "0b00"), (24, "0b01"), (6, "0b11")])
def test_the_oscillator_of_the_part(clock_hz, divider):
    made = plan(BOARDS["upduino3"], Loopback(), clock_hz * MHZ)
    assert made.clock_hz == clock_hz * MHZ
    assert re.search(rf'parameter \\CLKHF_DIV "{divider}"', made.files["top.il"])
    with pytest.raises(ValueError, match=r"^clock_hz must be one of 48, 24, 12, 6 MHz, which .* "
                       r"makes, not 30 MHz$"):  # fmt: skip
        made_hz(BOARDS["upduino3"], 30 * MHZ)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("family", "xc7", "family must be one of ecp5, ice40, gowin, not 'xc7'"),
     ("luts", 0, "luts must be positive, not 0"),
     ("rams", (), r"rams must hold the block RAM first, not \(\)"),
     ("loaders", (), r"loaders must name a program, not \(\)")],
)  # fmt: skip
def test_board_refuses(field, value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        dataclasses.replace(BOARDS["icebreaker"], **{field: value})
