"""The write bus: how the loader fills every memory of the accelerator."""

from amaranth import unsigned
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import Out

from .config import Config

__all__ = ["Target", "WriteBus"]


class Target(enum.Enum, shape=3):
    """The memory that a write goes to, and what its ``unit`` and ``data`` are."""

    WEIGHT = 0  # unit: PE; data: row << code_bits | code (row only where sparse)
    POINTER = 1  # unit: PE; data: length << weight_address_bits | start
    CODEBOOK = 2  # every PE; address: slot << code_bits | code; data: int8
    CHANNEL = 3  # unit: lane; data: pe << (row_bits + 32) | row << 32 | bias
    RECORD = 4  # unit: lane; data: shift << 30 | multiplier - 2**30
    PROGRAM = 5  # data: 32 bits of a descriptor, the most significant first
    TILE = 6  # unit: output of a tile, then bytes of a Winograd unit's words; data: int8
    TABLE = 7  # address: slot << 8 | (x & 0xFF); data: int8


class WriteBus(wiring.Signature):
    """A write a cycle, never stalled; receivers may take it a few cycles later.

    Members
    -------
    valid : Out(1)
    target, unit, address, data : Out
        Which memory, which instance of it, the row and the new contents.
    """

    def __init__(self, config: Config):
        deepest = max(
            config.weight_address_bits,
            config.pointer_address_bits,
            config.code_bits + (config.codebooks - 1).bit_length(),
            (config.channel_depth - 1).bit_length(),
            (config.record_depth - 1).bit_length(),
            (config.descriptor_words * config.program_depth - 1).bit_length(),
            (config.tile_depth - 1).bit_length() if config.columns else 1,
            (config.winograd_depth - 1).bit_length() if config.winograd else 1,
            (256 * config.tables - 1).bit_length() if config.tables else 1,
        )
        widest = max(
            config.entry_bits,
            config.weight_address_bits + config.length_bits,
            config.pe_bits + config.row_bits + 32,
            36,
        )
        super().__init__({
            "valid": Out(1),
            "target": Out(Target),
            "unit": Out(8),
            "address": Out(unsigned(deepest)),
            "data": Out(unsigned(widest)),
        })  # fmt: skip
