"""OrangeCrab r0.2 (Lattice ECP5, speed grade 8), in its two sizes. Pins: amaranth-boards.

Its USB connector goes to the FPGA itself, and only the boot loader answers there. The UART is on
the header, as on every Feather: 0 is the input (RX, N17), 1 the output (TX, M18), at 3.3 V.
"""

from amaranth.build import Attrs, PinsN, Resource
from amaranth_boards.orangecrab_r0_2 import (
    OrangeCrabR0_2_25FPlatform,
    OrangeCrabR0_2_85FPlatform,
)
from amaranth_boards.resources import UARTResource

from .board import Board, Loader, Ram

__all__ = ["ORANGECRAB_25F", "ORANGECRAB_85F"]

DFU = (0x1209, 0x5AF0)
DFU_UTIL = Loader(
    program="dfu-util",
    install="dfu-util (Debian, Homebrew); the button, held while the board is plugged in, starts "
    "the boot loader",
    ram=None,
    flash=("-d", f"{DFU[0]:04x}:{DFU[1]:04x}", "-a", "0", "-D"),
)


def _board(size: str, platform: type, *, luts: int, brams: int, dsps: int) -> Board:
    def make():
        made = platform()
        logic = Attrs(IO_TYPE="LVCMOS33")
        made.add_resources([
            UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=logic),
            Resource("led_r", 0, PinsN("K4", dir="o"), logic),
            Resource("led_g", 0, PinsN("M3", dir="o"), logic),
        ])  # fmt: skip
        return made

    return Board(
        name=f"orangecrab-{size.lower()}",
        title=f"OrangeCrab r0.2 {size}",
        part=f"LFE5U-{size}-8MG285",
        family="ecp5",
        platform=make,
        oscillator="clk",
        oscillator_hz=48_000_000,
        clock_hz=80_000_000,
        baud=1_000_000,
        uart="on the header, 3.3 V: pin 0 is its input, pin 1 its output",
        luts=luts,
        ffs=luts,
        dsps=dsps,
        rams=(Ram(kind="BRAM", count=brams, bits=18 * 1024),),
        ready_led=("led_g", 0),
        failed_led=("led_r", 0),
        pack=("--freq", "38.8"),
        dfu=DFU,
        loaders=(DFU_UTIL,),
    )


ORANGECRAB_25F = _board("25F", OrangeCrabR0_2_25FPlatform, luts=24_288, brams=56, dsps=28)
ORANGECRAB_85F = _board("85F", OrangeCrabR0_2_85FPlatform, luts=83_640, brams=208, dsps=156)
