"""The sequencer: runs the program, layer by layer."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bank import Bank
from .bus import Target, WriteBus
from .config import Config
from .descriptor import descriptor_layout
from .isa import DESCRIPTOR_BYTES, WORD_BITS, Op

__all__ = ["Sequencer"]

_WORDS = 8 * DESCRIPTOR_BYTES // WORD_BITS


class Sequencer(wiring.Component):
    """Fetch a descriptor, run its engine, then the vector unit, until the program's ``END``.

    A descriptor takes 10 cycles to fetch. ``cycles`` counts from ``start`` to the last write.

    Members
    -------
    bus : In(WriteBus)
        Fills the program memory.
    start, busy, cycles
        Run the program once.
    layer : Out
        Every field of the descriptor that runs.
    engine_start, engine_done : Out(1), In(1)
        Pulse to the engine; its level "idle" must be low from the next cycle until it has finished.
    vector_start, vector_done : Out(1), In(1)
        The same for the vector unit.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "busy": Out(1),
            "cycles": Out(32),
            "layer": Out(descriptor_layout()),
            "engine_start": Out(1),
            "engine_done": In(1),
            "vector_start": Out(1),
            "vector_done": In(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.program = program = Bank(
            width=WORD_BITS, depth=max(2, _WORDS * self.config.program_depth)
        )
        w_valid = Signal()
        w_addr = Signal(program.w_addr.shape(), reset_less=True)
        w_data = Signal(WORD_BITS, reset_less=True)
        m.d.sync += [
            w_valid.eq(self.bus.valid & (self.bus.target == Target.PROGRAM)),
            w_addr.eq(self.bus.address),
            w_data.eq(self.bus.data),
        ]
        m.d.comb += [
            program.w_addr.eq(w_addr),
            program.w_data.eq(w_data),
            program.w_en.eq(w_valid),
        ]

        # The first word has the most significant bits. Each has registers of its own, so that bits
        # which this configuration does not use take none.
        unused = 8 * DESCRIPTOR_BYTES - len(self.layer.as_value())
        words = [Signal(WORD_BITS, name=f"word_{n}", reset_less=True) for n in range(_WORDS)]
        m.d.comb += self.layer.eq(Cat(*reversed(words))[unused:])

        address = Signal(program.r_addr.shape())
        count = Signal(range(_WORDS + 1))
        arriving = Signal(_WORDS)
        m.d.comb += program.r_addr.eq(address)
        m.d.sync += arriving.eq(Mux(program.r_en, 1 << count, 0))
        for word, arrives in zip(words, arriving, strict=True):
            with m.If(arrives):
                m.d.sync += word.eq(program.r_data)

        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [address.eq(0), count.eq(0)]
                with m.If(self.start):
                    m.d.sync += self.cycles.eq(0)
                    m.next = "FETCH"
            with m.State("FETCH"):
                with m.If(count != _WORDS):
                    m.d.comb += program.r_en.eq(1)
                    m.d.sync += [count.eq(count + 1), address.eq(address + 1)]
                with m.Elif(~arriving.any()):
                    m.d.sync += count.eq(0)
                    m.next = "DECODE"
            with m.State("DECODE"):
                with m.If(self.layer.op == Op.EIE.value):
                    m.d.comb += self.engine_start.eq(1)
                    m.next = "ENGINE"
                with m.Else():
                    m.next = "IDLE"
            with m.State("ENGINE"):
                with m.If(self.engine_done):
                    m.d.comb += self.vector_start.eq(1)
                    m.next = "VECTOR"
            with m.State("VECTOR"):
                with m.If(self.vector_done):
                    m.next = "FETCH"
        with m.If(self.busy):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        return m
