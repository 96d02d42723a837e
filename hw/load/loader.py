"""ROM image loader."""

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ..bus import Target, WriteBus
from ..config import Config, bits_for
from ..image import HEADER_BYTES, MAGIC, VERSION, Kind, LoadError
from .bits import LENGTH_BITS, BitReader
from .fields import FieldReader
from .tables import TableSections
from .weights import WeightSection

__all__ = ["NETWORK", "Loader"]

CRC_BYTES = 4
NETWORK = data.StructLayout(
    {"input_base": 16, "input_bytes": 24, "output_base": 16, "output_bytes": 24}
)
NETWORK_BYTES = NETWORK.size // 8


class Loader(wiring.Component):
    """Fills the memories of the accelerator from the bytes of a ROM image.

    The image is written while it is read, and only at its end is it known that it was intact: so
    nothing may run before ``done``. Equal to :func:`prunus.sim.image.read_image`. (An image with
    damage of several kinds is refused for the first that is met; a section's CRC is its last.)

    Takes at most a byte a cycle; what each section takes is said by :class:`TableSections` and
    :class:`WeightSection`; some 20 cycles for the frame of a section, one for each byte that it
    does not use.

    Members
    -------
    i : In(stream)
        Bytes. After ``done`` or an error they are accepted and ignored.
    restart : In(1)
        Forget everything and expect a new image. No byte is accepted in this cycle.
    bus : Out(WriteBus)
        Writes into the memories.
    done : Out(1)
        The image is complete and intact; until ``restart``.
    error : Out(4)
        :class:`LoadError`; other than NONE until ``restart``. An address, row or count out of
        range is SECTION_LENGTH, as is a payload that is too short; a section for a memory that was
        not built is SECTION_KIND.
    network : Out(NETWORK)
        Where inputs and outputs are.
    image_id : Out(32)
        The CRCs of the image, those of its header and its sections, exclusive-ored.
    cycles : Out(32)
        Cycles from the first byte to ``done``.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(8)),
            "restart": In(1),
            "bus": Out(WriteBus(config)),
            "done": Out(1),
            "error": Out(4),
            "network": Out(NETWORK),
            "image_id": Out(32),
            "cycles": Out(32),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.reader = reader = BitReader(max(8, config.huffman_bits))
        m.submodules.tables = tables = TableSections(config)
        m.submodules.weights = weights = WeightSection(config, reader.width)
        m.submodules.fields = fields = FieldReader(
            window_bits=reader.width, extra_width=tables.extra_width
        )
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()

        stopped = Signal()
        summed = Signal(init=1)  # bytes go into the CRC
        transfer = self.i.valid & self.i.ready
        m.d.comb += [
            stopped.eq(self.done | (self.error != LoadError.NONE)),
            reader.i.payload.eq(self.i.payload),
            reader.i.valid.eq(self.i.valid & ~self.restart),
            self.i.ready.eq((reader.i.ready | stopped) & ~self.restart),
        ]
        # A cycle later than the byte; the sum is looked at much later.
        crc_data = Signal(8, reset_less=True)
        crc_valid = Signal()
        m.d.sync += [crc_data.eq(self.i.payload), crc_valid.eq(transfer & summed)]
        m.d.comb += [crc.data.eq(crc_data), crc.valid.eq(crc_valid)]
        started = Signal()
        with m.If(transfer):
            m.d.sync += started.eq(1)
        with m.If((transfer | started) & ~stopped):
            m.d.sync += self.cycles.eq(self.cycles + 1)

        # Who reads the bits: the weights, else the fields, else the network's registers.
        kind = Signal(4, reset_less=True)
        weight_kinds = [Kind.WEIGHTS] * (config.pes > 0) + [Kind.TILES] * (config.columns > 0)
        is_weights = Cat(kind == each for each in weight_kinds).any()
        in_body, in_network = Signal(), Signal()
        by_weights = in_body & is_weights
        with m.If(by_weights):
            m.d.comb += [reader.consume.eq(weights.consume), reader.amount.eq(weights.amount)]
        with m.Elif(in_network):
            m.d.comb += [reader.consume.eq(reader.ready), reader.amount.eq(8)]
        with m.Else():
            m.d.comb += [reader.consume.eq(fields.consume), reader.amount.eq(fields.amount)]
        read_word = Signal()
        m.d.comb += [
            weights.window.eq(reader.window),
            weights.ready.eq(reader.ready),
            weights.tiles.eq(kind == Kind.TILES),
            fields.window.eq(reader.window),
            fields.ready.eq(reader.ready),
            fields.read.eq(read_word | tables.read),
            fields.bits.eq(Mux(in_body, tables.bits, 32)),
            fields.to_extra.eq(in_body & tables.to_extra),
            fields.signed.eq(in_body & tables.signed),
            tables.kind.eq(kind),
            tables.ready.eq(reader.ready),
            tables.empty.eq(reader.empty),
            tables.busy.eq(fields.busy),
            tables.value.eq(fields.value),
            tables.number.eq(fields.number),
            tables.extra.eq(fields.extra),
        ]

        # Writes, registered on their way out.
        bus = self.bus
        target = Signal(Target, reset_less=True)
        unit = Signal(len(bus.unit), reset_less=True)
        address = Signal(len(bus.address), reset_less=True)
        value = Signal(len(bus.data), reset_less=True)
        m.d.comb += [bus.target.eq(target), bus.unit.eq(unit)]
        m.d.comb += [bus.address.eq(address), bus.data.eq(value)]
        writing = Mux(by_weights, weights.write, tables.write)
        m.d.sync += bus.valid.eq(writing & in_body & ~stopped)
        with m.If(is_weights):
            m.d.sync += target.eq(Mux(weights.tiles, Target.TILE, Target.WEIGHT))
            with m.If(weights.pointer):
                m.d.sync += target.eq(Target.POINTER)
            m.d.sync += [unit.eq(weights.unit), address.eq(weights.address)]
            m.d.sync += value.eq(weights.data)
        with m.Else():
            m.d.sync += [target.eq(tables.target), unit.eq(tables.unit)]
            m.d.sync += [address.eq(tables.address), value.eq(tables.data)]

        # The network's registers, of no more bits than the activation memory asks for.
        network_byte = Signal(range(NETWORK_BYTES))
        byte = Signal(8, reset_less=True)
        place = Signal(range(NETWORK_BYTES), reset_less=True)
        is_byte = Signal()
        m.d.sync += [
            byte.eq(reader.window[-8:]),
            place.eq(network_byte),
            is_byte.eq(in_network & reader.ready),
        ]
        outside = Signal()
        position = 0
        for name, field in NETWORK:
            largest = config.act_depth * (config.act_word if name.endswith("bytes") else 1)
            register = Signal(bits_for(largest), name=name, reset_less=True)
            m.d.comb += self.network[name].eq(register)
            for low in reversed(range(0, field.width, 8)):
                with m.If(is_byte & (place == position)):
                    part = register[low : low + 8]
                    m.d.sync += part.eq(byte)
                    m.d.comb += outside.eq(byte >> len(part) != 0)
                position += 1
        with m.If(in_network & reader.ready):
            m.d.sync += network_byte.eq(network_byte + 1)

        sections = Signal(16, reset_less=True)
        first = Signal(init=1)
        for_us = Signal(reset_less=True)
        failure = Signal(4)
        complete = Signal()
        word = fields.value

        def fail(code):
            m.d.comb += failure.eq(code)

        def begin(length, *, crc_of):
            """Begin a run of bytes that goes into the CRC, or is one."""
            m.d.comb += [reader.open.eq(1), reader.length.eq(length)]
            m.d.sync += summed.eq(crc_of)

        def check_crc(code):
            with m.If(word != crc.crc):
                fail(code)
            m.d.sync += self.image_id.eq(self.image_id ^ word)
            m.d.comb += [crc.start.eq(1), read_word.eq(1)]
            begin(CRC_BYTES, crc_of=True)
            m.next = "SECTION"

        with m.FSM():
            with m.State("START"):
                m.d.comb += [crc.start.eq(1), read_word.eq(1)]
                begin(HEADER_BYTES - CRC_BYTES, crc_of=True)
                m.next = "MAGIC"
            with m.State("MAGIC"):
                with m.If(~fields.busy):
                    with m.If(word != MAGIC):
                        fail(LoadError.MAGIC)
                    m.d.comb += read_word.eq(1)
                    m.next = "VERSION"
            with m.State("VERSION"):
                with m.If(~fields.busy):
                    with m.If(word[16:] != VERSION):
                        fail(LoadError.VERSION)
                    m.d.sync += sections.eq(word[:16])
                    m.d.comb += read_word.eq(1)
                    m.next = "HASH"
            with m.State("HASH"):
                with m.If(~fields.busy):
                    m.d.sync += for_us.eq(word == config.hash)
                    m.d.comb += read_word.eq(1)
                    begin(CRC_BYTES, crc_of=False)
                    m.next = "HEADER CRC"
            with m.State("HEADER CRC"):
                with m.If(~fields.busy):
                    with m.If(sections == 0):
                        fail(LoadError.SECTION_KIND)
                    with m.If(~for_us):
                        fail(LoadError.CONFIG)
                    check_crc(LoadError.HEADER_CRC)

            with m.State("SECTION"):
                with m.If(~fields.busy):
                    m.d.sync += [kind.eq(word[LENGTH_BITS:]), first.eq(0)]
                    with m.Switch(word[LENGTH_BITS:]):
                        with m.Case(Kind.NETWORK):
                            m.next = "NETWORK"
                        with m.Case(*tables.depths, *weight_kinds):
                            m.next = "BEGIN"
                            with m.If(first):
                                fail(LoadError.SECTION_KIND)
                        with m.Default():
                            fail(LoadError.SECTION_KIND)
                    begin(word[:LENGTH_BITS], crc_of=True)
            with m.State("NETWORK"):
                m.d.comb += in_network.eq(1)
                with m.If(reader.ready & (network_byte == NETWORK_BYTES - 1)):
                    m.d.sync += network_byte.eq(0)
                    m.next = "SKIP"
            with m.State("BEGIN"):
                m.d.comb += [in_body.eq(1), weights.start.eq(is_weights)]
                m.d.comb += tables.start.eq(~is_weights)
                m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += in_body.eq(1)
                with m.If(Mux(is_weights, weights.done, tables.done)):
                    m.next = "SKIP"
            with m.State("SKIP"):
                m.d.comb += reader.skip.eq(1)
                with m.If(reader.ended):
                    m.d.comb += read_word.eq(1)
                    begin(CRC_BYTES, crc_of=False)
                    m.next = "SECTION CRC"
            with m.State("SECTION CRC"):
                with m.If(~fields.busy):
                    m.d.sync += sections.eq(sections - 1)
                    m.d.comb += complete.eq(sections == 1)
                    check_crc(LoadError.SECTION_CRC)

        # A cycle later, as some are found late; the end of the image is far.
        section_error = Signal(4)
        m.d.sync += section_error.eq(Mux(is_weights, weights.error, tables.error))
        with m.If(section_error != LoadError.NONE):
            fail(section_error)
        was_outside = Signal()
        m.d.sync += was_outside.eq(outside)
        with m.If(was_outside | reader.overrun):
            fail(LoadError.SECTION_LENGTH)
        with m.If(~stopped):
            m.d.sync += [self.error.eq(failure), self.done.eq(complete & (failure == 0))]
        return ResetInserter(self.restart)(m)
