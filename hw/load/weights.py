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
FIRST_UNIT = 12  # bit of the field "units"


class WeightSection(wiring.Component):
    """Decodes a WEIGHTS or TILES section: its next bits are in the window of a bit reader.

    TILES is WEIGHTS with one row, whose columns are words, and whose PEs are outputs of a tile.

    Dense, raw or not: three cycles a weight, three more for each PE. Sparse: six cycles an entry
    (three for its run, three for its code), three for a skip alone, one more for each column of a
    PE, so for each zero of a tile. Where a symbol is several members: three cycles for the symbol,
    two for each member. In front of that the tables take what :class:`HuffmanTables` says.

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
        # Which kinds of weights may have runs; code words of runs are in a table of their own, or
        # stand for runs and weights together.
        self.runs_in_tiles = config.columns > 0 and (config.tile_runs or config.code_groups)
        # Bits of what is written, and of where it goes.
        data, address = [8] if config.columns else [], []
        if config.columns:
            address.append(bits_for(config.tile_depth - 1))
            if config.winograd:
                address.append(bits_for(config.winograd_depth - 1))
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
        if config.winograd:
            units_bits = FIRST_UNIT + bits_for(config.tile_outputs)
        base = Signal(self.address_bits + 1, reset_less=True)
        pointer_base = Signal(max(pointer_bits, units_bits), reset_less=True)  # or units
        columns = Signal(16, reset_less=True)
        rows = Signal(config.length_bits if config.pes else 1, reset_less=True)
        run_bits = Signal(4, reset_less=True)
        last = Signal(8, reset_less=True)  # symbol
        mapped_bits = 2 if config.columns or config.code_bits == 8 else 1
        mapped = Signal(7 if config.code_groups else mapped_bits, reset_less=True)
        header = [(base, 3), (pointer_base, 3), (columns, 2), (rows, 2)]
        header += [(run_bits, 1), (last, 1), (mapped, 1)]
        first_unit, end_unit, of_filters = Const(0), pointer_base, Const(0)
        if config.winograd:
            first_unit, end_unit = pointer_base[FIRST_UNIT:], pointer_base[:FIRST_UNIT]
            of_filters = first_unit != 0
        most_units = Mux(of_filters, config.tile_units, config.tile_outputs)
        index = Signal(8, reset_less=True)  # of a header byte, later of a symbol
        byte = self.window[-8:]

        tiles = Const(1) if not config.pes else self.tiles if config.columns else Const(0)
        sparse, raw = Signal(), Signal()
        runs = Signal(reset_less=True)  # which table is read; then `last` is the largest run
        # Members of a symbol, of 1, 2 or 4 bits: those that are still to come, and how many.
        group = mapped[4:] if config.code_groups else Const(0, 3)
        grouped = group.any() if config.code_groups else Const(0)
        held = Signal(8, reset_less=True)
        left = Signal(4, reset_less=True)
        last_name = Signal(8, reset_less=True)
        kind = Signal()  # 1: the next member is a run
        # Names of runs lie behind those of codes.
        kinds = Cat(Const(0, 1), group[0], group[1], Const(0, 1), group[2])
        member_bits = Cat(Const(1, 1), group[1] | group[2], group[2], group[2])
        member = Signal(4)
        m.d.comb += [
            sparse.eq(run_bits != 0 if self.sparse or self.runs_in_tiles else 0),
            raw.eq(mapped[1:2]),
            member.eq(held),
            tables.runs.eq(runs),
            tables.last.eq(last),
            tables.mapped.eq(mapped[0] & ~runs & ~grouped),
            tables.put_symbol.eq(index),
            tables.put_data.eq(byte),
            tables.bits.eq(self.window[-config.huffman_bits :]),
        ]
        if config.code_groups:
            m.d.comb += tables.member.eq((member & member_bits) | Mux(kind, kinds, 0))

        def shift(bits):
            """Go on to the next member."""
            with m.If(group[0]):
                m.d.sync += held.eq(bits >> 1)
            with m.Elif(group[1]):
                m.d.sync += held.eq(bits >> 2)
            with m.Else():
                m.d.sync += held.eq(bits >> 4)

        if tables.two_widths:
            m.d.comb += tables.wide.eq(tiles | grouped)

        # Where the next entry goes.
        unit = Signal(8, reset_less=True)
        address = Signal.like(base)
        length = Signal(config.length_bits, reset_less=True)
        pointer = Signal.like(pointer_base)
        column = Signal(16, reset_less=True)  # from 1 on
        farthest = config.acc_rows if config.pes else 1
        if config.pes or self.runs_in_tiles:
            farthest += MAX_RUN
        place = Signal(range(farthest + 1), reset_less=True)
        advance = Signal.like(place)
        put = Signal()  # the next word is a code, for the entry at `place`
        filled = Signal(reset_less=True)  # a tile's word at `place` has its weight
        blank = Signal()
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
        if self.runs_in_tiles:
            symbol = symbol & ~blank.replicate(8)
        start = (address - length)[: config.weight_address_bits]
        entry = Cat(symbol[: config.code_bits], place[: config.row_bits])[: config.entry_bits]
        m.d.comb += [
            self.unit.eq(unit),
            self.address.eq(Mux(self.pointer, pointer, address)),
            self.data.eq(Mux(tiles, symbol, Mux(self.pointer, Cat(start, length), entry))),
        ]
        tile_depth = Mux(of_filters, config.winograd_depth, config.tile_depth)
        depth = Mux(tiles, tile_depth, config.weight_depth)

        def fail(code):
            m.d.comb += self.error.eq(code)

        def write_entry():
            m.d.comb += self.write.eq(address < depth)
            m.d.sync += address.eq(address + 1)
            with m.If(~self.write):
                fail(LoadError.SECTION_LENGTH)

        # The header goes to its registers a cycle after it was read.
        is_header = Signal()
        header_byte = Signal(8, reset_less=True)
        header_index = Signal.like(index)
        m.d.sync += [is_header.eq(0), header_byte.eq(byte), header_index.eq(index)]
        with m.If(is_header):
            with m.Switch(header_index):
                position = 0
                for register, count in header:
                    for n in reversed(range(count)):
                        with m.Case(position):
                            part = register[8 * n : 8 * n + 8]
                            m.d.sync += part.eq(header_byte)
                            with m.If(header_byte >> len(part) != 0):
                                fail(LoadError.SECTION_LENGTH)
                        position += 1

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [index.eq(0), runs.eq(0), left.eq(0)]
                with m.If(self.start):
                    m.next = "HEADER"

            with m.State("HEADER"):
                m.d.comb += [self.consume.eq(self.ready), self.amount.eq(8)]
                with m.If(self.ready):
                    m.d.sync += [index.eq(index + 1), is_header.eq(1)]
                    with m.If(index == HEADER_BYTES - 1):
                        m.next = "REST"
            with m.State("REST"):
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += index.eq(0)
                if config.code_groups:
                    names = [1, group[1:].any() | sparse, group[2] | (group[1] & sparse)]
                    names += [group[2], group[2] & sparse]
                    m.d.sync += last_name.eq(Mux(grouped, Cat(names), last))
                run_limit, tile_limit = 8 * self.sparse, 8 * self.runs_in_tiles
                with m.If(
                    (base > depth)
                    | (columns == 0)
                    | (rows == 0)
                    | (rows > Mux(tiles, 1, config.acc_rows))
                    | (run_bits > Mux(tiles, tile_limit, run_limit))
                    | (0 if config.tile_runs else tiles & sparse & ~grouped)
                    | (mapped[2:4] != 0)
                    | (mapped[0] & mapped[1:2])
                    | (grouped & ~mapped[0])
                    | (group & (group - 1)).any()
                    | (raw & (sparse | (~tiles & (config.code_bits < 8))))
                    | (tiles & ((end_unit <= first_unit) | (end_unit > most_units)))
                    | (tiles & of_filters & (first_unit != config.tile_outputs))
                    | (~tiles & (pointer_base >> pointer_bits != 0))
                ):
                    fail(LoadError.SECTION_LENGTH)
                m.next = "LENGTHS"
                with m.If(mapped[0]):
                    m.next = "NAMES"
                with m.If(raw):
                    m.d.sync += unit.eq(first_unit)
                    m.next = "FIRST COLUMN"
            with m.State("NAMES"):
                m.d.comb += [self.consume.eq(self.ready), self.amount.eq(8)]
                m.d.comb += tables.put.eq(self.ready)
                with m.If(self.ready):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == (last_name if config.code_groups else last)):
                        m.d.sync += index.eq(0)
                        m.next = "LENGTHS"
                    if config.code_groups and config.pes and config.code_bits < 8:
                        is_code = (index & kinds) == 0
                        with m.If(grouped & ~tiles & is_code & (byte >> config.code_bits != 0)):
                            fail(LoadError.CODE)
            with m.State("LENGTHS"):
                m.d.comb += [self.consume.eq(self.ready), self.amount.eq(4)]
                m.d.comb += [tables.put.eq(self.ready), tables.put_length.eq(1)]
                with m.If(self.ready):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == last):
                        m.next = "BUILD"
            with m.State("BUILD"):
                m.d.comb += tables.build.eq(1)
                m.d.sync += [index.eq(0), unit.eq(first_unit)]
                m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(~tables.busy):
                    with m.If(sparse & ~runs):
                        m.d.sync += last.eq((1 << run_bits) - 1)
                    with m.If(sparse & ~runs & ~grouped):
                        m.d.sync += runs.eq(1)
                        m.next = "LENGTHS"
                    with m.Else():
                        m.next = "FIRST COLUMN"

            with m.State("FIRST COLUMN"):
                m.d.sync += [address.eq(base), pointer.eq(pointer_base)]
                m.d.sync += [place.eq(0), put.eq(0), filled.eq(0)]
                m.d.comb += first.eq(1)
                m.next = "LOOK"
            with m.State("LOOK"):
                m.d.comb += [tables.look.eq(left == 0 if config.code_groups else 1), blank.eq(1)]
                m.d.comb += tables.look_runs.eq(sparse & ~put & ~grouped)
                with m.If(self.ready):
                    m.next = "READ"
                if config.code_groups:
                    with m.If(left != 0):
                        m.next = "FOUND"
                with m.If(place >= rows):
                    m.d.comb += [advance.eq(-rows), column_ends.eq(1)]
                    if self.runs_in_tiles:
                        with m.If(sparse & tiles):
                            m.d.sync += filled.eq(0)
                            with m.If(~filled):
                                write_entry()
                    if self.sparse:
                        with m.If(sparse & ~tiles):
                            m.d.comb += self.pointer.eq(1)
                            m.d.comb += self.write.eq(pointer < config.pointer_depth)
                            m.d.sync += pointer.eq(pointer + 1)
                            with m.If(~self.write):
                                fail(LoadError.SECTION_LENGTH)
                    with m.If(sparse):
                        m.next = "LOOK"  # more columns may end here
                    with m.If(last_column):
                        with m.If(put):
                            fail(LoadError.CODE)
                        m.next = "NEXT PE"
            with m.State("READ"):
                m.next = "FOUND"
                if config.code_groups:
                    with m.If(grouped):
                        m.next = "MEMBERS"
            if config.code_groups:
                with m.State("MEMBERS"):
                    m.d.comb += [self.consume.eq(1), self.amount.eq(tables.length)]
                    m.d.comb += [tables.read.eq(1), member.eq(tables.symbol), kind.eq(sparse)]
                    m.d.sync += [left.eq(Cat(Const(0, 1), group[2], group[1], group[0]))]
                    m.d.sync += no_word.eq(tables.length == 0)
                    shift(tables.symbol)
                    m.next = "NAME"
                with m.State("NAME"):
                    m.next = "FOUND"
            with m.State("FOUND"):
                m.d.comb += [self.consume.eq(~grouped), self.amount.eq(Mux(raw, 8, tables.length))]
                m.d.sync += no_word.eq(~raw & ~grouped & (tables.length == 0))
                if config.code_groups:
                    with m.If(grouped):
                        m.d.comb += [tables.read.eq(1), kind.eq(sparse & put)]
                        m.d.sync += left.eq(left - 1)
                        shift(held)
                m.next = "LOOK"
                with m.If(sparse & ~put):
                    m.d.comb += advance.eq(tables.symbol)
                    m.d.sync += put.eq(tables.symbol != last)
                    with m.If(tables.symbol == last):
                        m.d.sync += left.eq(0)
                with m.Else():
                    write_entry()
                    m.d.comb += entry_put.eq(1)
                    m.d.comb += advance.eq(1)
                    m.d.sync += [put.eq(0), filled.eq(1)]
            with m.State("NEXT PE"):
                m.d.sync += unit.eq(unit + 1)
                with m.If(unit == Mux(tiles, end_unit, config.pes) - 1):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
                with m.Else():
                    m.next = "FIRST COLUMN"

        with m.If(tables.error | no_word):
            fail(LoadError.CODE)
        return m
