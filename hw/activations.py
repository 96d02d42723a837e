"""The activation memory."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bank import Bank
from .config import Config, bits_for

__all__ = ["Activations"]


class Activations(wiring.Component):
    """``act_depth`` words of ``act_word`` int8, read a word, written a lane group at a time.

    Channel c of a pixel is byte ``c % act_word`` of its word ``c // act_word``; byte 0 is the least
    significant. Read data is valid ``config.read_latency`` cycles after ``r_en``, then holds.

    With a systolic array any ``act_word`` bytes can be read: those from byte ``r_offset`` of word
    ``r_addr`` on. They are not turned: byte b of what is read is byte b of a word, of ``r_addr``
    where ``b >= r_offset`` and of ``r_next``, the word behind it, where it is below: ``r_ahead``
    says for each byte whether it is. Then there is a register in front of all its ports, as it has
    many blocks, and they are far: it is written a cycle later, too.
    """

    def __init__(self, config: Config):
        self.config = config
        offset = {
            "r_ahead": In(config.act_word),
            "r_next": In(range(config.act_depth)),
        }
        super().__init__({
            "r_addr": In(range(config.act_depth)),
            **(offset if config.columns else {}),
            "r_en": In(1),
            "r_data": Out(8 * config.act_word),
            "w_addr": In(range(config.act_depth)),
            "w_group": In(bits_for(config.groups - 1)),
            "w_en": In(1),
            "w_data": In(8 * config.lanes),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        # Banks of a byte where they are read at different words, of a lane group elsewhere.
        width = 8 if config.columns else 8 * config.lanes
        write = Cat(self.w_en, self.w_addr, self.w_group, self.w_data)
        if config.columns:
            late = Signal(len(write), reset_less=True)
            m.d.sync += late.eq(write)
            write = late
            late_r_en = Signal()
            m.d.sync += late_r_en.eq(self.r_en)
        w_en, rest = write[0], write[1:]
        w_addr, rest = rest[: len(self.w_addr)], rest[len(self.w_addr) :]
        w_group, w_data = rest[: len(self.w_group)], rest[len(self.w_group) :]
        words = []
        for n in range(8 * config.act_word // width):
            bank = Bank(width=width, depth=config.act_depth)
            group, low = divmod(n * width, 8 * config.lanes)
            r_addr, r_en = self.r_addr, self.r_en
            if config.columns:
                r_addr = Signal(r_addr.shape(), name=f"r_addr_{n}", reset_less=True)
                r_en = late_r_en
                m.d.sync += r_addr.eq(Mux(self.r_ahead[n], self.r_next, self.r_addr))
            m.submodules[f"{'byte' if config.columns else 'group'}_{n}"] = bank
            m.d.comb += [
                bank.r_addr.eq(r_addr),
                bank.r_en.eq(r_en),
                bank.w_addr.eq(w_addr),
                bank.w_data.eq(w_data[low : low + width]),
                bank.w_en.eq(w_en & (w_group == group)),
            ]
            words.append(bank.r_data)
        m.d.comb += self.r_data.eq(Cat(*words))
        return m
