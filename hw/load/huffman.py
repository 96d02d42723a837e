"""Huffman decoding tables, built on the chip from code lengths."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..config import Config

__all__ = ["HuffmanTables"]

MAX_SYMBOLS = 256
MEMBER_NAMES = 5  # bits of the number of a member's name


class HuffmanTables(wiring.Component):
    """Decodes a word of a canonical Huffman code every third cycle, out of a lookup table.

    The table of weight codes, and where there is one that of runs, have a row for each word of
    ``huffman_bits`` bits. So a table takes ``2**huffman_bits * 12`` bits of block RAM and almost no
    logic; 8 to 10 bits suit small parts. Equal to :func:`prunus.sim.huffman.lookup_table`.
    Where a symbol is several members, their names are read from where they were put.

    The code lengths, and where ``mapped`` the symbols' names, are first put into a scratch memory.
    Building a table of n symbols then takes ``n * huffman_bits + 2**huffman_bits`` cycles, and a
    few for each symbol that is used: for each length, symbols are searched in their order, and
    their rows are written one after the other.

    Members
    -------
    put, put_length, put_symbol, put_data : In
        Keep the length (in the high 4 bits), or the name, of a symbol.
    build, runs, last, mapped : In
        Build a table (of runs or codes) of symbols 0..``last``, found as their names if
        ``mapped``. The last three must be held until ``busy`` is low again.
    wide : In(1)
        Held as they are: the symbols have 8 bits, not ``code_bits``; only where both occur.
    busy : Out(1)
        High from the cycle after ``build``.
    error : Out(1)
        Pulse: a length is over ``huffman_bits``, the lengths are no code, or a symbol with a
        code word is not below ``2**code_bits``.
    look, look_runs, bits : In
        Decode the word that ``bits`` starts with, the first bit in the most significant place.
    read, member : In
        Read a name that was put; not together with ``look``. Only with ``Config.code_groups``.
    symbol, length : Out
        Two cycles later, held until the next ``look`` or ``read``: what was found, or the name.
        Length 0: no code word.
    """

    def __init__(self, config: Config):
        self.bits_count = config.huffman_bits
        self.code_bits = config.code_bits if config.pes else 8
        self.run_table = config.run_table
        self.code_groups = config.code_groups
        self.two_widths = self.code_bits < 8 and (config.columns > 0 or config.code_groups)
        eight = self.run_table or config.columns > 0 or config.code_groups
        self.symbol_width = 8 if eight else self.code_bits
        wide = {"wide": In(1)} if self.two_widths else {}
        read = {"read": In(1), "member": In(MEMBER_NAMES)} if config.code_groups else {}
        super().__init__({
            "put": In(1),
            "put_length": In(1),
            "put_symbol": In(8),
            "put_data": In(8),
            "build": In(1),
            "runs": In(1),
            "last": In(8),
            "mapped": In(1),
            **wide,
            "busy": Out(1),
            "error": Out(1),
            "look": In(1),
            "look_runs": In(1),
            "bits": In(config.huffman_bits),
            **read,
            "symbol": Out(self.symbol_width),
            "length": Out(4),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        bits = self.bits_count
        tables = 2 if self.run_table else 1
        m.submodules.scratch = scratch = Bank(width=8, depth=2 * MAX_SYMBOLS)
        m.submodules.table = table = Bank(width=self.symbol_width + 4, depth=tables << bits)

        word = Signal(len(table.r_data), reset_less=True)
        m.d.comb += [
            scratch.w_en.eq(self.put),
            scratch.w_addr.eq(Cat(self.put_symbol, self.put_length)),
            scratch.w_data.eq(self.put_data),
            table.r_en.eq(self.look),
            table.r_addr.eq(Cat(self.bits, self.look_runs) if self.run_table else self.bits),
            Cat(self.length, self.symbol).eq(word),
        ]
        # Straight behind the memories, which are slow to answer.
        m.d.sync += word.eq(table.r_data)
        if self.code_groups:
            reads = Signal()
            with m.If(self.read | self.look):
                m.d.sync += reads.eq(self.read)
            with m.If(reads):
                m.d.sync += word[4:].eq(scratch.r_data)

        size = Signal(4, reset_less=True)
        # Reading, comparing and looking at the result overlap: what is read is two symbols ahead.
        ahead = Signal(8, reset_less=True)
        move, restart, back = Signal(), Signal(), Signal()
        symbol = Signal(8)
        hit = Signal(reset_less=True)
        name = Signal()
        row = Signal(bits + 1, reset_less=True)  # the top bit: the table is full
        # Rows of a symbol are those that differ in these low bits.
        span = Signal(bits, reset_less=True)
        found = Signal(8)
        fills, clears = Signal(), Signal()
        m.d.sync += hit.eq(scratch.r_data[4:] == size)
        with m.If(move):
            m.d.sync += ahead.eq(ahead + Mux(back, 0xFF, 1))
            with m.If(restart):
                m.d.sync += ahead.eq(0)
        m.d.comb += [
            symbol.eq(ahead - 2),
            scratch.r_en.eq(self.busy | self.read if self.code_groups else self.busy),
            scratch.r_addr.eq(Cat(Mux(name, symbol, ahead), ~name)),
            found.eq(Mux(self.mapped, scratch.r_data, symbol)),
            table.w_en.eq(fills & ~row[-1]),
            table.w_data.eq(Cat(Mux(clears, 0, size), found)),
            table.w_addr.eq(Cat(row[:bits], self.runs) if self.run_table else row[:bits]),
        ]
        if self.code_groups:
            with m.If(self.read):
                m.d.comb += scratch.r_addr.eq(self.member)
        too_long = (self.put & self.put_length & (self.put_data[4:] > bits)) if bits < 15 else 0
        too_wide = (found >> self.code_bits != 0) & ~self.runs if self.code_bits < 8 else 0
        if self.two_widths:
            too_wide &= ~self.wide
        m.d.comb += self.error.eq(too_long)

        def next_pass():
            m.d.comb += [move.eq(1), restart.eq(1)]
            m.d.sync += [size.eq(size + 1), span.eq(span >> 1)]
            with m.If(size == bits):
                m.next = "REST"
            with m.Else():
                m.next = "READ"

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += [move.eq(1), restart.eq(1)]
                m.d.sync += [row.eq(0), size.eq(1), span.eq((1 << bits - 1) - 1)]
                with m.If(self.build):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += move.eq(1)
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.comb += move.eq(1)
                m.next = "SEARCH"
            with m.State("SEARCH"):
                with m.If(hit & self.mapped):
                    m.next = "NAME"
                with m.Elif(hit):
                    m.next = "FILL"
                with m.Elif(symbol == self.last):
                    next_pass()
                with m.Else():
                    m.d.comb += move.eq(1)
            with m.State("NAME"):
                m.d.comb += name.eq(1)
                m.next = "FILL"
            with m.State("FILL"):
                m.d.comb += [fills.eq(1), scratch.r_en.eq(0)]
                m.d.sync += row.eq(row + 1)
                with m.If(row[-1] | too_wide):
                    m.d.comb += self.error.eq(1)
                with m.If(row[-1]):
                    m.next = "IDLE"
                with m.Elif((row | ~span)[:bits].all()):
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.comb += [move.eq(1), back.eq(1)]
                m.next = "READ"
                with m.If(symbol == self.last):
                    next_pass()
            with m.State("REST"):
                m.d.comb += [fills.eq(1), clears.eq(1)]
                m.d.sync += row.eq(row + 1)
                with m.If(row[-1]):
                    m.next = "IDLE"
        return m
