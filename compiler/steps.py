"""What the hardware has to do, before any address is chosen."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from prunus.hw import isa
from prunus.hw.winograd.geometry import Geometry

from .ir import GraphError
from .layers import Layer

__all__ = ["Place", "Scaling", "Sizes", "Step", "Table", "Work", "check_fields", "signed_bits"]

Int = NDArray[np.int64]
_FIELDS = {field.name: field for field in isa.FIELDS}


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of an accelerator that decide how an operator is done.

    ``word``: bytes of an activation word; ``columns``: of the systolic array, whether or not it is
    built; ``matrices``: fully-connected layers go to the EIE array; ``winograd``: the unit beside
    the array; ``pes``: of the EIE array, whether or not it is built; ``compact``: the compact
    engine in place of all of them.
    """

    word: int
    lanes: int
    columns: int
    tile_pixels: int
    matrices: bool
    winograd: Geometry | None = None
    pes: int = 64
    compact: bool = False

    @property
    def tile_outputs(self) -> int:
        return 2 * self.columns

    @property
    def line_taps(self) -> int:
        return self.word // 3


@dataclass(frozen=True, slots=True)
class Place:
    """A word of a buffer."""

    buffer: str
    word: int


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """From sums to outputs: bias, requantization, zero point, clamp.

    ``bias`` has an entry for each output, or one for all; so have ``multiplier`` and ``shift``
    (right; negative is left) together.
    """

    bias: Int
    multiplier: Int
    shift: Int
    double_round: bool = True
    zero: int = 0
    clamp: tuple[int, int] = (-128, 127)

    @property
    def per_channel(self) -> bool:
        return len(self.multiplier) > 1

    @property
    def small(self) -> bool:
        """Whether the multipliers have a bit less than usual."""
        return int(self.multiplier.max()) < 1 << 30

    @property
    def left(self) -> int:
        """The largest left shift."""
        return max(0, -int(self.shift.min()))

    def clamped(self, clamp: tuple[int, int]) -> "Scaling":
        """The same with another clamp."""
        return replace(self, clamp=(int(clamp[0]), int(clamp[1])))

    def part(self, outputs: Int) -> "Scaling":
        """That of some outputs."""
        bias, multiplier, shift = (
            values[outputs] if len(values) > 1 else values
            for values in (self.bias, self.multiplier, self.shift)
        )
        return replace(self, bias=bias, multiplier=multiplier, shift=shift)

    def fields(self) -> isa.Descriptor:
        """What a descriptor says of it."""
        return {
            "double_round": int(self.double_round),
            "per_channel": int(self.per_channel),
            "small": int(self.small),
            "out_zero": self.zero,
            "clamp_min": self.clamp[0],
            "clamp_max": self.clamp[1],
        }


@dataclass(frozen=True, slots=True)
class Table:
    """What half of the window engine's tables must hold: int8 ``values`` for -128..127, or
    differences to ``zero``, scaled."""

    values: bytes = b""
    zero: int = 0
    multiplier: int = 0
    shift: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A descriptor without its addresses.

    ``weights`` (words, units) int8 are for the memory of the systolic array, or of the Winograd
    unit, ``tables`` what the window engine's halves must hold; ``bits`` holds every sum that can
    occur, ``cycles`` is predicted.
    """

    fields: isa.Descriptor
    sources: tuple[Place, ...]
    target: Place
    scaling: Scaling
    bits: int
    cycles: int
    weights: NDArray[np.int8] | None = None
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A layer: steps of one engine that make ``tensor``, or a matrix for the EIE array.

    The tensor is ``pixels`` of ``outputs`` bytes each, ``pitch`` words apart (0: without a gap),
    from ``target`` on. ``weight`` is the model's own. ``costs`` are the cycles on each engine that
    could do it, by its name.
    """

    name: str
    op: str
    engine: str
    tensor: str
    target: Place
    pixels: int
    pitch: int
    outputs: int
    sources: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    matrix: Layer | None = None
    source: Place | None = None  # of the matrix
    weight: NDArray[np.int8] | None = None
    macs: int = 0
    costs: dict[str, int] = field(default_factory=dict)


def signed_bits(lowest: int, highest: int) -> int:
    """Bits of a signed number that holds both.

    >>> signed_bits(-128, 127), signed_bits(0, 128)
    (8, 9)
    """
    return 1 + max(highest.bit_length(), (-1 - lowest).bit_length() if lowest < 0 else 0)


def check_fields(name: str, fields: isa.Descriptor) -> None:
    """Refuse, with the layer's name, what a descriptor has no room for."""
    for key, value in fields.items():
        allowed = _FIELDS[key].range
        if value not in allowed:
            raise GraphError(
                f"{name}: too large for the hardware, {_FIELDS[key].doc}: {value}, at most "
                f"{allowed[-1]}"
            )
