"""The WEIGHTS section: from code words to entries and column pointers."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..image import LoadError
from .huffman import HuffmanTables

__all__ = ["WeightSection"]

HEADER_BYTES = 13
MAX_RUN = 255


class WeightSection(wiring.Component):
    """Decodes a WEIGHTS section, of which the next bits are in the window of a bit reader.

    Dense: two cycles a weight, three more for each PE. Sparse: four cycles an entry (two for its
    run, two for its code), two for a skip alone, one more for each column of a PE. In front of that
    the tables take what :class:`HuffmanTables` says.

    A write out of a memory's depth is not made, but is an error.

    Members
    -------
    start : In(1)
        Begin; the reader was opened.
    window, ready : In; consume, amount : Out
        The reader.
    write, pointer, unit, address, data : Out
        A write of an entry, or of a ``pointer`` word, into the memories of PE ``unit``.
    done : Out(1)
        Pulse: all PEs are filled.
    error : Out(4)
        :class:`LoadError`, a pulse; the section must then be given up by a reset.
    """

    def __init__(self, config: Config, window_bits: int):
        self.config = config
        entry = config.code_bits + config.row_bits * config.sparse
        pointer = (config.weight_address_bits + config.length_bits) * config.sparse
        super().__init__({
            "start": In(1),
            "window": In(window_bits),
            "ready": In(1),
            "consume": Out(1),
            "amount": Out(4),
            "write": Out(1),
            "pointer": Out(1),
            "unit": Out(8),
            "address": Out(
                max(config.weight_address_bits, config.pointer_address_bits * config.sparse)
            ),
            "data": Out(unsigned(max(entry, pointer))),
            "done": Out(1),
            "error": Out(4),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.tables = tables = HuffmanTables(config)

        # The header, most significant byte first; a register has only the bits that it may need.
        base = Signal(config.weight_address_bits + 1, reset_less=True)
        pointer_base = Signal(config.pointer_address_bits + 1, reset_less=True)
        columns = Signal(16, reset_less=True)
        rows = Signal(config.length_bits, reset_less=True)
        run_bits = Signal(4, reset_less=True)
        last = Signal(8, reset_less=True)  # symbol
        mapped = Signal(reset_less=True)
        header = [(base, 3), (pointer_base, 3), (columns, 2), (rows, 2)]
        header += [(run_bits, 1), (last, 1), (mapped, 1)]
        index = Signal(8, reset_less=True)  # of a header byte, later of a symbol
        byte = self.window[-8:]

        sparse = Signal()
        runs = Signal(reset_less=True)  # which table is read; then `last` is the largest run
        m.d.comb += [
            sparse.eq(run_bits != 0 if config.sparse else 0),
            tables.runs.eq(runs),
            tables.last.eq(last),
            tables.mapped.eq(mapped & ~runs),
            tables.put_symbol.eq(index),
            tables.put_data.eq(byte),
            tables.bits.eq(self.window[-config.huffman_bits :]),
        ]

        # Where the next entry goes.
        unit = Signal(8, reset_less=True)
        address = Signal.like(base)
        length = Signal(config.length_bits, reset_less=True)
        pointer = Signal.like(pointer_base)
        column = Signal(16, reset_less=True)  # from 1 on
        place = Signal(range(config.acc_rows + MAX_RUN + 1), reset_less=True)
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

        start = (address - length)[: config.weight_address_bits]
        entry = Cat(tables.symbol[: config.code_bits], place[: config.row_bits])
        m.d.comb += [
            self.unit.eq(unit),
            self.address.eq(Mux(self.pointer, pointer, address)),
            self.data.eq(Mux(self.pointer, Cat(start, length), entry[: config.entry_bits])),
        ]

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
                run_limit = 8 if config.sparse else 0
                with m.If(
                    (base > config.weight_depth)
                    | (columns == 0)
                    | (rows == 0)
                    | (rows > config.acc_rows)
                    | (run_bits > run_limit)
                ):
                    fail(LoadError.SECTION_LENGTH)
                with m.If(mapped):
                    m.next = "NAMES"
                with m.Else():
                    m.next = "LENGTHS"
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
                    m.next = "FOUND"
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
            with m.State("FOUND"):
                m.d.comb += [self.consume.eq(1), self.amount.eq(tables.length)]
                m.next = "LOOK"
                with m.If(sparse & ~put):
                    m.d.comb += advance.eq(tables.symbol)
                    m.d.sync += put.eq(tables.symbol != last)
                with m.Else():
                    m.d.comb += self.write.eq(address < config.weight_depth)
                    m.d.comb += entry_put.eq(1)
                    m.d.sync += address.eq(address + 1)
                    m.d.comb += advance.eq(1)
                    m.d.sync += put.eq(0)
                    with m.If(~self.write):
                        fail(LoadError.SECTION_LENGTH)
                m.d.sync += no_word.eq(tables.length == 0)
            with m.State("NEXT PE"):
                m.d.sync += unit.eq(unit + 1)
                with m.If(unit == config.pes - 1):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
                with m.Else():
                    m.next = "FIRST COLUMN"

        with m.If(tables.error | no_word):
            fail(LoadError.CODE)
        return m
