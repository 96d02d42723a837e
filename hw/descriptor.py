"""The layer descriptor as a layout for gates, from its one declaration in :mod:`.isa`."""

from collections.abc import Iterable

from amaranth import signed, unsigned
from amaranth.lib import data

from .isa import FIELDS

__all__ = ["TABLE_FIELDS", "descriptor_layout"]

# What a TABLE command is made of.
TABLE_FIELDS = ("multiplier", "shift", "slot", "half", "in_zero")


def descriptor_layout(names: Iterable[str] | None = None) -> data.StructLayout:
    """Layout with the named fields (all of them by default), least significant first.

    The whole descriptor is written with its first field in the most significant bits, so the
    layout of all fields is in reverse order of :data:`~.isa.FIELDS`.
    """
    chosen = None if names is None else set(names)
    return data.StructLayout({
        field.name: (signed if field.signed else unsigned)(field.bits)
        for field in reversed(FIELDS)
        if chosen is None or field.name in chosen
    })  # fmt: skip
