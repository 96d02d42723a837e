"""The sending end of the host link."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from .frames import ESCAPE, ESCAPE_XOR, FLAG

__all__ = ["Framer"]


class Framer(wiring.Component):
    """Wrap bytes, up to the one marked ``last``, into a frame: flags, escapes and FCS added.

    A byte a cycle goes out, one cycle after it was chosen; a frame of n bytes takes n + 4 cycles
    and one more for each escape. Equal to :func:`prunus.hw.host.frames.encode`.
    """

    i: In(stream.Signature(data.StructLayout({"data": 8, "last": 1})))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = catalog.CRC16_IBM_SDLC(8).create()

        payload = Signal(8, reset_less=True)
        free = Signal()
        m.d.comb += [
            self.o.payload.eq(payload),
            free.eq(~self.o.valid | self.o.ready),
            crc.data.eq(self.i.p.data),
        ]

        escaped = Signal()
        byte = Signal(8)
        special = Signal()
        plain = Signal()  # `byte` itself goes out now, not the escape in front of it
        m.d.comb += [
            special.eq((byte == FLAG) | (byte == ESCAPE)),
            plain.eq(escaped | ~special),
        ]

        def send_byte():
            m.d.sync += [
                self.o.valid.eq(1),
                payload.eq(Mux(plain, byte ^ Mux(escaped, ESCAPE_XOR, 0), ESCAPE)),
                escaped.eq(~plain),
            ]

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("OPEN"):
                m.d.comb += crc.start.eq(1)
                with m.If(free & self.i.valid):
                    m.d.sync += [self.o.valid.eq(1), payload.eq(FLAG)]
                    m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += byte.eq(self.i.p.data)
                with m.If(free & self.i.valid):
                    send_byte()
                    m.d.comb += [self.i.ready.eq(plain), crc.valid.eq(plain)]
                    with m.If(plain & self.i.p.last):
                        m.next = "FCS_LOW"
            with m.State("FCS_LOW"):
                m.d.comb += byte.eq(crc.crc[:8])
                with m.If(free):
                    send_byte()
                    with m.If(plain):
                        m.next = "FCS_HIGH"
            with m.State("FCS_HIGH"):
                m.d.comb += byte.eq(crc.crc[8:])
                with m.If(free):
                    send_byte()
                    with m.If(plain):
                        m.next = "CLOSE"
            with m.State("CLOSE"):
                with m.If(free):
                    m.d.sync += [self.o.valid.eq(1), payload.eq(FLAG)]
                    m.next = "OPEN"
        return m
