"""A memory of words that the loader fills lane by lane."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .bank import Bank
from .bus import WriteBus
from .config import Config, bits_for

__all__ = ["LaneMemory"]


class LaneMemory(wiring.Component):
    """``lanes`` values of ``width`` bits in a word; reads are those of a :class:`.bank.Bank`.

    The loader writes the lanes of a word one after the other, with the lane in ``unit``. Every one
    writes the whole word, the last the complete one: what a write does not cover is what was
    written there before it.

    Parameters
    ----------
    target : Target
        The writes that are meant.
    low, width : int
        Bits of their data that are kept.
    depth : int
        Words.

    Members
    -------
    bus : In(WriteBus)
        A write is in place 3 cycles later; with one lane, 2.
    r_addr, r_en, r_data
        Read port.
    """

    def __init__(self, config: Config, target, *, low: int, width: int, depth: int):
        self.config = config
        self.target = target
        self.low = low
        self.width = width
        self.depth = depth
        super().__init__({
            "bus": In(WriteBus(config)),
            "r_addr": In(range(depth)),
            "r_en": In(1),
            "r_data": Out(data.ArrayLayout(width, config.lanes)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        lanes = self.config.lanes
        m.submodules.bank = bank = Bank(width=self.width * lanes, depth=self.depth, exclusive=True)
        word = Signal(data.ArrayLayout(self.width, lanes), reset_less=True)
        w_en = Signal()
        w_addr = Signal(bank.w_addr.shape(), reset_less=True)
        value = self.bus.data[self.low : self.low + self.width]
        chosen = self.bus.valid & (self.bus.target == self.target)
        if lanes == 1:
            m.d.sync += [w_en.eq(chosen), w_addr.eq(self.bus.address), word[0].eq(value)]
        else:
            mine = Signal()
            mine_addr = Signal.like(w_addr, name="mine_addr", reset_less=True)
            mine_lane = Signal(bits_for(lanes - 1), reset_less=True)
            mine_value = Signal(self.width, reset_less=True)
            m.d.sync += [mine.eq(chosen), w_en.eq(mine), w_addr.eq(mine_addr)]
            # With an enable, or synthesis takes the registers of another memory for these.
            with m.If(chosen):
                m.d.sync += [
                    mine_addr.eq(self.bus.address),
                    mine_lane.eq(self.bus.unit),
                    mine_value.eq(value),
                ]
            with m.If(mine):
                m.d.sync += word[mine_lane].eq(mine_value)
        m.d.comb += [
            bank.w_addr.eq(w_addr),
            bank.w_data.eq(word),
            bank.w_en.eq(w_en),
            bank.r_addr.eq(self.r_addr),
            bank.r_en.eq(self.r_en),
            self.r_data.eq(bank.r_data),
        ]
        return m
