"""Packets in: an image to the loader, inputs to the activation memory."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, bits_for
from ..host.replier import select
from ..load.loader import NETWORK
from .registers import ERRORS
from .resize import Beat

__all__ = ["PACKET_ERRORS", "Receiver"]

PACKET_ERRORS = data.StructLayout(dict.fromkeys(ERRORS, 1))
SETTLE_CYCLES = 63  # the loader's answer comes at most some 20 after the last byte of an image


class Receiver(wiring.Component):
    """Takes a packet an image where none is loaded, an input where one is; else drops it.

    A lane group of an input a cycle, a byte of an image. An input that is complete is reported, and
    nothing more is taken until it is released.

    Members
    -------
    i : In(stream.Signature(Beat(lanes, checked=True)))
        Packets.
    image : Out(stream)
        Bytes for the loader.
    w_addr, w_group, w_en, w_data : Out
        Writes of the activation memory; what is behind the end of an input is zero.
    wait : In(1)
        An image comes from elsewhere: no packet is begun.
    load_done, load_failed, network : In
        What the loader says.
    receiving, loading, cut : Out(1)
        In the midst of a packet; in that of an image, or waiting for what the loader says about it;
        an image was refused by the receiver. The last one stays, as the loader's own refusal does.
    complete, release : Out(1), In(1)
        An input is in memory; it is needed no more.
    errors : Out(PACKET_ERRORS)
        Pulses.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(Beat(config.lanes, checked=True))),
            "image": Out(stream.Signature(8)),
            "w_addr": Out(range(config.act_depth)),
            "w_group": Out(bits_for(config.groups - 1)),
            "w_en": Out(1),
            "w_data": Out(8 * config.lanes),
            "wait": In(1),
            "load_done": In(1),
            "load_failed": In(1),
            "network": In(NETWORK),
            "receiving": Out(1),
            "loading": Out(1),
            "cut": Out(1),
            "complete": Out(1),
            "release": In(1),
            "errors": Out(PACKET_ERRORS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, i, errors = self.config, self.i, self.errors
        group_bits = (config.groups - 1).bit_length()
        lane_bits = (config.lanes - 1).bit_length()
        size_bits = len(self.w_addr) + group_bits + lane_bits

        # The last byte of an input: its group, and its place in it.
        final = Signal(size_bits, reset_less=True)
        m.d.sync += final.eq(self.network.input_bytes - 1)
        final_top, final_group = final[:lane_bits], final[lane_bits:]

        # Groups still to come but one, and where the next one goes.
        left = Signal.like(final_group, name="left", reset_less=True)
        ending = Signal(reset_less=True)
        place = Signal(len(self.w_addr) + group_bits, reset_less=True)

        address = Signal(self.w_addr.shape(), name="address", reset_less=True)
        group = Signal(self.w_group.shape(), name="group", reset_less=True)
        contents = Signal(self.w_data.shape(), name="contents", reset_less=True)
        m.d.sync += [address.eq(place[group_bits:]), group.eq(place[:group_bits])]
        m.d.comb += [
            self.w_addr.eq(address),
            self.w_group.eq(group),
            self.w_data.eq(contents),
        ]
        data_bytes = [i.p.data[n : n + 8] for n in range(0, 8 * config.lanes, 8)]
        m.d.sync += contents.eq(
            Cat(byte & (i.p.top >= n).replicate(8) for n, byte in enumerate(data_bytes))
        )

        lane = Signal(range(max(2, config.lanes)))
        m.d.comb += self.image.payload.eq(select(data_bytes, lane))
        patience = Signal(range(SETTLE_CYCLES + 1))

        m.d.sync += self.w_en.eq(0)
        with m.FSM() as fsm:
            m.d.comb += [
                self.complete.eq(fsm.ongoing("COMPLETE")),
                self.loading.eq(fsm.ongoing("IMAGE") | fsm.ongoing("SETTLE")),
                self.receiving.eq(
                    fsm.ongoing("INPUT") | fsm.ongoing("IMAGE") | fsm.ongoing("DROP")
                ),
            ]
            with m.State("IDLE"):
                m.d.sync += [
                    place.eq(self.network.input_base << group_bits),
                    left.eq(final_group),
                    ending.eq(final_group == 0),
                    lane.eq(0),
                    patience.eq(SETTLE_CYCLES),
                ]
                with m.If(i.valid & ~self.wait):
                    with m.If(self.load_failed | self.cut):
                        m.d.comb += errors.unloaded.eq(1)
                        m.next = "DROP"
                    with m.Elif(self.load_done):
                        m.next = "INPUT"
                    with m.Else():
                        m.next = "IMAGE"

            with m.State("INPUT"):
                m.d.comb += i.ready.eq(1)
                beyond = ending & (~i.p.last | (i.p.top > final_top))
                exact = ending & (i.p.top == final_top)
                with m.If(i.valid):
                    m.d.sync += [
                        self.w_en.eq(1),
                        place.eq(place + 1),
                        left.eq(left - 1),
                        ending.eq(left == 1),
                    ]
                    with m.If(i.p.last):
                        m.next = "IDLE"
                    with m.If(i.p.bad | beyond):
                        m.d.comb += [errors.keep.eq(i.p.bad), errors.long.eq(~i.p.bad)]
                        with m.If(~i.p.last):
                            m.next = "DROP"
                    with m.Elif(i.p.last):
                        m.d.comb += errors.short.eq(~exact)
                        with m.If(exact):
                            m.next = "COMPLETE"
            with m.State("COMPLETE"):
                with m.If(self.release):
                    m.next = "IDLE"

            with m.State("IMAGE"):
                m.d.comb += self.image.valid.eq(i.valid & ~i.p.bad)
                with m.If(i.valid & i.p.bad):
                    m.d.comb += [i.ready.eq(1), errors.keep.eq(1)]
                    m.d.sync += self.cut.eq(1)
                    m.next = "DROP"
                    with m.If(i.p.last):
                        m.next = "IDLE"
                with m.Elif(i.valid & self.image.ready):
                    m.d.sync += lane.eq(lane + 1)
                    with m.If(lane == i.p.top):
                        m.d.comb += i.ready.eq(1)
                        m.d.sync += lane.eq(0)
                        with m.If(i.p.last):
                            m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.sync += patience.eq(patience - 1)
                with m.If(self.load_done | self.load_failed):
                    m.next = "IDLE"
                with m.Elif(patience == 0):
                    m.d.comb += errors.cut.eq(1)
                    m.d.sync += self.cut.eq(1)
                    m.next = "IDLE"

            with m.State("DROP"):
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid & i.p.last):
                    m.next = "IDLE"
        return m
