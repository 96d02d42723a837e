"""UPduino 3 (Lattice iCE40UP5K). Pins: amaranth-boards.

Its FT232H has one channel, on the pins of the flash: data for the flash (14) is the UART's way to
the host, the flash's clock (15) the way back, and the flash must not be selected (16) meanwhile.
While it is programmed, the FT232H holds the FPGA in reset. Pins: schematic of board v3.0.

The 12 MHz of the oscillator reach the FPGA only when jumper OSC (R16) is closed. Else there is the
one inside the part, whose 48 MHz are good to a tenth (FPGA-DS-02008): too far off for some UARTs.
"""

from amaranth.build import Attrs, Pins, PinsN, Resource
from amaranth_boards.resources import UARTResource
from amaranth_boards.upduino_v3 import UpduinoV3Platform

from .board import HFOSC, Board, Ram, open_fpga_loader
from .icebreaker import ICEPROG

__all__ = ["UPDUINO3", "UPDUINO3_OSC"]


def _platform():
    made = UpduinoV3Platform()
    logic = Attrs(IO_STANDARD="SB_LVCMOS")
    made.add_resources([
        UARTResource(0, rx="15", tx="14", attrs=logic),
        Resource("flash_cs", 0, Pins("16", dir="o"), logic),
        Resource("led_r", 0, PinsN("41", dir="o"), logic),
        Resource("led_g", 0, PinsN("39", dir="o"), logic),
    ])  # fmt: skip
    return made


def _board(name: str, title: str, oscillator: str, oscillator_hz: int) -> Board:
    return Board(
        name=name,
        title=title,
        part="iCE40UP5K-SG48",
        family="ice40",
        platform=_platform,
        oscillator=oscillator,
        oscillator_hz=oscillator_hz,
        clock_hz=24_000_000,
        baud=1_000_000,
        luts=5_280,
        ffs=5_280,
        dsps=8,
        rams=(
            Ram(kind="BRAM", count=30, bits=4 * 1024),
            Ram(kind="SPRAM", count=4, bits=256 * 1024),
        ),
        pll_pad=False,
        ready_led=("led_g", 0),
        failed_led=("led_r", 0),
        tie_high=("flash_cs",),
        loaders=(open_fpga_loader("-b", "ice40_generic", "-c", "ft232", ram=False), ICEPROG),
    )


UPDUINO3 = _board("upduino3", "UPduino 3", HFOSC, 48_000_000)
UPDUINO3_OSC = _board("upduino3-osc", "UPduino 3, jumper OSC closed", "clk12", 12_000_000)
