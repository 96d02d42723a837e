"""The EIE array as an engine: from a descriptor to beats for the vector unit."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus import WriteBus
from ..config import Config
from ..descriptor import descriptor_layout
from ..vector.beat import beat_layout
from .array import EieArray
from .drain import EieDrain

__all__ = ["EieEngine"]


class EieEngine(wiring.Component):
    """Run the ``EIE`` passes of :mod:`prunus.hw.isa`: the array, then its drain.

    A pass takes what :class:`.array.EieArray` says, then a cycle for each beat of ``lanes``
    outputs, and the array's ``drain_latency`` and 3 cycles more.

    Members
    -------
    bus : In(WriteBus)
        Fills the memories of the PEs, and of the places of the accumulators.
    start : In(1)
        Begin a pass; only while ``done``.
    layer : In
        Stable from ``start`` until ``done``.
    r_addr, r_en, r_data
        Activation memory: data arrives ``config.read_latency`` cycles after ``r_en`` and stays
        until the next does.
    sums : Out
        ``valid``, and the beat ``p``; never stalled.
    done : Out(1)
        Low from the cycle after ``start`` until the last beat has been presented, and after a reset
        until the array is done.
    computed : Out(1)
        Pulse: every accumulator of a pass is final.
    """

    FIELDS = (
        "dense",
        "in_base",
        "in_zero",
        "columns",
        "rows",
        "weight_base",
        "pointer_base",
        "codebook",
        *EieDrain.FIELDS,
    )

    def __init__(self, config: Config):
        if not config.pes:
            raise ValueError("pes must be positive in config, not 0")
        self.config = config
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "layer": In(descriptor_layout(self.FIELDS)),
            "r_addr": Out(range(config.act_depth)),
            "r_en": Out(1),
            "r_data": In(8 * config.act_word),
            "sums": Out(wiring.Signature({"valid": Out(1), "p": Out(beat_layout(config))})),
            "done": Out(1),
            "computed": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = EieArray(self.config)
        m.submodules.drain = drain = EieDrain(self.config)
        for unit in (array, drain):
            connect(m, flipped(self.bus), unit.bus)
            for name, _ in unit.layer.shape():
                m.d.comb += unit.layer[name].eq(self.layer[name])
        connect(m, drain.sums, flipped(self.sums))
        computing = Signal()
        m.d.comb += [
            array.start.eq(self.start),
            array.r_data.eq(self.r_data),
            self.r_addr.eq(array.r_addr),
            self.r_en.eq(array.r_en),
            array.locate.valid.eq(drain.locate.valid),
            array.locate.payload.eq(drain.locate.p),
            drain.found.valid.eq(array.sums.valid),
            drain.found.p.eq(array.sums.payload),
            self.computed.eq(computing & array.done),
            drain.start.eq(self.computed),
            self.done.eq(~computing & drain.done & array.done),
        ]
        with m.If(self.start):
            m.d.sync += computing.eq(1)
        with m.Elif(array.done):
            m.d.sync += computing.eq(0)
        return m
