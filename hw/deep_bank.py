"""A memory that is deeper than a block RAM."""

from amaranth import Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bank import Bank

__all__ = ["DeepBank"]

CHUNK_BITS = 11  # a byte of 2048 words is a block of 18 kbit


class DeepBank(wiring.Component):
    """As :class:`.bank.Bank`, with read data a cycle later: valid two cycles after ``addr``.

    Block RAM is slow to answer, and a multiplexer behind many of them is slow too. So there is a
    register behind every 2048 words, in front of the multiplexer. Without ``r_en`` the data of the
    next cycle but one is undefined.
    """

    def __init__(self, *, width: int, depth: int, parts: int = 1, exclusive: bool = False):
        self.width, self.depth, self.parts = width, depth, parts
        self.exclusive = exclusive
        size = 1 << CHUNK_BITS
        self._depths = [max(2, min(size, depth - low)) for low in range(0, depth, size)]
        super().__init__({
            "r_addr": In(range(depth)),
            "r_en": In(1),
            "r_data": Out(width),
            "w_addr": In(range(depth)),
            "w_en": In(parts),
            "w_data": In(width),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        found: list[Value] = []
        alone = len(self._depths) == 1

        def meant(address, n):
            return Const(1) if alone else address[CHUNK_BITS:] == n

        for n, depth in enumerate(self._depths):
            bank = Bank(width=self.width, depth=depth, parts=self.parts, exclusive=self.exclusive)
            m.submodules[f"words_{n}"] = bank
            word = Signal(self.width, name=f"word_{n}", reset_less=True)
            m.d.sync += word.eq(bank.r_data)
            m.d.comb += [
                bank.r_addr.eq(self.r_addr),
                bank.r_en.eq(self.r_en & meant(self.r_addr, n)),
                bank.w_addr.eq(self.w_addr),
                bank.w_data.eq(self.w_data),
                bank.w_en.eq(self.w_en & meant(self.w_addr, n).replicate(self.parts)),
            ]
            found.append(word)
        if alone:
            m.d.comb += self.r_data.eq(found[0])
            return m
        chosen = [self.r_addr[CHUNK_BITS:]]
        for n in range(2):
            chosen.append(Signal(len(chosen[0]), name=f"chosen_{n}", reset_less=True))
            m.d.sync += chosen[-1].eq(chosen[-2])
        with m.Switch(chosen[-1]):
            for n, word in enumerate(found):
                with m.Default() if n == len(found) - 1 else m.Case(n):
                    m.d.comb += self.r_data.eq(word)
        return m
