"""The EIE array."""

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..bus import WriteBus
from ..config import NEAR, Config
from ..location import location_layout
from ..skid import SkidBuffer
from .layer import layer_layout
from .pe import Pe
from .scanner import Scanner

__all__ = ["EieArray"]

GROUP = 16  # PEs behind one register of the broadcast and of the signals that come back
JOIN = 4  # sums joined by one register of the drain


def delayed(m, name, valid, payload):
    """``valid`` and ``payload`` a cycle later; the payload without a reset."""
    valid_q = Signal(name=f"{name}_valid")
    payload_q = Signal(payload.shape(), name=name, reset_less=True)
    m.d.sync += [valid_q.eq(valid), payload_q.eq(payload)]
    return valid_q, payload_q


def any_of(m, name, values):
    """The OR of ``values``, a cycle later."""
    joined = Signal.like(values[0], name=name, reset_less=True)
    m.d.sync += joined.eq(reduce(or_, values))
    return joined


def all_of(m, name, bits, levels):
    """The AND of ``bits`` through ``levels`` registers, which start at zero.

    Those between the first and the last only carry what a group has found part of the way.
    """
    for level in range(levels):
        size = GROUP if level in (0, levels - 1) else 1
        groups = [bits[i : i + size] for i in range(0, len(bits), size)]
        bits = [Signal(name=f"{name}_{level}_{i}") for i in range(len(groups))]
        m.d.sync += [bit.eq(Cat(group).all()) for bit, group in zip(bits, groups, strict=True)]
    return Cat(bits).all()


class EieArray(wiring.Component):
    """Multiplies a matrix, whose rows are spread over ``pes`` PEs, with a vector of activations.

    A pass adds ``(a[j] - in_zero) * w[o][j]`` to the accumulator of every output o, for every
    column j whose activation is not the zero point; :func:`prunus.sim.eie_fill.fill` says what the
    memories must hold. An activation is sent when every PE has room for it, and every PE works
    through its own queue, an entry a cycle. From ``start`` to ``done`` a pass takes the entries of
    the busiest PE, its waits for activations, and :attr:`overhead` cycles.

    Then a beat of ``locate`` brings out the accumulators it names, sign-extended,
    :attr:`drain_latency` cycles later, and clears them for the next pass; a beat a cycle. The array
    does not count beats and clears nothing else: an accumulator that no output has must stay zero,
    so where a PE has fewer outputs than ``rows`` in a dense layer, its other weights are zeros.

    After a reset the array clears all accumulators: it is ``done`` ``acc_rows`` + 1 cycles later.

    Members
    -------
    bus : In(WriteBus)
        Fills the memories while no pass runs; what it carries is in place :attr:`levels_out` + 2
        cycles later.
    start : In(1)
        Begin a pass; only while ``done``, when the last beat has been taken.
    layer : In(layer_layout)
        Stable from ``start`` until ``done``.
    r_addr, r_en, r_data
        Activation memory: data arrives ``config.read_latency`` cycles after ``r_en`` and stays
        until the next does.
    done : Out(1)
        Low from the cycle after ``start`` until every accumulator is final, and after a reset.
    locate : In(stream of location_layout)
        Lane l's accumulator is in PE ``l + lanes * pe``, row ``row``. Taken only while ``done``.
    sums : Out(stream of ``lanes`` int32)
        ``ready`` is not looked at: the receiver must take a beat in every cycle.
    """

    def __init__(self, config: Config):
        self.config = config
        # Registers on the way to the farthest PEs, and on the way back.
        self.groups = -(-config.pes // GROUP)
        self.levels_out = self.groups
        self.levels_back = 0 if config.pes <= NEAR else 1 if self.groups == 1 else 3
        self.join_levels = 0
        while JOIN**self.join_levels < min(config.pes, GROUP) // config.lanes:
            self.join_levels += 1
        chained = self.groups if self.groups > 1 else 0
        self.drain_latency = 1 + Pe.DRAIN_LATENCY + self.join_levels + chained
        self.overhead = 16 + Scanner.cycles_to_read(config) + (self.groups > 1)
        self.overhead += self.levels_out + self.levels_back
        layer = layer_layout(config)
        places = location_layout(config)
        super().__init__({
            "bus": In(WriteBus(config)),
            "start": In(1),
            "layer": In(layer),
            "r_addr": Out(layer["in_base"].shape),
            "r_en": Out(1),
            "r_data": In(8 * config.act_word),
            "done": Out(1),
            "locate": In(stream.Signature(places)),
            "sums": Out(stream.Signature(data.ArrayLayout(signed(32), config.lanes))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config

        m.submodules.scanner = scanner = Scanner(config)
        m.d.comb += [
            scanner.start.eq(self.start),
            scanner.layer.eq(self.layer),
            scanner.r_data.eq(self.r_data),
            self.r_addr.eq(scanner.r_addr),
            self.r_en.eq(scanner.r_en),
        ]

        # To the PEs. A group of them hears what the group before it heard a cycle earlier: no wire
        # has to cross the chip, and no synthesis will join registers that differ in time.
        may_send = Signal()
        send = Signal()
        to_send = scanner.o
        if self.groups > 1:  # `may_send` comes late in the cycle, and the scanner needs its part
            m.submodules.skid = skid = SkidBuffer(scanner.o.payload.shape())
            connect(m, scanner.o, skid.i)
            to_send = skid.o
        m.d.comb += [send.eq(to_send.valid & may_send), to_send.ready.eq(may_send)]
        write = Signal(data.StructLayout({
            name: member.shape
            for name, member in self.bus.signature.members.items()
            if name != "valid"
        }))  # fmt: skip
        m.d.comb += [write[name].eq(getattr(self.bus, name)) for name in write.shape().members]
        sent = delayed(m, "sent", send, to_send.payload)
        written = delayed(m, "written", self.bus.valid, write)

        # What the accumulators hold at power-up is unknown, and a reset leaves what was in them:
        # the array drains every row of all PEs, and nobody looks.
        clearing = Signal(init=1)
        clear_row = Signal(config.row_bits)
        wanted = Signal(data.StructLayout({
            "places": self.locate.payload.shape(), "all": 1
        }))  # fmt: skip
        m.d.comb += [wanted.places.eq(self.locate.payload), wanted.all.eq(clearing)]
        with m.If(clearing):
            m.d.comb += [place.row.eq(clear_row) for place in wanted.places]
            m.d.sync += [
                clear_row.eq(clear_row + 1),
                clearing.eq(clear_row != config.acc_rows - 1),
            ]
        asked = (self.locate.valid & self.locate.ready) | clearing
        located = delayed(m, "located", asked, wanted)

        # The layer holds still, but its bits have as far to go.
        names = ("dense", "rows", "codebook")
        still = Signal(
            data.StructLayout({name: self.layer.shape()[name].shape for name in names}),
            reset_less=True,
        )
        m.d.sync += [still[name].eq(self.layer[name]) for name in names]

        pes = []
        for index in range(config.pes):
            if index == 0:
                group_sent, group_written = sent, written
                group_located, group_still = located, still
            elif index % GROUP == 0:
                group_sent = delayed(m, f"sent_{index}", *group_sent)
                group_written = delayed(m, f"written_{index}", *group_written)
                group_located = delayed(m, f"located_{index}", *group_located)
                nearer, group_still = group_still, Signal.like(still, name=f"still_{index}")
                m.d.sync += group_still.eq(nearer)
            pe = Pe(config, index, slack=self.levels_out + self.levels_back)
            m.submodules[f"pe_{index}"] = pe
            pes.append(pe)
            m.d.comb += [
                getattr(pe.bus, name).eq(group_written[1][name]) for name in write.shape().members
            ]
            place = group_located[1].places[index % config.lanes]
            mine = group_located[1].all | (place.pe == index // config.lanes)
            m.d.comb += [
                pe.bus.valid.eq(group_written[0]),
                pe.i.valid.eq(group_sent[0]),
                pe.i.p.eq(group_sent[1]),
                pe.dense.eq(group_still.dense),
                pe.rows.eq(group_still.rows),
                pe.codebook.eq(group_still.codebook),
                pe.drain.valid.eq(group_located[0] & mine),
                pe.drain.row.eq(place.row),
            ]

        # Back from them. What was sent last may not show in `room` yet: as much must be free.
        # Whether the `unseen` ones fit comes from registers; `send` is late in the cycle.
        steps = pes[0].steps
        under_way = Signal(steps[-1] - 1)  # in each of the last cycles
        unseen = Signal(range(steps[-1]))
        fits = Signal(len(steps), init=-1)  # unseen < step, for each
        seen = under_way[-1]

        def follow(register, more, same, fewer):
            m.d.sync += register.eq(Mux(send, Mux(seen, same, more), Mux(seen, fewer, same)))

        m.d.sync += under_way.eq(Cat(send, under_way))
        follow(unseen, unseen + 1, unseen, unseen - 1)
        follow(fits, *(Cat(unseen + n < step for step in steps) for n in (1, 0, -1)))
        room = [
            all_of(m, f"room_{step}", [pe.room[i] for pe in pes], self.levels_back) & fits[i]
            for i, step in enumerate(steps)
        ]
        m.d.comb += may_send.eq(Cat(room).any())

        # What was sent shows in `all_idle` 2 cycles after it reaches the PEs.
        all_idle = Signal()
        m.d.comb += all_idle.eq(all_of(m, "idle", [pe.idle for pe in pes], self.levels_back))
        still_out = under_way[: 1 + self.levels_out + self.levels_back].any()
        running = Signal(init=1)
        m.d.comb += [self.done.eq(~running), self.locate.ready.eq(~running)]
        with m.If(self.start):
            m.d.sync += running.eq(1)
        with m.Elif(scanner.done & ~to_send.valid & ~still_out & all_idle & ~clearing):
            m.d.sync += running.eq(0)

        # Drain: a PE that was not asked gives zero. The sums of a group are joined to those of the
        # groups before it, which come a cycle earlier and so have waited a cycle.
        for lane in range(config.lanes):
            chain = None
            for first in range(0, config.pes, GROUP):
                group = pes[first : first + GROUP]
                sums = [pe.sum for pe in group if pe.index % config.lanes == lane]
                for level in range(self.join_levels):
                    sums = [
                        any_of(m, f"sum_{lane}_{first}_{level}_{i}", sums[i : i + JOIN])
                        for i in range(0, len(sums), JOIN)
                    ]
                if self.groups > 1:
                    joined = [*sums, *([] if chain is None else [chain])]
                    if joined:
                        chain = any_of(m, f"chain_{lane}_{first}", joined)
                else:
                    chain = sums[0]
            m.d.comb += self.sums.payload[lane].eq(chain)
        valid = Signal(self.drain_latency)
        m.d.sync += valid.eq(Cat(self.locate.valid & self.locate.ready, valid))
        m.d.comb += self.sums.valid.eq(valid[-1])
        return m
