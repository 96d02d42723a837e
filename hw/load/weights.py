"""The WEIGHTS and TILES sections: from code words to weights and column pointers."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, bits_for
from ..image import LoadError
from .huffman import HuffmanTables

__all__ = ["WeightSection"]

HEADER_BYTES = 13
MAX_RUN = 255


class WeightSection(wiring.Component):
    """Decodes a WEIGHTS or TILES section: its next bits are in the window of a bit reader.

    TILES is WEIGHTS with one row, whose columns are words, and whose PEs are outputs of a tile.

    Dense, raw or not: three cycles a weight, three more for each PE. Sparse: six cycles an entry
    (three for its run, three for its code), three for a skip alone, one more for each column of a
    PE. In front of that the tables take what :class:`HuffmanTables` says.

    A write out of a memory's depth is not made, but is an error.

    Members
    -------
    start, tiles : In
        Begin; the reader was opened. Whether it is TILES must be held, in accelerators that have
        PEs and a systolic array; elsewhere it is what they have.
    window, ready : In; consume, amount : Out
        The reader.
    write, pointer, unit, address, data : Out
        A write of an entry, or of a ``pointer`` word, into the memories of PE ``unit``; of a
        weight where it is ``tiles``.
    done : Out(1)
        Pulse: all PEs are filled.
    error : Out(4)
        :class:`LoadError`, a pulse; the section must then be given up by a reset.
    """

    def __init__(self, config: Config, window_bits: int):
        self.config = config
        self.sparse = config.sparse and config.pes > 0
        # Bits of what is written, and of where it goes.
        data, address = [8] if config.columns else [], []
        if config.columns:
            address.append(bits_for(config.tile_depth - 1))
        if config.pes:
            data.append(config.entry_bits)
            address.append(config.weight_address_bits)
        if self.sparse:
            data.append(config.weight_address_bits + config.length_bits)
            address.append(config.pointer_address_bits)
        self.address_bits = max(address)
        super().__init__({
            "start": In(1),
            "tiles": In(1),
            "window": In(window_bits),
            "ready": In(1),
            "consume": Out(1),
            "amount": Out(4),
            "write": Out(1),
            "pointer": Out(1),
            "unit": Out(8),
            "address": Out(self.address_bits),
            "data": Out(unsigned(max(data))),
            "done": Out(1),
            "error": Out(4),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.tables = tables = HuffmanTables(config)

        pointer_bits = config.pointer_address_bits + 1 if config.pes else 0

        # The header, most significant byte first; a register has only the bits that it may need.
        units_bits = bits_for(config.tile_outputs) if config.columns else 0
        base = Signal(self.address_bits + 1, reset_less=True)
        pointer_base = Signal(max(pointer_bits, units_bits), reset_less=True)  # or units
        columns = Signal(16, reset_less=True)
        rows = Signal(config.length_bits if config.pes else 1, reset_less=True)
        run_bits = Signal(4, reset_less=True)
        last = Signal(8, reset_less=True)  # symbol
        mapped = Signal(2 if config.columns or config.code_bits == 8 else 1, reset_less=True)
        header = [(base, 3), (pointer_base, 3), (columns, 2), (rows, 2)]
        header += [(run_bits, 1), (last, 1), (mapped, 1)]
        index = Signal(8, reset_less=True)  # of a header byte, later of a symbol
        byte = self.window[-8:]

        tiles = Const(1) if not config.pes else self.tiles if config.columns else Const(0)
        sparse, raw = Signal(), Signal()
        runs = Signal(reset_less=True)  # which table is read; then `last` is the largest run
        m.d.comb += [
            sparse.eq(run_bits != 0 if self.sparse else 0),
            raw.eq(mapped[1:]),
            tables.runs.eq(runs),
            tables.last.eq(last),
            tables.mapped.eq(mapped[0] & ~runs),
            tables.put_symbol.eq(index),
            tables.put_data.eq(byte),
            tables.bits.eq(self.window[-config.huffman_bits :]),
        ]

        if tables.two_widths:
            m.d.comb += tables.wide.eq(tiles)

        # Where the next entry goes.
        unit = Signal(8, reset_less=True)
        address = Signal.like(base)
        length = Signal(config.length_bits, reset_less=True)
        pointer = Signal.like(pointer_base)
        column = Signal(16, reset_less=True)  # from 1 on
        farthest = config.acc_rows + MAX_RUN if config.pes else 1
        place = Signal(range(farthest + 1), reset_less=True)
        advance = Signal.like(place)
        put = Signal()  # the next word is a code, for the entry at `place`
        no_word = Signal()
        last_column = column == columns
        m.d.sync += place.eq(place + advance)
        first, column_ends, entry_put = Signal(), Signal(), Signal()
        with m.If(first | column_ends):
            m.d.sync += column.eq(column + 1)
            with m.If(first):
                m.d.sync += column.eq(1)
        with m.If(first | column_ends | entry_put):
            m.d.sync += length.eq(length + 1)
            with m.If(~entry_put):
                m.d.sync += length.eq(0)

        symbol = Mux(raw, byte, tables.symbol)
        start = (address - length)[: config.weight_address_bits]
        entry = Cat(symbol[: config.code_bits], place[: config.row_bits])[: config.entry_bits]
        m.d.comb += [
            self.unit.eq(unit),
            self.address.eq(Mux(self.pointer, pointer, address)),
            self.data.eq(Mux(tiles, symbol, Mux(self.pointer, Cat(start, length), entry))),
        ]
        depth = Mux(tiles, config.tile_depth, config.weight_depth)

        def fail(code):
            m.d.comb += self.error.eq(code)

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [index.eq(0), runs.eq(0)]
                with m.If(self.start):
                    m.next = "HEADER"

            with m.State("HEADER"):
                m.d.comb += [self.consume.eq(self.ready), self.amount.eq(8)]
                with m.If(self.ready):
                    m.d.sync += index.eq(index + 1)
                    with m.Switch(index):
                        position = 0
                        for register, count in header:
                            for n in reversed(range(count)):
                                with m.Case(position):
                                    part = register[8 * n : 8 * n + 8]
                                    m.d.sync += part.eq(byte)
                                    with m.If(byte >> len(part) != 0):
                                        fail(LoadError.SECTION_LENGTH)
                                position += 1
                    with m.If(index == HEADER_BYTES - 1):
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += index.eq(0)
                run_limit = 8 if self.sparse else 0
                with m.If(
                    (base > depth)
                    | (columns == 0)
                    | (rows == 0)
                    | (rows > Mux(tiles, 1, config.acc_rows))
                    | (run_bits > Mux(tiles, 0, run_limit))
                    | (mapped == 3)
                    | (raw & (sparse | (~tiles & (config.code_bits < 8))))
                    | (tiles & ((pointer_base == 0) | (pointer_base > config.tile_outputs)))
                    | (~tiles & (pointer_base >> pointer_bits != 0))
                ):
                    fail(LoadError.SECTION_LENGTH)
                m.next = "LENGTHS"
                with m.If(mapped[0]):
                    m.next = "NAMES"
                with m.If(raw):
                    m.d.sync += unit.eq(0)
                    m.next = "FIRST COLUMN"
            with m.State("NAMES"):
                m.d.comb += [self.consume.eq(self.ready), self.amount.eq(8)]
                m.d.comb += tables.put.eq(self.ready)
                with m.If(self.ready):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == last):
                        m.d.sync += index.eq(0)
                        m.next = "LENGTHS"
            with m.State("LENGTHS"):
                m.d.comb += [self.consume.eq(self.ready), self.amount.eq(4)]
                m.d.comb += [tables.put.eq(self.ready), tables.put_length.eq(1)]
                with m.If(self.ready):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == last):
                        m.next = "BUILD"
            with m.State("BUILD"):
                m.d.comb += tables.build.eq(1)
                m.d.sync += [index.eq(0), unit.eq(0)]
                m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(~tables.busy):
                    with m.If(sparse & ~runs):
                        m.d.sync += [runs.eq(1), last.eq((1 << run_bits) - 1)]
                        m.next = "LENGTHS"
                    with m.Else():
                        m.next = "FIRST COLUMN"

            with m.State("FIRST COLUMN"):
                m.d.sync += [address.eq(base), pointer.eq(pointer_base)]
                m.d.sync += [place.eq(0), put.eq(0)]
                m.d.comb += first.eq(1)
                m.next = "LOOK"
            with m.State("LOOK"):
                m.d.comb += [tables.look.eq(1), tables.look_runs.eq(sparse & ~put)]
                with m.If(self.ready):
                    m.next = "READ"
                with m.If(place >= rows):
                    m.d.comb += [advance.eq(-rows), column_ends.eq(1)]
                    with m.If(sparse):
                        m.d.comb += self.pointer.eq(1)
                        m.d.comb += self.write.eq(pointer < config.pointer_depth)
                        m.d.sync += pointer.eq(pointer + 1)
                        with m.If(~self.write):
                            fail(LoadError.SECTION_LENGTH)
                        m.next = "LOOK"  # more columns may end here
                    with m.If(last_column):
                        with m.If(put):
                            fail(LoadError.CODE)
                        m.next = "NEXT PE"
            with m.State("READ"):
                m.next = "FOUND"
            with m.State("FOUND"):
                m.d.comb += [self.consume.eq(1), self.amount.eq(Mux(raw, 8, tables.length))]
                m.next = "LOOK"
                with m.If(sparse & ~put):
                    m.d.comb += advance.eq(tables.symbol)
                    m.d.sync += put.eq(tables.symbol != last)
                with m.Else():
                    m.d.comb += self.write.eq(address < depth)
                    m.d.comb += entry_put.eq(1)
                    m.d.sync += address.eq(address + 1)
                    m.d.comb += advance.eq(1)
                    m.d.sync += put.eq(0)
                    with m.If(~self.write):
                        fail(LoadError.SECTION_LENGTH)
                m.d.sync += no_word.eq(~raw & (tables.length == 0))
            with m.State("NEXT PE"):
                m.d.sync += unit.eq(unit + 1)
                with m.If(unit == Mux(tiles, pointer_base, config.pes) - 1):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
                with m.Else():
                    m.next = "FIRST COLUMN"

        with m.If(tables.error | no_word):
            fail(LoadError.CODE)
        return m
