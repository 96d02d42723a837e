"""iCEBreaker v1.0 (Lattice iCE40UP5K). Pins: amaranth-boards."""

from amaranth_boards.icebreaker import ICEBreakerPlatform

from .board import Board, Loader, Ram, open_fpga_loader

__all__ = ["ICEBREAKER", "ICEPROG"]

# The FPGA shares the pins of the flash with the programmer: there is no way but through the flash.
ICEPROG = Loader(
    program="iceprog", install="fpga-icestorm (Debian) or icestorm (Homebrew)", ram=None, flash=()
)

ICEBREAKER = Board(
    name="icebreaker",
    title="iCEBreaker",
    part="iCE40UP5K-SG48",
    family="ice40",
    platform=ICEBreakerPlatform,
    oscillator="clk12",
    oscillator_hz=12_000_000,
    clock_hz=24_000_000,
    baud=1_000_000,
    luts=5_280,
    ffs=5_280,
    dsps=8,
    rams=(
        Ram(kind="BRAM", count=30, bits=4 * 1024),
        Ram(kind="SPRAM", count=4, bits=256 * 1024),
    ),
    ready_led=("led_g", 0),
    failed_led=("led_r", 0),
    loaders=(open_fpga_loader("-b", "ice40_generic", ram=False), ICEPROG),
    image_offset=1 << 20,
)
