"""Registers for the fields of a descriptor that arrives word by word."""

from collections.abc import Mapping
from typing import Any

from amaranth import Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..isa import DESCRIPTOR_BYTES, FIELDS, WORD_BITS

__all__ = ["FieldRegisters", "fields_layout"]

_TOP = 8 * DESCRIPTOR_BYTES


def fields_layout(widths: Mapping[str, int]) -> data.StructLayout:
    """The low bits of some fields, so many of each."""
    known = {field.name: field for field in FIELDS}
    return data.StructLayout({
        name: (signed if known[name].signed else unsigned)(min(width, known[name].bits))
        for name, width in widths.items()
    })  # fmt: skip


class FieldRegisters(wiring.Component):
    """Keeps some fields of a descriptor, of which word ``number`` is on ``word``, if ``valid``.

    A register takes its bits straight from the memory, and nothing is kept of other fields.
    """

    def __init__(self, widths: Mapping[str, int]):
        self.layout = fields_layout(widths)
        super().__init__({
            "word": In(WORD_BITS),
            "number": In(range(_TOP // WORD_BITS)),
            "valid": In(1),
            "fields": Out(self.layout),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        places = {}
        position = _TOP
        for field in FIELDS:
            position -= field.bits
            places[field.name] = position
        takes: dict[int, list[Any]] = {}
        for name, field in self.layout:
            kept = Signal(field.shape, name=name, reset_less=True)
            m.d.comb += self.fields[name].eq(kept)
            low, end = places[name], places[name] + field.width
            for start in range(low // WORD_BITS * WORD_BITS, end, WORD_BITS):
                first, last = max(low, start), min(end, start + WORD_BITS)
                bits = self.word[first - start : last - start]
                number = _TOP // WORD_BITS - 1 - start // WORD_BITS
                takes.setdefault(number, []).append(kept[first - low : last - low].eq(bits))
        for number, kept in takes.items():
            with m.If(self.valid & (self.number == number)):
                m.d.sync += kept
        return m
