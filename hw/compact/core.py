"""Everything of a compact accelerator that runs the network."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bank import Bank
from ..bus import Target, WriteBus
from ..config import COMPACT_PIXELS, Config, bits_for
from ..isa import Op
from ..spram import SinglePort
from .drain import Drain, drain_widths
from .fetch import FieldRegisters
from .mac import OUTPUTS, ROWS, MacArray
from .walker import Walker, walk_widths

__all__ = ["CompactCore"]

WORD_BITS = 32
DESCRIPTOR = 16  # words
CYCLE_BITS = 24


class CompactCore(wiring.Component):
    """Runs a program of ``CONV`` descriptors of whole words: sequencer, engine and memories.

    Sixteen products a cycle: a word of activations by a tile of weights, four rows of four outputs,
    for each pixel of the layer in turn, then the next tile. A tile takes 3 cycles more than there
    are pixels, and one for each word that is written meanwhile; a block's outputs take 8 cycles a
    pixel behind its last tile, while the next block is computed. A descriptor takes about 50.

    Activations are in one memory, weights and program in another, and either has a single port.
    Four sums of each pixel are in block RAM; the drain keeps those of the block before.

    Members
    -------
    bus : In
        Fills every memory, while nothing runs.
    start, busy, cycles
        Run the program once; cycles since ``start``.
    w_addr, w_group, w_en, w_data, r_addr, r_en, r_data
        The activation memory, for the host, while nothing runs; a word is read in a cycle.
    layer, layer_start, computed, layer_done, written : Out
        For the trace: the layer; it begins or the one before has ended, its last products are made,
        and its last outputs are written; and the groups of the word at ``address`` that are.
    """

    def __init__(self, config: Config):
        if not config.compact:
            raise ValueError("compact must be True for the compact core, not False")
        self.config = config
        address = bits_for(config.act_depth - 1)
        trace = {
            "layer": Out(8),
            "layer_start": Out(1),
            "computed": Out(1),
            "layer_done": Out(1),
            "written": Out(config.groups),
            "address": Out(address),
            "word": Out(8 * config.act_word),
        }
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "busy": Out(1),
            "cycles": Out(32),
            "w_addr": In(address),
            "w_group": In(bits_for(config.groups - 1)),
            "w_en": In(1),
            "w_data": In(8 * config.lanes),
            "r_addr": In(address),
            "r_en": In(1),
            "r_data": Out(8 * config.act_word),
            **(trace if config.trace else {}),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.parameters = parameters = SinglePort(
            width=WORD_BITS, depth=config.parameter_words, parts=OUTPUTS
        )
        m.submodules.activations = activations = SinglePort(
            width=8 * config.act_word, depth=config.act_depth, parts=config.groups
        )
        of_trace = {"layer": 8} if config.trace else {}
        extra = {"op": 4, "in_zero": 8, "weight_base": 14, **of_trace}
        m.submodules.walk_fields = fields = FieldRegisters({**extra, **walk_widths(config)})
        m.submodules.drain_fields = kept = FieldRegisters({**drain_widths(config), **of_trace})
        m.submodules.walker = walker = Walker(config)
        m.submodules.macs = macs = MacArray()
        m.submodules.drain = drain = Drain(config)
        layer = fields.fields
        m.d.comb += [walker.layer[name].eq(layer[name]) for name, _ in walker.layer.shape()]
        m.d.comb += [drain.layer[name].eq(kept.fields[name]) for name, _ in drain.layer.shape()]
        connect(m, flipped(self.bus), drain.bus)

        # Parameters: weights, of which a tile is a row after the other, and at the end the program.
        # A descriptor is fetched twice, the second time for the drain, once the drain is free.
        descriptor = Signal(bits_for(config.program_depth - 1))
        number = Signal(range(DESCRIPTOR))
        fetching, for_drain = Signal(), Signal()
        rows = Signal(ROWS)
        tile = Signal(len(parameters.addr) - bits_for(ROWS - 1), reset_less=True)
        fetch = Signal()
        program = Cat(number, descriptor)
        above = (1 << len(parameters.addr) - len(program)) - 1  # the program is at the end
        of_program = self.bus.target == Target.PROGRAM
        place = Cat(self.bus.address, Const(0, len(parameters.addr)))[: len(parameters.addr)]
        end = Cat(Const(0, len(program)), of_program.replicate(len(parameters.addr) - len(program)))
        byte = self.bus.data[:8]
        m.d.comb += [
            fetch.eq(fetching & ~rows.any()),
            parameters.addr.eq(
                Mux(fetch, Cat(program, Const(above, above.bit_length())),
                    Cat(rows[1] | rows[3], rows[2] | rows[3], tile))
            ),
            parameters.en.eq(1),
            parameters.w_data.eq(Mux(of_program, self.bus.data[:WORD_BITS], Cat(*[byte] * 4))),
        ]  # fmt: skip
        with m.If(self.bus.valid):
            m.d.comb += parameters.addr.eq(place | end)
            with m.Switch(self.bus.target):
                with m.Case(Target.TILE):
                    m.d.comb += parameters.w_en.eq(1 << self.bus.unit[:2])
                with m.Case(Target.PROGRAM):
                    m.d.comb += parameters.w_en.eq(-1)
        arrives, arrived = Signal(), Signal.like(number)
        m.d.sync += [arrives.eq(fetch), arrived.eq(number)]
        for registers, mine in ((fields, ~for_drain), (kept, for_drain)):
            m.d.comb += [
                registers.word.eq(parameters.r_data),
                registers.number.eq(arrived),
                registers.valid.eq(arrives & mine),
            ]
        with m.If(fetch):
            m.d.sync += number.eq(number + 1)

        # Weights go straight into the registers of the multiplier blocks.
        load = Signal(ROWS)
        load_first = Signal()
        m.d.sync += [rows.eq(Cat(load_first, rows)), load.eq(rows)]
        m.d.comb += [macs.load.eq(load), macs.w.as_value().eq(parameters.r_data)]
        with m.If(walker.begin):
            m.d.sync += tile.eq(layer.weight_base[2:])
        with m.Elif(rows[-1] & ~layer.same):
            m.d.sync += tile.eq(tile + 1)

        # A pixel a cycle. Stage 1: its word is read, unless an urgent one is written.
        s1_valid, s1_inside = Signal(), Signal()
        s1_address = Signal.like(walker.address, reset_less=True)
        wants, grant, advance = Signal(), Signal(), Signal()
        run = Signal()
        m.d.comb += [
            wants.eq(s1_valid & s1_inside),
            grant.eq(drain.ready & (~wants | drain.urgent)),
            advance.eq(~(wants & drain.urgent)),
            walker.next_pixel.eq(run & advance),
            drain.grant.eq(grant),
            activations.addr.eq(Mux(grant, drain.address, s1_address)),
            activations.en.eq(1),
            activations.w_data.eq(drain.word),
            activations.w_en.eq(drain.parts & grant.replicate(config.groups)),
            self.r_data.eq(activations.r_data),
        ]
        with m.If(~self.busy):
            m.d.comb += [
                activations.addr.eq(Mux(self.w_en, self.w_addr, self.r_addr)),
                activations.en.eq(self.w_en | self.r_en),
                activations.w_data.eq(Cat(*[self.w_data] * config.groups)),
                activations.w_en.eq(self.w_en << self.w_group),
            ]
        with m.If(advance):
            m.d.sync += [
                s1_valid.eq(run),
                s1_inside.eq(walker.inside),
                s1_address.eq(walker.address),
            ]

        # Stage 2: the word goes into the multipliers. Stage 5: their sums are added to those of the
        # tiles before, read in stage 4. Stage 6: these are written, for the drain in the end.
        inside = Signal()
        valid = Signal(5)  # stages 2 to 6
        m.d.sync += [valid.eq(Cat(s1_valid & advance, valid)), inside.eq(s1_inside)]
        for n in range(ROWS):
            byte = activations.r_data[8 * n : 8 * n + 8]
            m.d.comb += macs.a[n].eq(Mux(inside, byte, layer.in_zero))
        first, last = Signal(5), Signal(6)  # of the tile: stages 1 to 5, and 6
        m.d.sync += [
            first.eq(Cat(Mux(advance, walker.first, first[0]), first)),
            last.eq(Cat(Mux(advance, walker.last, last[0]), last)),
        ]
        m.submodules.sums = sums = Bank(width=len(drain.w_data), depth=COMPACT_PIXELS)
        reads, writes = (
            Signal(layer.out_pixels.shape(), name=name, reset_less=True)
            for name in ("reads", "writes")
        )
        for count, moves in ((reads, valid[2]), (writes, valid[4])):
            with m.If(walker.begin | (moves & (count == 1))):
                m.d.sync += count.eq(layer.out_pixels)
            with m.Elif(moves):
                m.d.sync += count.eq(count - 1)
        totals = Signal(data.ArrayLayout(signed(config.acc_width), OUTPUTS), reset_less=True)
        before = Signal(totals.shape())
        m.d.comb += before.eq(sums.r_data & ~first[-1].replicate(len(sums.r_data)))
        m.d.sync += [
            totals[n].eq((macs.o[n][0] + macs.o[n][1]) + before[n]) for n in range(OUTPUTS)
        ]
        m.d.comb += [
            sums.r_addr.eq(reads),
            sums.r_en.eq(valid[2]),
            sums.w_addr.eq(writes),
            sums.w_data.eq(totals),
            sums.w_en.eq(valid[4]),
            drain.w_addr.eq(writes),
            drain.w_data.eq(totals),
            drain.w_en.eq(valid[4] & last[-1]),
        ]

        # The drain is given a block when its last tile begins, and starts with the first sums.
        given, drain_busy = Signal(), Signal()
        last_block = Signal(reset_less=True)
        m.d.comb += [
            drain.start.eq(given & valid[4] & last[-1]),
            drain.last_block.eq(last_block),
            drain_busy.eq(given | drain.busy),
        ]
        with m.If(drain.start):
            m.d.sync += given.eq(0)

        # What the descriptor before writes last must not be read before it is there.
        overlaps, new_layer = Signal(), Signal()
        with m.If(~drain_busy):
            m.d.sync += overlaps.eq(0)
        too_early = overlaps & walker.last_segment & (~layer.group | walker.last_block)

        m.d.comb += self.busy.eq(1)
        cycles = Signal(CYCLE_BITS, reset_less=True)
        m.d.comb += self.cycles.eq(cycles)
        m.d.sync += cycles.eq(cycles + self.busy)
        finished = Signal()
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [descriptor.eq(0), number.eq(0), for_drain.eq(0)]
                with m.If(self.start):
                    m.d.sync += cycles.eq(0)
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += fetching.eq(1)
                with m.If(fetch & number.all()):
                    m.next = "ARRIVE"
            with m.State("ARRIVE"):
                m.next = "FETCHED"
            with m.State("FETCHED"):
                with m.If(for_drain):
                    m.d.comb += drain.begin.eq(1)
                    m.d.sync += [for_drain.eq(0), new_layer.eq(0)]
                    m.next = "GO"
                with m.Elif(~drain_busy | layer.early):
                    m.next = "IDLE"
                    with m.If(layer.op == Op.CONV):
                        m.d.comb += [walker.begin.eq(1), load_first.eq(1)]
                        m.d.sync += [overlaps.eq(drain_busy), new_layer.eq(1)]
                        m.next = "TILE"
            with m.State("TILE"):
                m.next = "GO"
            with m.State("GO"):
                with m.If(walker.last & drain_busy | too_early):
                    pass
                with m.Elif(walker.last & new_layer):
                    m.d.sync += for_drain.eq(1)
                    m.next = "FETCH"
                with m.Else():
                    with m.If(walker.last):
                        m.d.sync += [given.eq(1), last_block.eq(walker.last_block)]
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += run.eq(1)
                with m.If(advance & walker.last_pixel):
                    m.next = "LEAVE"
            with m.State("LEAVE"):
                with m.If(advance):
                    m.d.comb += [walker.step.eq(1), load_first.eq(1)]
                    m.next = "TILE"
                    with m.If(walker.last & walker.last_block):
                        m.d.comb += [load_first.eq(0), finished.eq(1)]
                        m.d.sync += descriptor.eq(descriptor + 1)
                        m.next = "FETCH"

        if config.trace:  # a layer begins where the one before ends
            ending, announced = Signal(), Signal()
            m.d.sync += ending.eq(drain_busy & last_block)
            with m.If(walker.begin):
                m.d.sync += announced.eq(0)
            with m.Elif(self.layer_start):
                m.d.sync += announced.eq(1)
            m.d.comb += [
                self.layer.eq(Mux(self.layer_start, layer.layer, kept.fields.layer)),
                self.layer_start.eq(new_layer & ~drain_busy & ~ending & ~announced),
                self.computed.eq(finished),
                self.layer_done.eq(ending & ~drain_busy),
                self.written.eq(activations.w_en & self.busy.replicate(config.groups)),
                self.address.eq(drain.address),
                self.word.eq(drain.word),
            ]
        return m
