"""The sections of fixed fields: PROGRAM, CODEBOOK, CHANNELS, RECORDS and TABLES."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus import Target
from ..config import Config, bits_for
from ..image import MULTIPLIER_BITS, SHIFT_BITS, Kind, LoadError
from ..isa import WORD_BITS, Op

__all__ = ["TableSections"]

TABLE_BITS = 8  # of the place in a table
TARGETS = {
    Kind.PROGRAM: Target.PROGRAM,
    Kind.CODEBOOK: Target.CODEBOOK,
    Kind.CHANNELS: Target.CHANNEL,
    Kind.RECORDS: Target.RECORD,
    Kind.TABLES: Target.TABLE,
}


class TableSections(wiring.Component):
    """Writes the descriptors, codebooks, channels, records or tables of a section.

    About 6 cycles a word of a descriptor, 3 a weight of a codebook or entry of a table, and for a
    channel or record an eighth of its bits and up to 16.

    A write out of a memory's depth, or of an accumulator that does not exist, is not made but is an
    error.

    Members
    -------
    start, kind : In
        Begin a section, of one of :attr:`depths`; ``kind`` must be held.
    ready, empty : In
        Of the bit reader.
    read, bits, to_extra, signed : Out; busy, value, number, extra : In
        The field reader.
    write, target, unit, address, data : Out
        A write, as on the bus.
    done : Out(1)
        Pulse: everything is written.
    error : Out(4)
        :class:`LoadError`, a pulse; the section must then be given up by a reset.
    """

    def __init__(self, config: Config):
        self.config = config
        self.place_bits = config.pe_bits + config.row_bits
        # Bits of the extra field, and of an address one past the largest memory.
        self.extra_width = max(SHIFT_BITS, self.place_bits)
        self.depths = {
            Kind.PROGRAM: config.descriptor_words * config.program_depth,
            Kind.CHANNELS: config.channel_depth,
            Kind.RECORDS: config.record_depth,
        }
        if config.pes and config.code_bits < 8:
            self.depths[Kind.CODEBOOK] = config.codebooks << config.code_bits
        if config.tables:
            self.depths[Kind.TABLES] = config.tables << TABLE_BITS
        super().__init__({
            "start": In(1),
            "kind": In(4),
            "ready": In(1),
            "empty": In(1),
            "read": Out(1),
            "bits": Out(6),
            "to_extra": Out(1),
            "signed": Out(1),
            "busy": In(1),
            "value": In(32),
            "number": In(32),
            "extra": In(self.extra_width),
            "write": Out(1),
            "target": Out(Target),
            "unit": Out(8),
            "address": Out(bits_for(max(self.depths.values()) - 1)),
            "data": Out(unsigned(max(36, 32 + self.place_bits))),
            "done": Out(1),
            "error": Out(4),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        address = Signal(len(self.address) + 1, reset_less=True)
        lane = Signal(bits_for(config.lanes - 1), reset_less=True)
        left = Signal(16, reset_less=True)
        value_bits = Signal(6, reset_less=True)
        end_seen = Signal()
        records = self.kind == Kind.RECORDS
        m.d.comb += [self.unit.eq(lane), self.address.eq(address)]

        row, pe = self.extra[: config.row_bits], self.extra[config.row_bits : self.place_bits]
        word_of_layer = address[: config.descriptor_words.bit_length() - 1]
        fits = Signal()
        depth = Signal.like(address)
        with m.Switch(self.kind):
            for kind, kind_depth in self.depths.items():
                with m.Case(kind):
                    m.d.comb += [self.target.eq(TARGETS[kind]), depth.eq(kind_depth)]
        m.d.comb += [
            fits.eq(address < depth),
            self.data.eq(
                Mux(
                    records,
                    Cat(self.number[:MULTIPLIER_BITS], self.extra[:SHIFT_BITS]),
                    Cat(self.number, self.extra[: self.place_bits]),
                )
            ),
        ]

        def read(bits, *, to_extra=0):
            m.d.comb += [self.read.eq(1), self.bits.eq(bits), self.to_extra.eq(to_extra)]

        def fail():
            m.d.comb += self.error.eq(LoadError.SECTION_LENGTH)

        def write(condition=1):
            m.d.comb += self.write.eq(fits & condition)
            with m.If(~self.write):
                fail()

        # Kinds with slots: bits of a place in one, and slots.
        slotted = {
            kind: (bits, slots)
            for kind, bits, slots in (
                (Kind.CODEBOOK, config.code_bits, config.codebooks),
                (Kind.TABLES, TABLE_BITS, config.tables),
            )
            if kind in self.depths
        }

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [lane.eq(0), end_seen.eq(0)]
                with m.If(self.start):
                    with m.Switch(self.kind):
                        with m.Case(Kind.PROGRAM):
                            m.d.sync += address.eq(0)
                            m.next = "NEXT WORD"
                        if slotted:
                            with m.Case(*slotted):
                                read(8)
                                m.next = "SLOT"
                        with m.Case(Kind.CHANNELS, Kind.RECORDS):
                            read(16)
                            m.next = "BASE"
                        with m.Default():
                            fail()

            with m.State("NEXT WORD"):
                with m.If(self.empty):
                    m.d.comb += self.done.eq(1)
                    with m.If(~end_seen | (word_of_layer != 0)):
                        fail()
                    m.next = "IDLE"
                with m.Elif(self.ready):
                    read(WORD_BITS)
                    m.next = "WORD"
            with m.State("WORD"):
                with m.If(~self.busy):
                    write()
                    m.d.sync += address.eq(address + 1)
                    with m.If(word_of_layer == 0):
                        m.d.sync += end_seen.eq(self.value[-4:] == Op.END)
                    m.next = "NEXT WORD"

            if slotted:
                with m.State("SLOT"):
                    with m.If(~self.busy):
                        read(8)
                        with m.Switch(self.kind):
                            for kind, (bits, slots) in slotted.items():
                                with m.Case(kind):
                                    m.d.sync += address.eq(self.value[:8] << bits)
                                    with m.If(self.value[:8] >= slots):
                                        fail()
                                    m.next = "COUNT" if kind == Kind.CODEBOOK else "WEIGHT"
                        m.d.sync += left.eq((1 << TABLE_BITS) - 1)
            if Kind.CODEBOOK in slotted:
                with m.State("COUNT"):
                    with m.If(~self.busy):
                        m.d.sync += left.eq(self.value)
                        with m.If(self.value[config.code_bits : 8] != 0):
                            fail()
                        read(8)
                        m.next = "WEIGHT"
            if slotted:
                with m.State("WEIGHT"):
                    with m.If(~self.busy):
                        write()
                        m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
                        with m.If(left == 0):
                            m.d.comb += self.done.eq(1)
                            m.next = "IDLE"
                        with m.Else():
                            read(8)

            with m.State("BASE"):
                with m.If(~self.busy):
                    m.d.sync += address.eq(self.value)
                    with m.If(self.value[len(address) : 16] != 0):
                        fail()
                    read(16)
                    m.next = "ENTRIES"
            with m.State("ENTRIES"):
                with m.If(~self.busy):
                    m.d.sync += [left.eq(self.value), value_bits.eq(MULTIPLIER_BITS)]
                    with m.If(records):
                        m.next = "NEXT ENTRY"
                    with m.Else():
                        read(8)
                        m.next = "BIAS BITS"
            with m.State("BIAS BITS"):
                with m.If(~self.busy):
                    m.d.sync += value_bits.eq(self.value)
                    with m.If((self.value[:8] == 0) | (self.value[:8] > 32)):
                        fail()
                    m.next = "NEXT ENTRY"
            with m.State("NEXT ENTRY"):
                with m.If(left == 0):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
                with m.Elif(self.ready):
                    read(value_bits)
                    m.d.comb += self.signed.eq(~records)
                    m.d.sync += left.eq(left - 1)
                    m.next = "VALUE"
            with m.State("VALUE"):
                with m.If(~self.busy):
                    read(Mux(records, SHIFT_BITS, self.place_bits), to_extra=1)
                    m.next = "EXTRA"
            with m.State("EXTRA"):
                with m.If(~self.busy):
                    exists = (row < config.acc_rows) & (pe < config.pes // config.lanes)
                    write(records | exists if config.pes else 1)
                    m.next = "NEXT ENTRY"
                    with m.If(lane == config.lanes - 1):
                        m.d.sync += [lane.eq(0), address.eq(address + 1)]
                    with m.Else():
                        m.d.sync += lane.eq(lane + 1)
        return m
