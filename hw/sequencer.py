"""The sequencer: runs the program, layer by layer."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bank import Bank
from .bus import Target, WriteBus
from .config import Config, bits_for
from .descriptor import TABLE_FIELDS, descriptor_layout
from .isa import DESCRIPTOR_BYTES, WORD_BITS, Op

__all__ = ["Sequencer", "engines"]


def engines(config: Config) -> dict[str, tuple[Op, ...]]:
    """The engines that ``config`` asks for, and the descriptors that start each."""
    chosen: dict[str, tuple[Op, ...]] = {}
    if config.pes:
        chosen["eie"] = (Op.EIE,)
    if config.columns:
        chosen["systolic"] = (Op.CONV, Op.DEPTHWISE) if config.line_depth else (Op.CONV,)
    if config.winograd:
        chosen["winograd"] = (Op.WINOGRAD,)
    if config.window:
        chosen["window"] = (Op.WINDOW,)
    return chosen


class Sequencer(wiring.Component):
    """Fetch a descriptor, start its engine, wait for it, until the program's ``END``.

    ``TABLE`` starts the filling of a table as soon as it is fetched, beside the layer that runs,
    and is not waited for; but it waits for the table before it, and for a ``WINDOW`` layer. A
    descriptor whose engine was not built ends the program as ``END`` does.

    A descriptor takes ``Config.descriptor_words`` + 3 cycles until its engine starts; one of 16
    words is fetched while the one before it runs, and then takes 1. ``cycles`` counts from
    ``start`` to the last write.

    Members
    -------
    bus : In(WriteBus)
        Fills the program memory.
    start, busy, cycles
        Run the program once.
    layer : Out
        Every field of the descriptor that runs; without the engines that use them, those of its
        second half are zero.
    start_eie, start_systolic, start_winograd, start_window : Out(1)
        Pulse to an engine, of those that ``config`` asks for (see :func:`engines`).
    start_table, table_layer : Out
        Pulse, with the descriptor that says how; only with a window engine, as ``table_busy``.
    table_busy : In(1)
        A table is being filled.
    engine_done : In(1)
        No engine runs: low from the cycle after a start until the last beat has been presented.
    vector_idle : In(1)
        The vector unit needs the layer no more; a beat makes it low in the same cycle.
    layer_done : Out(1)
        Pulse: the last cycle of a layer.
    """

    def __init__(self, config: Config):
        self.config = config
        self.starts = {f"start_{name}": ops for name, ops in engines(config).items()}
        tables = {
            "start_table": Out(1),
            "table_layer": Out(descriptor_layout(TABLE_FIELDS)),
            "table_busy": In(1),
        }
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "busy": Out(1),
            "cycles": Out(32),
            "layer": Out(descriptor_layout()),
            **{name: Out(1) for name in self.starts},
            **(tables if config.window else {}),
            "engine_done": In(1),
            "vector_idle": In(1),
            "layer_done": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        size = self.config.descriptor_words
        m.submodules.program = program = Bank(
            width=WORD_BITS, depth=max(2, size * self.config.program_depth), exclusive=True
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
        # which this configuration does not use take none. Long descriptors are fetched ahead.
        ahead = size > 8
        words = [Signal(WORD_BITS, name=f"word_{n}", reset_less=True) for n in range(size)]
        fetched = words
        if ahead:
            fetched = [Signal(WORD_BITS, name=f"next_{n}", reset_less=True) for n in range(size)]

        def fields(words, name):
            whole = Signal(8 * DESCRIPTOR_BYTES, name=f"{name}_bytes")
            layer = Signal(self.layer.shape(), name=name)
            m.d.comb += [
                whole[len(whole) - WORD_BITS * size :].eq(Cat(*reversed(words))),
                layer.eq(whole[len(whole) - len(layer.as_value()) :]),
            ]
            return layer

        m.d.comb += self.layer.eq(fields(words, "running"))

        address = Signal(program.r_addr.shape())
        count = Signal(bits_for(size))
        arriving = Signal(size)
        fetch = Signal()
        complete = Signal()
        m.d.comb += [
            program.r_addr.eq(address),
            program.r_en.eq(fetch & (count != size)),
        ]
        m.d.sync += complete.eq(complete | arriving[-1])
        m.d.sync += arriving.eq(Mux(program.r_en, 1 << count, 0))
        with m.If(program.r_en):
            m.d.sync += [count.eq(count + 1), address.eq(address + 1)]
        for word, arrives in zip(fetched, arriving, strict=True):
            with m.If(arrives):
                m.d.sync += word.eq(program.r_data)

        for_table = Signal()
        if self.config.window:
            following = fields(fetched, "following")
            m.d.sync += for_table.eq(following.op == Op.TABLE)  # its word is the first to arrive

        def go_on():
            """To the next descriptor, as soon as it is there."""
            m.next = "FETCH"
            with m.If(complete & ~for_table):
                m.d.sync += [count.eq(0), complete.eq(0)]
                if ahead:
                    m.d.sync += [a.eq(b) for a, b in zip(words, fetched, strict=True)]
                m.next = "DECODE"

        waiting = Signal()
        m.d.comb += self.busy.eq(1)
        with m.FSM() as fsm:
            m.d.comb += waiting.eq(fsm.ongoing("FETCH"))
            m.d.comb += fetch.eq(self.busy if ahead else waiting)
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [address.eq(0), count.eq(0), complete.eq(0)]
                with m.If(self.start):
                    m.d.sync += self.cycles.eq(0)
                    m.next = "FETCH"
            with m.State("FETCH"):
                go_on()
            with m.State("DECODE"):
                m.next = "IDLE"
                with m.Switch(self.layer.op):
                    for name, ops in self.starts.items():
                        with m.Case(*(op.value for op in ops)):
                            m.d.comb += getattr(self, name).eq(1)
                            m.next = "ENGINE"
            with m.State("ENGINE"):
                with m.If(self.engine_done & self.vector_idle):
                    m.d.comb += self.layer_done.eq(1)
                    go_on()
        if self.config.window:
            may_change = waiting | (self.layer.op != Op.WINDOW)
            starts = self.busy & complete & for_table & may_change & ~self.table_busy
            m.d.comb += self.start_table.eq(starts)
            m.d.comb += [self.table_layer[name].eq(following[name]) for name in TABLE_FIELDS]
            with m.If(self.start_table):
                m.d.sync += [count.eq(0), complete.eq(0)]
        with m.If(self.busy):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        return m
