"""From the EIE array's accumulators to beats for the vector unit."""

from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus import Target, WriteBus
from ..config import Config
from ..descriptor import descriptor_layout
from ..lane_memory import LaneMemory
from ..location import location_layout
from ..vector.beat import beat_layout

__all__ = ["EieDrain"]


class EieDrain(wiring.Component):
    """Ask for ``outputs`` accumulators in natural order, ``lanes`` a cycle, and pass them on.

    Word c of the channel memory, from ``channel_base`` on, names the places of channels
    ``c * lanes ..``. The array must take a beat of ``locate`` in every cycle, as it does when its
    pass has ended, and its sums come back in the same order. Throughput is a beat a cycle.

    Members
    -------
    bus : In(WriteBus)
        Fills the channel memory.
    start, layer : In
        Begin, in a cycle in which the array is done; ``layer`` holds still until ``done``.
    locate : Out
        ``valid``, and the places ``p`` of the next ``lanes`` accumulators.
    found : In
        ``valid``, and their contents ``p``.
    sums : Out
        The beats, as they are found.
    done : Out(1)
        Low from the cycle after ``start`` until the last beat has been presented.
    """

    FIELDS = ("channel_base", "outputs", "out_base")

    def __init__(self, config: Config):
        self.config = config
        places = location_layout(config)
        accs = data.ArrayLayout(signed(32), config.lanes)
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "layer": In(descriptor_layout(self.FIELDS)),
            "locate": Out(wiring.Signature({"valid": Out(1), "p": Out(places)})),
            "found": In(wiring.Signature({"valid": Out(1), "p": Out(accs)})),
            "sums": Out(wiring.Signature({"valid": Out(1), "p": Out(beat_layout(config))})),
            "done": Out(1, init=1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        m.submodules.places = places = LaneMemory(
            config,
            Target.CHANNEL,
            low=32,
            width=config.row_bits + config.pe_bits,
            depth=config.channel_depth,
        )
        connect(m, flipped(self.bus), places.bus)

        channel = Signal(self.sums.p.channel.shape())  # of the next beat that is found
        lane_bits = (config.lanes - 1).bit_length()
        last = Signal(channel.shape())
        m.d.comb += last.eq((layer.outputs - 1) >> lane_bits)

        # Ask. The places of what is asked for come out of their memory a cycle later.
        asking = Signal()
        asked = Signal(places.r_addr.shape(), reset_less=True)
        m.d.comb += [
            places.r_addr.eq(layer.channel_base + asked),
            places.r_en.eq(asking),
            self.locate.p.eq(places.r_data),
        ]
        m.d.sync += self.locate.valid.eq(asking)
        with m.If(asking):
            m.d.sync += asked.eq(asked + 1)
            with m.If(asked == last):
                m.d.sync += asking.eq(0)

        # What is found: its number says where it goes.
        group_bits = (config.groups - 1).bit_length()
        m.d.comb += [
            self.sums.valid.eq(self.found.valid),
            self.sums.p.sums.eq(self.found.p),
            self.sums.p.channel.eq(channel),
            self.sums.p.address.eq(layer.out_base + (channel >> group_bits)),
            self.sums.p.group.eq(channel[:group_bits]),
        ]
        with m.If(self.found.valid):
            m.d.sync += channel.eq(channel + 1)
            with m.If(channel == last):
                m.d.sync += self.done.eq(1)

        with m.If(self.start):
            m.d.sync += [asking.eq(1), asked.eq(0), channel.eq(0), self.done.eq(0)]
        return m
