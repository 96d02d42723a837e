"""What the EIE array is told about a layer, and what it broadcasts."""

from amaranth import signed, unsigned
from amaranth.lib import data

from ..config import Config, bits_for

__all__ = ["broadcast_layout", "layer_layout"]


def layer_layout(config: Config) -> data.StructLayout:
    """Descriptor fields (:mod:`prunus.hw.isa`) of one pass, trimmed to what ``config`` can hold."""
    return data.StructLayout({
        "dense": 1,
        "in_base": bits_for(config.act_depth - 1),
        "in_zero": signed(8),
        "columns": 16,
        "rows": config.length_bits,
        "weight_base": config.weight_address_bits,
        "pointer_base": config.pointer_address_bits,
        "codebook": bits_for(config.codebooks - 1),
    })  # fmt: skip


def broadcast_layout(config: Config) -> data.StructLayout:
    """A non-zero activation: its value less the zero point, and where its column begins.

    ``address`` is the column's word of the pointer memories or, in a dense layer, the first of
    its entries in the weight memories.
    """
    address = config.weight_address_bits
    if config.sparse:
        address = max(address, config.pointer_address_bits)
    return data.StructLayout({"value": signed(9), "address": unsigned(address)})
