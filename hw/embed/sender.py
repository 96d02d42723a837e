"""Packets out: the output vector."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..load.loader import NETWORK
from .resize import Beat

__all__ = ["Sender"]


class Sender(wiring.Component):
    """Reads the output from the activation memory and sends it as one packet.

    A word every ``read_latency + 3`` cycles, while the stream takes them.

    Members
    -------
    go, done : In(1), Out(1)
        ``go`` holds until ``done``: in that cycle the last word is taken.
    network : In(NETWORK)
        Where the output is.
    r_addr, r_en, r_data
        Reads of the activation memory.
    o : Out(stream.Signature(Beat(act_word)))
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "go": In(1),
            "done": Out(1),
            "network": In(NETWORK),
            "r_addr": Out(range(config.act_depth)),
            "r_en": Out(1),
            "r_data": In(8 * config.act_word),
            "o": Out(stream.Signature(Beat(config.act_word))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        byte_bits = (config.act_word - 1).bit_length()
        final = Signal(len(self.r_addr) + byte_bits, reset_less=True)
        m.d.sync += final.eq(self.network.output_bytes - 1)
        left = Signal.like(final[byte_bits:], name="left", reset_less=True)
        ending = Signal(reset_less=True)
        address = Signal(self.r_addr.shape(), reset_less=True)
        arriving = Signal(config.read_latency)
        m.d.sync += [arriving.eq(Cat(self.r_en, arriving)), ending.eq(left == 0)]
        m.d.comb += [
            self.r_addr.eq(address),
            self.o.p.data.eq(self.r_data),
            self.o.p.last.eq(ending),
            self.o.p.top.eq(config.act_word - 1),
        ]
        with m.If(ending):
            m.d.comb += self.o.p.top.eq(final[:byte_bits])
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [address.eq(self.network.output_base), left.eq(final[byte_bits:])]
                with m.If(self.go):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.r_en.eq(1)
                m.next = "ARRIVE"
            with m.State("ARRIVE"):
                with m.If(arriving[-1]):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
                    m.next = "READ"
                    with m.If(ending):
                        m.d.comb += self.done.eq(1)
                        m.next = "IDLE"
        return m
