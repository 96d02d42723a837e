"""Beats of one size to beats of another."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import bits_for
from ..host.replier import select

__all__ = ["Beat", "Resize"]


class Beat(data.StructLayout):
    """Bytes of a packet, byte 0 the first and the least significant.

    Fields
    ------
    data : ``size`` bytes
    top
        The last byte that counts; the others, behind it, are undefined. Only the last beat of a
        packet may have fewer than all.
    last
        Ends the packet.
    bad
        The packet cannot be what its sender meant; only with ``checked``.
    """

    def __init__(self, size: int, *, checked: bool = False):
        fields = {"data": 8 * size, "top": bits_for(size - 1), "last": 1}
        super().__init__(fields | ({"bad": 1} if checked else {}))


class Resize(wiring.Component):
    """Stream of beats of ``i_bytes`` to beats of ``o_bytes``, both powers of two.

    Latency is 1 cycle from the beat that makes an output beat complete; throughput is a beat of the
    smaller side a cycle. ``o`` does not depend on ``i``; ``i.ready`` depends on ``o.ready``.

    Members
    -------
    i, o : In, Out(stream.Signature(Beat))
    """

    def __init__(self, i_bytes: int, o_bytes: int, *, checked: bool = False):
        for name, value in (("i_bytes", i_bytes), ("o_bytes", o_bytes)):
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two, not {value!r}")
        self.i_bytes = i_bytes
        self.o_bytes = o_bytes
        self.checked = checked
        super().__init__({
            "i": In(stream.Signature(Beat(i_bytes, checked=checked))),
            "o": Out(stream.Signature(Beat(o_bytes, checked=checked))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        i, o = self.i, self.o
        ratio = max(self.i_bytes, self.o_bytes) // min(self.i_bytes, self.o_bytes)
        part = Signal(range(ratio)) if ratio > 1 else Const(0, 1)
        shape = Beat(max(self.i_bytes, self.o_bytes), checked=self.checked)
        held = Signal(shape, reset_less=True)
        full = Signal()
        m.d.comb += o.valid.eq(full)
        taken = i.valid & i.ready
        if self.i_bytes >= self.o_bytes:
            width = 8 * self.o_bytes
            low = (self.o_bytes - 1).bit_length()
            at_end = part == held.top[low:]
            parts = [held.data[n * width : (n + 1) * width] for n in range(ratio)]
            m.d.comb += [
                i.ready.eq(~full | (o.ready & at_end)),
                o.p.data.eq(select(parts, part)),
                o.p.top.eq(self.o_bytes - 1),
                o.p.last.eq(held.last & at_end),
            ]
            if self.checked:
                m.d.comb += o.p.bad.eq(held.bad)
            with m.If(at_end):
                m.d.comb += o.p.top.eq(held.top[:low])
            with m.If(o.ready & at_end):
                m.d.sync += full.eq(0)
            if ratio > 1:
                with m.If(full & o.ready):
                    m.d.sync += part.eq(Mux(at_end, 0, part + 1))
            with m.If(taken):
                m.d.sync += [held.eq(i.p), full.eq(1)]
        else:
            width = 8 * self.i_bytes
            low = (self.i_bytes - 1).bit_length()
            m.d.comb += [i.ready.eq(~full | o.ready), o.p.eq(held)]
            with m.If(o.ready):
                m.d.sync += full.eq(0)
            with m.If(taken):
                m.d.sync += [
                    held.data.word_select(part, width).eq(i.p.data),
                    held.top.eq(Cat(i.p.top[:low], part)),
                    held.last.eq(i.p.last),
                    part.eq(part + 1),
                ]
                if self.checked:
                    m.d.sync += held.bad.eq(i.p.bad | (held.bad & (part != 0)))
                with m.If(i.p.last):
                    m.d.sync += part.eq(0)
                m.d.sync += full.eq(i.p.last | (part == ratio - 1))
        return m
