"""The ROM image: a container of checked sections, declared once for compiler, loader and models.

Everything is a bit stream, most significant bit first (so multi-byte fields are big-endian).

An image is a header, then its sections one after the other::

    header   magic 32 = "PRNS" | version 16 | sections 16 | config hash 32 | crc 32
    section  kind 8 | length 24 | payload, `length` bytes | crc 32

Both CRCs are CRC-32/ISO-HDLC (as in zlib), over every byte before them in the header or section.
The payload of a section, padded with zero bits to whole bytes:

``NETWORK``
    input base 16 | input bytes 24 | output base 16 | output bytes 24: activation words and counts.
    Always the first section.
``PROGRAM``
    layer descriptors (:mod:`prunus.hw.isa`), ``Config.descriptor_words`` each, the last ``END``.
``CODEBOOK``
    slot 8 | count-1 8 | count int8 weights.
``CHANNELS``
    base 16 | count 16 | bias bits 8 | for each channel: bias, signed, in that many bits
    (1..32) | PE among those of its lane (``Config.pe_bits``) | row (``Config.row_bits``); without
    PEs, the bias alone. Channel i goes to lane ``i % lanes`` of word ``base + i // lanes``.
``RECORDS``
    base 16 | count 16 | for each: multiplier - 2**30 30 | right shift 6, signed; negative is a
    left shift in front of the multiplier. Placed as the channels are.
``WEIGHTS``
    weight base 24 | pointer base 24 | columns 16 | rows 16 | run bits 8 | symbols-1 8 | mapped 8
    | if mapped is 1: a stored code of 8 bits for each symbol (else symbol s is stored as s)
    | if mapped is 1 + 16 * m: a stored code of 8 bits for each of the 2**m members, and if run
    bits > 0 a run of 8 bits for each
    | unless mapped is 2: a code length of 4 bits for each symbol (0: not used)
    | if run bits > 0 and there are no members: a code length of 4 bits for each of the
    2**(run bits) runs
    | for each PE its stream.

    The Huffman codes are canonical: ordered by length, then by symbol; the first is all zeros.
    A column of a PE has ``rows`` places, and its places are numbered through all columns.
    Dense (run bits 0): a code for every place. Sparse: run codes, each but the largest, R =
    2**(run bits) - 1, followed by the code of a weight: skip `run` places, put the weight into the
    next. R alone skips R places. A PE's stream ends when the places are used up (a last skip may
    pass the end). The loader turns places into (code, row) entries and column pointers.
    Where mapped is 2 (dense, stored codes of 8 bits) there are no tables: 8 bits for every place.
    With members of m bits (1, 2 or 4) a symbol is 8 / m of them, the first in its low bits, and
    the stream is that of the members. Dense: each is a code; a PE's first is the next of a symbol
    that the PE before it began. Sparse: a run and a code by turns; R ends its symbol.
``TILES``
    The systolic array's weights, as ``WEIGHTS``: word base 24 | units 24 | words 16 | 1 16
    | run bits 8 | symbols-1 8 | mapped 8 | tables as above | for each unit its stream of ``words``
    int8, which are zeros where it skips places. Unit u is output u of every tile, u = 0 .. units-1
    (at most ``Config.tile_outputs``); other outputs keep what they had. Runs without members are
    for configurations with ``Config.tile_runs``. Units from ``Config.tile_outputs`` on are the
    bytes of the Winograd unit's words: then the field is ``first unit 12 | behind the last 12``.
``TABLES``
    slot 8 | 256 int8: a function's value for x = 0..127, -128..-1.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["MAGIC", "VERSION", "ImageError", "Kind", "Section", "pack", "unpack"]

MAGIC = 0x50524E53  # "PRNS"
VERSION = 3
HEADER_BYTES = 16
MULTIPLIER_BITS = 30
MULTIPLIER_OFFSET = 1 << 30
SHIFT_BITS = 6
RAW = 2  # in the field "mapped" of weights
SYMBOL_BITS = 8  # of a symbol that is several members
MEMBER_BITS = (1, 2, 4)


class Kind(IntEnum):
    """What a section holds."""

    NETWORK = 1
    PROGRAM = 2
    CODEBOOK = 3
    CHANNELS = 4
    RECORDS = 5
    WEIGHTS = 6
    TILES = 7
    TABLES = 8


class LoadError(IntEnum):
    """Why the loader refused an image; the host reads it in the status."""

    NONE = 0
    MAGIC = 1
    VERSION = 2
    CONFIG = 3
    HEADER_CRC = 4
    SECTION_CRC = 5
    SECTION_KIND = 6
    SECTION_LENGTH = 7
    CODE = 8


class ImageError(ValueError):
    """An image that is not one, or is damaged."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section of an image."""

    kind: Kind
    payload: bytes


def pack(sections: list[Section], config_hash: int) -> bytes:
    """The bytes of an image."""
    header = struct.pack(">IHHI", MAGIC, VERSION, len(sections), config_hash)
    parts = [header + struct.pack(">I", zlib.crc32(header))]
    for section in sections:
        if len(section.payload) >= 1 << 24:
            raise ImageError(
                f"section {section.kind.name} has {len(section.payload)} bytes, of 2**24-1"
            )
        body = struct.pack(">I", section.kind << 24 | len(section.payload)) + section.payload
        parts.append(body + struct.pack(">I", zlib.crc32(body)))
    return b"".join(parts)


def unpack(raw: bytes, config_hash: int) -> list[Section]:
    """The sections of an image, every CRC checked.

    Raises
    ------
    ImageError
        With the first thing that is wrong.
    """
    if len(raw) < HEADER_BYTES:
        raise ImageError(f"image is {len(raw)} bytes, shorter than its header")
    magic, version, count, found, crc = struct.unpack_from(">IHHII", raw)
    if magic != MAGIC:
        raise ImageError(f"image starts with {raw[:4]!r}, not b'PRNS'")
    if version != VERSION:
        raise ImageError(f"image has version {version}, not {VERSION}")
    if zlib.crc32(raw[: HEADER_BYTES - 4]) != crc:
        raise ImageError("image header has a wrong CRC")
    if found != config_hash:
        raise ImageError(f"image is for configuration {found:08x}, not {config_hash:08x}")
    sections = []
    position = HEADER_BYTES
    for number in range(count):
        if position + 8 > len(raw):
            raise ImageError(f"image ends before section {number}")
        (head,) = struct.unpack_from(">I", raw, position)
        end = position + 4 + (head & 0xFFFFFF)
        if end + 4 > len(raw):
            raise ImageError(f"image ends inside section {number}")
        if struct.unpack_from(">I", raw, end)[0] != zlib.crc32(raw[position:end]):
            raise ImageError(f"section {number} has a wrong CRC")
        if head >> 24 not in Kind.__members__.values():
            raise ImageError(f"section {number} has unknown kind {head >> 24}")
        sections.append(Section(Kind(head >> 24), raw[position + 4 : end]))
        position = end + 4
    if position != len(raw):
        raise ImageError(f"image has {len(raw) - position} bytes after its last section")
    return sections
