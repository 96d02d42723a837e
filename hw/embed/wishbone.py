"""Wishbone in front of the registers."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .register_file import RegisterAccess
from .registers import ADDRESS_BITS, WIDTH

__all__ = ["Wishbone"]


class Wishbone(wiring.Component):
    """A Wishbone B4 slave; see :class:`RegisterAccess` for what it makes of each access.

    Classic standard cycles, not pipelined ones: there is no STALL_O, and STB_I stays high until the
    access has ended, by ACK_O or ERR_O in its third cycle. 32 bits wide with granularity 8; ADR_I
    is the address of a byte.
    """

    PINS = {
        "adr_i": In(ADDRESS_BITS), "dat_i": In(WIDTH), "dat_o": Out(WIDTH),
        "sel_i": In(WIDTH // 8), "we_i": In(1), "cyc_i": In(1), "stb_i": In(1),
        "ack_o": Out(1), "err_o": Out(1),
    }  # fmt: skip

    def __init__(self):
        super().__init__({**self.PINS, "access": Out(RegisterAccess())})

    def elaborate(self, platform):
        m = Module()
        access = self.access
        m.d.comb += [
            access.write.eq(self.we_i),
            access.address.eq(self.adr_i),
            access.w_data.eq(self.dat_i),
            access.w_strobe.eq(self.sel_i),
            self.dat_o.eq(access.r_data),
        ]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.cyc_i & self.stb_i):
                    m.next = "ACCESS"
            with m.State("ACCESS"):
                m.d.comb += access.valid.eq(1)
                m.next = "END"
            with m.State("END"):
                m.d.comb += [self.ack_o.eq(~access.error), self.err_o.eq(access.error)]
                m.next = "IDLE"
        return m
