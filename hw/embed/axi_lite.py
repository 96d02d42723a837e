"""AXI4-Lite in front of the registers."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .register_file import RegisterAccess
from .registers import ADDRESS_BITS, WIDTH

__all__ = ["AxiLite"]

_OKAY, _SLVERR = 0b00, 0b10


class AxiLite(wiring.Component):
    """An AXI4-Lite subordinate; see :class:`RegisterAccess` for what it makes of each access.

    One access at a time, reads and writes by turns where both wait: two cycles, and those that the
    manager takes for the response. No output depends on an input of the same cycle. An error is
    SLVERR; ``awprot`` and ``arprot`` count for nothing.
    """

    PINS = {
        "awaddr": In(ADDRESS_BITS), "awprot": In(3), "awvalid": In(1), "awready": Out(1),
        "wdata": In(WIDTH), "wstrb": In(WIDTH // 8), "wvalid": In(1), "wready": Out(1),
        "bresp": Out(2), "bvalid": Out(1), "bready": In(1),
        "araddr": In(ADDRESS_BITS), "arprot": In(3), "arvalid": In(1), "arready": Out(1),
        "rdata": Out(WIDTH), "rresp": Out(2), "rvalid": Out(1), "rready": In(1),
    }  # fmt: skip

    def __init__(self):
        super().__init__({**self.PINS, "access": Out(RegisterAccess())})

    def elaborate(self, platform):
        m = Module()
        access = self.access
        wrote = Signal()  # so a read goes first
        with m.If(access.error):
            m.d.comb += [self.bresp.eq(_SLVERR), self.rresp.eq(_SLVERR)]
        m.d.comb += [
            self.rdata.eq(access.r_data),
            access.w_data.eq(self.wdata),
            access.w_strobe.eq(self.wstrb),
        ]
        with m.FSM() as fsm:
            writing = fsm.ongoing("WRITE")
            m.d.comb += [
                access.address.eq(Mux(writing, self.awaddr, self.araddr)),
                access.valid.eq(writing | fsm.ongoing("READ")),
                access.write.eq(writing),
                self.awready.eq(writing),
                self.wready.eq(writing),
                self.arready.eq(fsm.ongoing("READ")),
                self.bvalid.eq(fsm.ongoing("WRITTEN")),
                self.rvalid.eq(fsm.ongoing("GOT")),
            ]
            with m.State("IDLE"):
                m.d.sync += wrote.eq(0)
                with m.If(self.awvalid & self.wvalid & ~(wrote & self.arvalid)):
                    m.next = "WRITE"
                with m.Elif(self.arvalid):
                    m.next = "READ"
            with m.State("WRITE"):
                m.next = "WRITTEN"
            with m.State("WRITTEN"):
                m.d.sync += wrote.eq(1)
                with m.If(self.bready):
                    m.next = "IDLE"
            with m.State("READ"):
                m.next = "GOT"
            with m.State("GOT"):
                with m.If(self.rready):
                    m.next = "IDLE"
        return m
