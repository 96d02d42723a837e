"""Colorlight i5 v7.0 (Lattice ECP5-25F, speed grade 6) on its extension board.

The extension board's DAPLink programs the part and is its UART. Pins: documentation of the board,
https://github.com/wuxx/Colorlight-FPGA-Projects; amaranth-boards does not have it.
"""

from amaranth.build import Attrs, Clock, Pins, PinsN, Resource
from amaranth.vendor import LatticeECP5Platform
from amaranth_boards.resources import SPIFlashResources, UARTResource

from .board import Board, Ram, open_fpga_loader

__all__ = ["COLORLIGHT_I5", "ColorlightI5Platform"]


class ColorlightI5Platform(LatticeECP5Platform):
    """Clock, light, UART and flash."""

    device = "LFE5U-25F"
    package = "BG381"
    speed = "6"
    default_clk = "clk25"
    resources = [
        Resource("clk25", 0, Pins("P3", dir="i"), Clock(25e6), Attrs(IO_TYPE="LVCMOS33")),
        Resource("led", 0, PinsN("U16", dir="o"), Attrs(IO_TYPE="LVCMOS33")),
        UARTResource(0, rx="H18", tx="J17", attrs=Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")),
        *SPIFlashResources(
            0, cs_n="R2", clk="U3", copi="W2", cipo="V2", attrs=Attrs(IO_TYPE="LVCMOS33")
        ),
    ]
    connectors = []


COLORLIGHT_I5 = Board(
    name="colorlight-i5",
    title="Colorlight i5",
    part="LFE5U-25F-6BG381",
    family="ecp5",
    platform=ColorlightI5Platform,
    oscillator="clk25",
    oscillator_hz=25_000_000,
    clock_hz=80_000_000,
    baud=1_000_000,
    uart="by the DAPLink of the extension board",
    luts=24_288,
    ffs=24_288,
    dsps=28,
    rams=(Ram(kind="BRAM", count=56, bits=18 * 1024),),
    ready_led=("led", 0),
    failed_led=None,
    loaders=(open_fpga_loader("-b", "colorlight-i5"),),
    image_offset=2 << 20,
)
