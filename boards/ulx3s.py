"""ULX3S (Lattice ECP5, speed grade 6), in its four sizes. Pins: amaranth-boards."""

from amaranth.build import Attrs, Pins, Resource
from amaranth_boards.ulx3s import (
    ULX3S_12F_Platform,
    ULX3S_25F_Platform,
    ULX3S_45F_Platform,
    ULX3S_85F_Platform,
)

from .board import Board, Ram, open_fpga_loader

__all__ = ["ULX3S_12F", "ULX3S_25F", "ULX3S_45F", "ULX3S_85F"]


def _board(size: str, platform: type, *, luts: int, brams: int, dsps: int) -> Board:
    def make():
        made = platform()
        # The ESP32 restarts the board when its GPIO0 floats or is low.
        high = Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")
        made.add_resources([Resource("wifi_gpio0", 0, Pins("L2", dir="o"), high)])
        return made

    return Board(
        name=f"ulx3s-{size.lower()}",
        title=f"ULX3S {size}",
        part=f"LFE5U-{size}-6BG381",
        family="ecp5",
        platform=make,
        oscillator="clk25",
        oscillator_hz=25_000_000,
        clock_hz=80_000_000,
        baud=1_000_000,
        luts=luts,
        ffs=luts,
        dsps=dsps,
        rams=(Ram(kind="BRAM", count=brams, bits=18 * 1024),),
        ready_led=("led", 2),  # green
        failed_led=("led", 0),  # red
        tie_high=("wifi_gpio0",),
        loaders=(open_fpga_loader("-b", "ulx3s"),),
        image_offset=2 << 20,  # a bitstream of the 85F may have 1.9 MB
    )


# The 12F is the die of the 25F, and the open tools use all of it.
ULX3S_12F = _board("12F", ULX3S_12F_Platform, luts=24_288, brams=56, dsps=28)
ULX3S_25F = _board("25F", ULX3S_25F_Platform, luts=24_288, brams=56, dsps=28)
ULX3S_45F = _board("45F", ULX3S_45F_Platform, luts=43_848, brams=108, dsps=72)
ULX3S_85F = _board("85F", ULX3S_85F_Platform, luts=83_640, brams=208, dsps=156)
