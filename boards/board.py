"""What a board is: a part, its limits, and the names of the pins that the top level uses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Board", "Loader", "Ram"]

FAMILIES = ("ecp5", "ice40", "gowin")
HFOSC = "SB_HFOSC"  # the oscillator inside an iCE40 UltraPlus


@dataclass(frozen=True, kw_only=True, slots=True)
class Ram:
    """One kind of memory block: ``count`` blocks of ``bits`` bits."""

    kind: str
    count: int
    bits: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Loader:
    """A program that puts a bitstream on a board, the file's name last.

    Parameters
    ----------
    program, install : str
        Its name; what to do where it is missing.
    ram : tuple of str
        Options that configure the part until it loses power; None where there is no such way.
    flash : tuple of str
        Options that do it for good.
    """

    program: str
    install: str
    ram: tuple[str, ...] | None
    flash: tuple[str, ...]


def open_fpga_loader(*options: str, ram: bool = True) -> Loader:
    """openFPGALoader with the options that make it address a board."""
    return Loader(
        program="openFPGALoader",
        install="openfpgaloader (Debian, Homebrew) or see "
        "https://trabucayre.github.io/openFPGALoader/guide/install.html",
        ram=(*options, "-m") if ram else None,
        flash=(*options, "-f"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """A board that bitstreams are made for.

    Parameters
    ----------
    name, title, part : str
        Name on the command line; full name; device and package.
    family : str
        ``"ecp5"``, ``"ice40"`` or ``"gowin"``: decides the tools and the PLL.
    platform : callable
        Makes a fresh Amaranth platform; an Amaranth platform builds one design only.
    oscillator : str
        Resource of the clock input, or ``"SB_HFOSC"``.
    oscillator_hz, clock_hz, baud : int
        Its frequency; the clock a design gets when none is asked for; the rate of the UART.
    uart : str
        Where the host finds the UART, if not behind the board's USB connector.
    luts, ffs, dsps : int
        What the part holds. On iCE40 ``luts`` counts logic cells, of one LUT and one flip-flop.
    rams : tuple of Ram
        The first is the block RAM, initialised by the bitstream.
    pll_pad : bool
        Whether the oscillator's pin is the one that an iCE40's PLL is fed from directly.
    ready_led, failed_led : tuple
        Resource name and number of the status lights; None where there is none.
    tie_high : tuple of str
        Resources, one output each, that are held at 1.
    pack : tuple of str
        Options of the packer, beside its family's.
    dfu : tuple of int
        Vendor and product that a DFU boot loader looks for at the end of a file.
    loaders : tuple of Loader
        Programs that put a bitstream on the board, the usual one first.
    image_offset : int, optional
        Where a ROM image may be in the flash that holds the bitstream, behind it; None where
        there is no such place, or the part has no access to it.
    """

    name: str
    title: str
    part: str
    family: str
    platform: Callable[[], Any] = field(repr=False, compare=False)
    oscillator: str
    oscillator_hz: int
    clock_hz: int
    baud: int
    uart: str = ""
    luts: int
    ffs: int
    dsps: int
    rams: tuple[Ram, ...]
    pll_pad: bool = True
    ready_led: tuple[str, int] | None
    failed_led: tuple[str, int] | None
    tie_high: tuple[str, ...] = ()
    pack: tuple[str, ...] = ()
    dfu: tuple[int, int] | None = None
    loaders: tuple[Loader, ...]
    image_offset: int | None = None

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}, not {self.family!r}")
        for name in ("oscillator_hz", "clock_hz", "baud", "luts", "ffs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")
        if not self.loaders:
            raise ValueError(f"loaders must name a program, not {self.loaders!r}")
        if not self.rams:
            raise ValueError(f"rams must hold the block RAM first, not {self.rams!r}")

    @property
    def memory_bytes(self) -> int:
        """Bytes in the memory blocks, when eight bits of every nine hold data."""
        return sum(ram.count * (ram.bits // 9 * 8 if ram.bits % 9 == 0 else ram.bits) // 8
                   for ram in self.rams)  # fmt: skip

    @property
    def memory_bits(self) -> int:
        """All bits of the memory blocks."""
        return sum(ram.count * ram.bits for ram in self.rams)

    @property
    def limits(self) -> Mapping[str, int]:
        """What the part holds, by the kinds that a build reports."""
        kinds = {"LUT": self.luts, "FF": self.ffs, "BRAM": self.rams[0].count, "DSP": self.dsps}
        return kinds | {ram.kind: ram.count for ram in self.rams[1:]}

    @property
    def size(self) -> tuple[int, ...]:
        """What boards are compared by: memory first, then multipliers and logic."""
        return (self.memory_bits, self.dsps, self.luts)

    def holds(self, used: Mapping[str, int], bits: Mapping[str, int]) -> bool:
        """Whether a design that needs ``used`` fits; its memories, of ``bits`` a block, may move
        to blocks of another size."""
        memory = sum(used.get(kind, 0) * size for kind, size in bits.items())
        return memory <= self.memory_bits and all(
            used.get(kind, 0) <= self.limits[kind] for kind in ("LUT", "FF", "DSP")
        )
