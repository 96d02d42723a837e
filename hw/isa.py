"""The program: layer descriptors, declared once for the sequencer, the compiler and the models.

A descriptor is 256 bits, the fields of :data:`FIELDS` one after the other, the first in the most
significant bits, written big-endian; unused low bits are zero.
"""

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "DESCRIPTOR_BYTES",
    "FIELDS",
    "Descriptor",
    "Field",
    "Op",
    "decode",
    "disassemble",
    "encode",
]

DESCRIPTOR_BYTES = 32
WORD_BITS = 32


class Op(IntEnum):
    """What a descriptor asks for."""

    END = 0
    EIE = 1


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a descriptor."""

    name: str
    bits: int
    signed: bool
    doc: str

    @property
    def range(self) -> range:
        half = 1 << (self.bits - 1)
        return range(-half, half) if self.signed else range(1 << self.bits)


FIELDS = (
    Field("op", 4, False, "Op"),
    Field("layer", 8, False, "number of the layer, for the trace"),
    Field("dense", 1, False, "dense columns: every PE holds `rows` entries of every column"),
    Field("double_round", 1, False, "rounding rule: 1 gemmlowp double rounding, 0 single rounding"),
    Field("per_channel", 1, False, "a record for each channel, else one word for all"),
    Field("in_base", 16, False, "activation word of the first input"),
    Field("in_zero", 8, True, "zero point of the inputs"),
    Field("columns", 16, False, "inputs of the layer"),
    Field("out_base", 16, False, "activation word of the first output of this pass"),
    Field("outputs", 16, False, "outputs of this pass"),
    Field("out_zero", 8, True, "zero point of the outputs"),
    Field("clamp_min", 8, True, "lowest output"),
    Field("clamp_max", 8, True, "highest output"),
    Field("rows", 11, False, "accumulators of each PE that this pass uses"),
    Field("weight_base", 24, False, "dense: entry of a PE's weight memory where column 0 begins"),
    Field("pointer_base", 24, False, "sparse: word of a PE's pointer memory for column 0"),
    Field("codebook", 8, False, "codebook slot"),
    Field("channel_base", 16, False, "channel-memory word of the first outputs"),
    Field("record_base", 16, False, "record-memory word of the first outputs"),
)  # fmt: skip

Descriptor = dict[str, int]
_BY_NAME = {field.name: field for field in FIELDS}


def encode(descriptor: Descriptor) -> bytes:
    """32 bytes of a descriptor; fields that are not named are zero.

    Raises
    ------
    ValueError
        A field is unknown or its value does not fit.

    >>> encode({"op": Op.EIE, "in_zero": -1})[:6].hex()
    '10000001fe00'
    """
    for name, value in descriptor.items():
        if name not in _BY_NAME:
            raise ValueError(f"{name} is not a descriptor field")
        if value not in _BY_NAME[name].range:
            allowed = _BY_NAME[name].range
            raise ValueError(f"{name} must be {allowed[0]} to {allowed[-1]}, not {value!r}")
    word = 0
    for field in FIELDS:
        word = word << field.bits | int(descriptor.get(field.name, 0)) & ((1 << field.bits) - 1)
    return (word << (8 * DESCRIPTOR_BYTES - _USED)).to_bytes(DESCRIPTOR_BYTES, "big")


def decode(raw: bytes) -> Descriptor:
    """The fields of one descriptor; the inverse of :func:`encode`."""
    if len(raw) != DESCRIPTOR_BYTES:
        raise ValueError(f"raw must be {DESCRIPTOR_BYTES} bytes, not {len(raw)}")
    word = int.from_bytes(raw, "big")
    position = 8 * DESCRIPTOR_BYTES
    descriptor = {}
    for field in FIELDS:
        position -= field.bits
        value = word >> position & ((1 << field.bits) - 1)
        if field.signed and value >> (field.bits - 1):
            value -= 1 << field.bits
        descriptor[field.name] = value
    return descriptor


def disassemble(program: bytes) -> str:
    """One line a descriptor, zero fields left out."""
    lines = []
    for start in range(0, len(program), DESCRIPTOR_BYTES):
        fields = decode(program[start : start + DESCRIPTOR_BYTES])
        op = Op(fields.pop("op")).name
        shown = " ".join(f"{name}={value}" for name, value in fields.items() if value)
        lines.append(f"{start // DESCRIPTOR_BYTES:3d} {op} {shown}".rstrip())
    return "\n".join(lines)


_USED = sum(field.bits for field in FIELDS)
assert _USED <= 8 * DESCRIPTOR_BYTES
