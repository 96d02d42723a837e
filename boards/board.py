"""What a board is: a part, its limits, and the names of the pins that the top level uses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Board", "Ram"]

FAMILIES = ("ecp5", "ice40")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ram:
    """One kind of memory block: ``count`` blocks of ``bits`` bits."""

    kind: str
    count: int
    bits: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """A board that bitstreams are made for.

    Parameters
    ----------
    name, title, part : str
        Name on the command line; full name; device and package.
    family : str
        ``"ecp5"`` or ``"ice40"``: decides the tools and the PLL.
    platform : callable
        Makes a fresh Amaranth platform; an Amaranth platform builds one design only.
    oscillator : str
        Resource of the clock input.
    oscillator_hz, clock_hz, baud : int
        Its frequency; the clock a design gets when none is asked for; the rate of the UART.
    luts, ffs, dsps : int
        What the part holds. On iCE40 ``luts`` counts logic cells, of one LUT and one flip-flop.
    rams : tuple of Ram
        The first is the block RAM, initialised by the bitstream.
    ready_led, failed_led : tuple
        Resource name and number of the status lights.
    tie_high : tuple of str
        Resources, one output each, that are held at 1.
    loader : tuple of str
        Options that make openFPGALoader address the board.
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
    luts: int
    ffs: int
    dsps: int
    rams: tuple[Ram, ...]
    ready_led: tuple[str, int]
    failed_led: tuple[str, int]
    tie_high: tuple[str, ...] = ()
    loader: tuple[str, ...]
    image_offset: int | None = None

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}, not {self.family!r}")
        for name in ("oscillator_hz", "clock_hz", "baud", "luts", "ffs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")
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

    def holds(self, used: Mapping[str, int], bits: Mapping[str, int]) -> bool:
        """Whether a design that needs ``used`` fits; its memories, of ``bits`` a block, may move
        to blocks of another size."""
        memory = sum(used.get(kind, 0) * size for kind, size in bits.items())
        return memory <= self.memory_bits and all(
            used.get(kind, 0) <= self.limits[kind] for kind in ("LUT", "FF", "DSP")
        )
