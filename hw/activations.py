"""The activation memory."""

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bank import Bank
from .config import Config, bits_for

__all__ = ["Activations"]


class Activations(wiring.Component):
    """``act_depth`` words of ``act_word`` int8, read a word, written a lane group at a time.

    Channel c of a pixel is byte ``c % act_word`` of its word ``c // act_word``; byte 0 is the least
    significant. Read data is valid one cycle after ``r_en`` and then holds.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "r_addr": In(range(config.act_depth)),
            "r_en": In(1),
            "r_data": Out(8 * config.act_word),
            "w_addr": In(range(config.act_depth)),
            "w_group": In(bits_for(config.groups - 1)),
            "w_en": In(1),
            "w_data": In(8 * config.lanes),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        words = []
        for n in range(self.config.groups):
            m.submodules[f"group_{n}"] = bank = Bank(
                width=8 * self.config.lanes, depth=self.config.act_depth
            )
            m.d.comb += [
                bank.r_addr.eq(self.r_addr),
                bank.r_en.eq(self.r_en),
                bank.w_addr.eq(self.w_addr),
                bank.w_data.eq(self.w_data),
                bank.w_en.eq(self.w_en & (self.w_group == n)),
            ]
            words.append(bank.r_data)
        m.d.comb += self.r_data.eq(Cat(*words))
        return m
