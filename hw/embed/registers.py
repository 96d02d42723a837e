"""The register map, declared once for gates, tests and docs/registers.md; no HDL is imported."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from ..host.protocol import State
from ..image import MAGIC, LoadError

__all__ = [
    "ADDRESS_BITS",
    "ERRORS",
    "MAP_VERSION",
    "REGISTERS",
    "Access",
    "Field",
    "Register",
    "drawing",
    "find",
]

MAP_VERSION = 1
IDENTIFICATION = MAGIC
WIDTH = 32  # of every register
ADDRESS_BITS = 6  # of a byte


class Access(Enum):
    """What a write to a field does; every field can be read."""

    READ = "RO"  # nothing
    WRITE = "RW"  # it is kept
    EVENT = "W1C"  # a one clears the bit, which the gates set
    PULSE = "W1P"  # a one does something, once; it reads as zero


@dataclass(frozen=True, slots=True)
class Field:
    """Bits ``low`` to ``low + width - 1`` of a register."""

    name: str
    low: int
    width: int
    access: Access
    text: str

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True, slots=True)
class Register:
    """32 bits at a byte address; bits of no field read as zero."""

    name: str
    address: int
    text: str
    fields: tuple[Field, ...]

    @property
    def writable(self) -> bool:
        """Whether a write can do anything; otherwise it is an error."""
        return any(field.access is not Access.READ for field in self.fields)

    def __getitem__(self, name: str) -> Field:
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


def _read(name: str, text: str, *, low: int = 0, width: int = WIDTH) -> Field:
    return Field(name, low, width, Access.READ, text)


_STATES = ", ".join(f"{state.value} {state.name}" for state in State)

# What may be wrong with a packet.
ERRORS = {
    "short": "an input ended early",
    "long": "an input did not end where it should; what follows up to TLAST was dropped",
    "keep": "TKEEP was not contiguous from byte 0 on, or not full before TLAST; the packet was "
    "dropped",
    "unloaded": "a packet came while the state was FAILED, and was dropped",
    "cut": "an image ended early: the state is FAILED",
}
_IRQS = {
    "ready": "an image was found intact",
    "failed": "an image was refused, or cut",
    "done": "a run has ended; the output follows",
    "packet": "a packet had one of the errors above",
}

REGISTERS = (
    Register(
        "ID", 0x00, "What this is.",
        (_read("id", f'0x{IDENTIFICATION:08X}, "PRNS"'),),
    ),
    Register(
        "VERSION", 0x04, "Versions and sizes.",
        (
            _read("map", f"version of this map, {MAP_VERSION}", width=8),
            _read("image", "version of the images that are understood", low=8, width=8),
            _read("lanes", "int8 written to the activation memory at a time", low=16, width=8),
            _read("stream", "bytes of a beat of the streams", low=24, width=8),
        ),
    ),
    Register(
        "CONFIG", 0x08, "What an image must have been compiled for.",
        (_read("hash", "configuration hash, Config.hash"),),
    ),
    Register(
        "CONTROL", 0x0C, "Requests.",
        (
            Field("start", 0, 1, Access.PULSE, "run with the input that waits; without one, "
                  "nothing"),
            Field("clear", 1, 1, Access.PULSE, "forget the packet under way: the next beat begins "
                  "a new one. An image that is intact is kept"),
            Field("restart", 2, 1, Access.PULSE, "as clear, and forget the image: the next packet "
                  "is one"),
            Field("hold", 8, 1, Access.WRITE, "an input waits for start; else it runs when it is "
                  "complete"),
        ),
    ),
    Register(
        "STATUS", 0x10, "What is going on.",
        (
            _read("state", _STATES, width=3),
            _read("receiving", "in the midst of a packet", low=3, width=1),
            _read("waiting", "an input is complete and has not been started", low=4, width=1),
            _read("sending", "an output has not been taken altogether", low=5, width=1),
            _read("pending", "clear or restart waits for the end of run and output", low=6,
                  width=1),
            _read("load_error", f"why an image was refused, 1 to {max(LoadError)}; 0: it was not",
                  low=8, width=4),
        ),
    ),
    Register(
        "ERRORS", 0x14, "What was wrong with packets since the bit was cleared.",
        tuple(
            Field(name, n, 1, Access.EVENT, text) for n, (name, text) in enumerate(ERRORS.items())
        ),
    ),
    Register(
        "IRQ_STATUS", 0x18, "What has happened since the bit was cleared.",
        tuple(
            Field(name, n, 1, Access.EVENT, text) for n, (name, text) in enumerate(_IRQS.items())
        ),
    ),
    Register(
        "IRQ_ENABLE", 0x1C, "irq is high while a bit is set here and in IRQ_STATUS.",
        tuple(
            Field(name, n, 1, Access.WRITE, f"interrupt when {text.partition(';')[0]}")
            for n, (name, text) in enumerate(_IRQS.items())
        ),
    ),
    Register(
        "IMAGE_ID", 0x20, "Which image is loaded.",
        (_read("id", "the CRCs of the image, exclusive-ored; valid in the states READY, RUNNING"),),
    ),
    Register(
        "INPUT_BYTES", 0x24, "Size of an input packet.",
        (_read("bytes", "valid in the states READY, RUNNING", width=24),),
    ),
    Register(
        "OUTPUT_BYTES", 0x28, "Size of an output packet.",
        (_read("bytes", "valid in the states READY, RUNNING", width=24),),
    ),
    Register(
        "LOAD_CYCLES", 0x2C, "Time to load.",
        (_read("cycles", "from the first byte of the image until it was found intact"),),
    ),
    Register(
        "CYCLES", 0x30, "Time to run.",
        (_read("cycles", "from the start of the last run to its end"),),
    ),
)  # fmt: skip


def find(name: str) -> Register:
    """The register of that name."""
    for register in REGISTERS:
        if register.name == name:
            return register
    raise KeyError(name)


def _cells(register: Register) -> Iterator[tuple[str, str]]:
    """Bit numbers and names, the most significant first; gaps are zeros."""
    top = WIDTH
    for field in sorted(register.fields, key=lambda field: -field.low):
        behind = field.low + field.width
        if behind < top:
            yield _bits(behind, top - behind), "0"
        yield _bits(field.low, field.width), field.name
        top = field.low
    if top:
        yield _bits(0, top), "0"


def _bits(low: int, width: int) -> str:
    return str(low) if width == 1 else f"{low + width - 1}..{low}"


def drawing(register: Register) -> str:
    """The register as a row of boxes, bit 31 on the left.

    >>> print(drawing(find("INPUT_BYTES")))
      31..24   23..0
    +--------+-------+
    | 0      | bytes |
    +--------+-------+
    """
    cells = [(bits, name, max(len(bits), len(name))) for bits, name in _cells(register)]
    rule = "+" + "+".join("-" * (width + 2) for _, _, width in cells) + "+"
    numbers = " " + " ".join(f" {bits:{width}} " for bits, _, width in cells)
    names = "|" + "|".join(f" {name:{width}} " for _, name, width in cells) + "|"
    return "\n".join((numbers.rstrip(), rule, names, rule))
