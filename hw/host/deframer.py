"""The receiving end of the host link: one frame at a time, acted upon only when it is whole."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..config import Config
from .frames import ESCAPE, ESCAPE_XOR, FCS_BYTES, FLAG
from .protocol import REQUEST_HEADER

__all__ = ["Deframer"]

_OVERHEAD = REQUEST_HEADER + FCS_BYTES


class Deframer(wiring.Component):
    """Receive request frames into a buffer; a damaged one is counted and leaves no other trace.

    Takes a byte a cycle. ``frame`` rises in the cycle after the closing flag of a good frame, and
    no byte is taken from then until ``done``. Equal to :class:`prunus.hw.host.frames.Deframer`
    with the limits of this configuration.

    Members
    -------
    i : In(stream)
        Bytes off the wire.
    frame : Out(1)
        A request waits; ``op`` and ``tag`` are its header.
    left : Out
        Bytes of its payload that were not read yet.
    read, data : In(1), Out(8)
        The next byte of the payload, two cycles after ``read``; it holds until the next one.
    done : In(1)
        Drop the request, read or not, and receive the next.
    dropped : Out(8)
        Damaged, short and overlong frames, modulo 256.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(8)),
            "frame": Out(1),
            "op": Out(8),
            "tag": Out(8),
            "left": Out(range(config.frame_bytes + 1)),
            "read": In(1),
            "data": Out(8),
            "done": In(1),
            "dropped": Out(8),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        size = self.config.frame_bytes
        address_bits = (size - 1).bit_length()
        m.submodules.buffer = buffer = Bank(width=8, depth=size)
        m.submodules.crc = crc = catalog.CRC16_IBM_SDLC(8).create()

        # Counts from minus the overhead, so that at the closing flag it is the payload's length;
        # then it counts down what is left to read. Its low bits are the place in the buffer, of
        # which the FCS of a full payload would reach the beginning: those two are not written.
        count = Signal(signed(address_bits + 2), init=-_OVERHEAD)
        place = Signal(address_bits, init=-REQUEST_HEADER % size)
        op = Signal(8, reset_less=True)
        tag = Signal(8, reset_less=True)
        escaped = Signal()
        overlong = Signal()
        m.d.comb += [
            self.op.eq(op),
            self.tag.eq(tag),
            self.left.eq(count[: address_bits + 1]),
            self.i.ready.eq(~self.frame),
        ]

        # Registered at once: block RAM is slow enough alone.
        m.d.sync += self.data.eq(buffer.r_data)

        byte = Signal(8)
        content = Signal()
        wrapped = Signal()
        m.d.comb += [
            byte.eq(self.i.payload ^ Mux(escaped, ESCAPE_XOR, 0)),
            wrapped.eq((count >= 0) & count[1:address_bits].all()),
            buffer.w_addr.eq(count[:address_bits]),
            buffer.w_data.eq(byte),
            buffer.w_en.eq(content & ~wrapped),
            buffer.r_addr.eq(place),
            buffer.r_en.eq(self.read),
            crc.data.eq(byte),
            crc.valid.eq(content),
        ]

        with m.If(self.i.valid & self.i.ready):
            with m.If(self.i.payload == FLAG):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [escaped.eq(0), overlong.eq(0)]
                with m.If((count >= 0) & ~escaped & ~overlong & crc.match_detected):
                    m.d.sync += self.frame.eq(1)
                with m.Else():
                    m.d.sync += count.eq(-_OVERHEAD)
                    with m.If((count != -_OVERHEAD) | escaped):
                        m.d.sync += self.dropped.eq(self.dropped + 1)
            with m.Elif((self.i.payload == ESCAPE) & ~escaped):
                m.d.sync += escaped.eq(1)
            with m.Else():
                m.d.sync += escaped.eq(0)
                with m.If((count >= 0) & count[address_bits]):
                    m.d.sync += overlong.eq(1)
                with m.Else():
                    m.d.comb += content.eq(1)
                    m.d.sync += count.eq(count + 1)
                with m.If(count == -_OVERHEAD):
                    m.d.sync += op.eq(byte)
                with m.If(count == -_OVERHEAD + 1):
                    m.d.sync += tag.eq(byte)

        with m.If(self.read):
            m.d.sync += [place.eq(place + 1), count.eq(count - 1)]
        with m.If(self.done):
            m.d.sync += [
                self.frame.eq(0),
                count.eq(-_OVERHEAD),
                place.eq(-REQUEST_HEADER % size),
            ]
        return m
