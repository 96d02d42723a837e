"""Tang Nano 9K (Gowin GW1NR-9C, speed grade C6/I5). Pins: amaranth-boards."""

from amaranth_boards.tang_nano_9k import TangNano9kPlatform

from .board import Board, Ram, open_fpga_loader

__all__ = ["TANG_NANO_9K"]

TANG_NANO_9K = Board(
    name="tang-nano-9k",
    title="Tang Nano 9K",
    part="GW1NR-LV9QN88PC6/I5",
    family="gowin",
    platform=TangNano9kPlatform,
    oscillator="clk27",
    oscillator_hz=27_000_000,
    clock_hz=27_000_000,
    baud=1_000_000,
    luts=8_640,
    ffs=6_480,
    dsps=20,
    rams=(Ram(kind="BRAM", count=26, bits=18 * 1024),),
    ready_led=("led", 0),
    failed_led=("led", 1),
    pack=("--sspi_as_gpio", "--mspi_as_gpio"),
    loaders=(open_fpga_loader("-b", "tangnano9k"),),
)
