"""The whole accelerator."""

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .activations import Activations
from .compact.core import CompactCore
from .config import Config, bits_for
from .eie.engine import EieEngine
from .host.port import HostPort
from .isa import Op
from .load.loader import Loader
from .rom import Rom
from .sequencer import Sequencer, engines
from .skid import SkidBuffer
from .systolic.engine import SystolicEngine
from .vector.unit import VectorUnit
from .window.engine import WindowEngine
from .winograd.engine import WinogradEngine
from .winograd.geometry import Geometry
from .winograd.pool import shared_sizes

__all__ = ["Accelerator", "trace_signature"]

ENGINES: dict[str, Callable[..., Any]] = {
    "eie": EieEngine,
    "systolic": SystolicEngine,
    "winograd": WinogradEngine,
    "window": WindowEngine,
}


def _shares(engine: str, config: Config) -> dict[str, Any]:
    """Which products the Winograd unit has the systolic array make, for either of them."""
    if not config.winograd or engine not in ("systolic", "winograd"):
        return {}
    geometry = Geometry.of(config)
    shared = geometry.shared(config)
    if engine == "systolic":
        return {"shared": shared_sizes(geometry, shared)}
    return {"geometry": geometry, "shared": shared}


def trace_signature(config: Config) -> wiring.Signature:
    """What the trace port shows; nothing of it can be stalled.

    Members
    -------
    valid, layer, address, group, data
        A write to the activation memory: descriptor's layer, word, lane group, ``lanes`` int8.
    layer_start, array_done, layer_done, run_done
        Pulses: an engine starts, its accumulators are final, its outputs are written, and the
        program has ended.
    """
    return wiring.Signature({
        "valid": Out(1),
        "layer": Out(8),
        "address": Out(range(config.act_depth)),
        "group": Out(bits_for(config.groups - 1)),
        "data": Out(8 * config.lanes),
        "layer_start": Out(1),
        "array_done": Out(1),
        "layer_done": Out(1),
        "run_done": Out(1),
    })  # fmt: skip


class Accelerator(wiring.Component):
    """Loader, engines, vector unit and memories under one sequencer, behind the host port.

    With ``image`` the ROM image is in block RAM and is loaded after reset; with ``image_stream`` it
    comes from outside, from a flash for one. The host may replace it, and has to provide it where
    there is neither. Equal to :class:`prunus.sim.machine.Machine`.

    Parameters
    ----------
    host : wiring.Component, optional
        Another port in the place of :class:`prunus.hw.host.port.HostPort`, with the same members
        inside (:func:`prunus.hw.host.inside.inside`); ``outside`` names those that are brought out.

    Members
    -------
    host_i, host_o : In, Out(stream.Signature(8))
        Frames of :mod:`prunus.hw.host.protocol`, or what another port has outside.
    image_i, image_stop : In(stream.Signature(8)), Out(1)
        Bytes of an image; no more are wanted from ``image_stop`` on: it is loaded, refused, or
        replaced. Only with ``image_stream``.
    ready, failed : Out(1)
        An image is loaded and intact; the last one was refused.
    trace : Out
        See :func:`trace_signature`; only with ``config.trace``.
    """

    def __init__(
        self, config: Config, image: bytes | None = None, *, image_stream: bool = False, host=None
    ):
        if image is not None and image_stream:
            raise ValueError("image must be None with image_stream, not bytes")
        self.config = config
        self.image = image
        self.image_stream = image_stream
        self._has_image = image_stream or image is not None
        self._port = host
        outside = {"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))}
        if host is not None:
            outside = {name: host.signature.members[name] for name in host.outside}
        members = {
            **{f"host_{name}": member for name, member in outside.items()},
            "ready": Out(1),
            "failed": Out(1),
        }
        if image_stream:
            members["image_i"] = In(stream.Signature(8))
            members["image_stop"] = Out(1)
        if config.trace:
            members["trace"] = Out(trace_signature(config))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        host = self._port or HostPort(config, has_image=self._has_image)
        m.submodules.host = host
        m.submodules.loader = loader = Loader(config)

        for name in host.outside:
            connect(m, flipped(getattr(self, f"host_{name}")), getattr(host, name))
        usable = Signal()
        m.d.comb += [self.ready.eq(usable), self.failed.eq(loader.error != 0)]

        # Image: from block RAM or outside until the host sends one.
        m.d.comb += loader.restart.eq(host.restart)
        # The loader decides late in the cycle whether it takes a byte, and the host port is far.
        m.submodules.image = image = ResetInserter(host.restart)(SkidBuffer(8))
        connect(m, image.o, loader.i)
        if not self._has_image:
            connect(m, host.image, image.i)
        else:
            from_host = Signal()
            with m.If(host.restart):
                m.d.sync += from_host.eq(1)
            if self.image is not None:
                m.submodules.rom = rom = Rom(self.image)
                own = rom.o
                m.d.comb += rom.stop.eq(host.restart | from_host)
            else:
                own = flipped(self.image_i)
                m.d.sync += self.image_stop.eq(from_host | loader.done | (loader.error != 0))
            with m.If(from_host):
                connect(m, host.image, image.i)
            with m.Else():
                connect(m, own, image.i)
        m.d.comb += [
            host.load_done.eq(usable),
            host.load_error.eq(loader.error),
            host.load_cycles.eq(loader.cycles),
            host.image_id.eq(loader.image_id),
            host.network.eq(loader.network),
        ]
        inside = self._compact if config.compact else self._engines
        m.d.comb += usable.eq(loader.done & inside(m, host, loader))
        return m

    def _compact(self, m, host, loader):
        """One core for everything that runs the network; whether it can begin."""
        m.submodules.compact = compact = CompactCore(self.config)
        connect(m, loader.bus, compact.bus)
        m.d.comb += [
            compact.start.eq(host.start),
            host.busy.eq(compact.busy),
            host.cycles.eq(compact.cycles),
            host.r_data.eq(compact.r_data),
        ]
        for name in ("w_addr", "w_group", "w_en", "w_data", "r_addr", "r_en"):
            m.d.comb += getattr(compact, name).eq(getattr(host, name))
        if self.config.trace:
            # A word is two events, one after the other; another does not come that soon.
            late, again, busy = Signal(8 * self.config.lanes), Signal(), Signal()
            address = Signal.like(compact.address)
            m.d.sync += [
                late.eq(compact.word[8 * self.config.lanes :]),
                again.eq(compact.written[-1]),
                address.eq(compact.address),
                busy.eq(compact.busy),
            ]
            m.d.comb += [
                self.trace.valid.eq(compact.written.any() | again),
                self.trace.layer.eq(compact.layer),
                self.trace.address.eq(Mux(again, address, compact.address)),
                self.trace.group.eq(again),
                self.trace.data.eq(Mux(again, late, compact.word)),
                self.trace.layer_start.eq(compact.layer_start),
                self.trace.array_done.eq(compact.computed),
                self.trace.layer_done.eq(compact.layer_done),
                self.trace.run_done.eq(busy & ~compact.busy),
            ]
        return Const(1)

    def _engines(self, m, host, loader):
        """Engines, vector unit and memory under the sequencer; whether they can begin."""
        config = self.config
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.activations = activations = Activations(config)
        m.submodules.vector = vector = VectorUnit(config)
        built = {name: ENGINES[name](config, **_shares(name, config)) for name in engines(config)}
        for name, engine in built.items():
            m.submodules[name] = engine

        cleared = Signal()  # after the reset an engine may have something to do
        with m.If(sequencer.engine_done):
            m.d.sync += cleared.eq(1)

        # Every memory listens to one bus, and the layer goes everywhere: each takes what it knows.
        connect(m, loader.bus, sequencer.bus)
        for unit in (vector, *built.values()):
            connect(m, loader.bus, unit.bus)
            for name, _ in unit.layer.shape():
                m.d.comb += unit.layer[name].eq(sequencer.layer[name])
        m.d.comb += [
            sequencer.start.eq(host.start),
            host.busy.eq(sequencer.busy),
            host.cycles.eq(sequencer.cycles),
            sequencer.engine_done.eq(Cat(engine.done for engine in built.values()).all()),
            sequencer.vector_idle.eq(vector.idle),
        ]
        for name, engine in built.items():
            m.d.comb += engine.start.eq(getattr(sequencer, f"start_{name}"))
        if hasattr(built.get("winograd"), "added"):
            systolic, winograd = built["systolic"], built["winograd"]
            m.d.comb += [
                systolic.x.eq(winograd.x),
                systolic.y.eq(winograd.y),
                systolic.clear.eq(winograd.clear),
                winograd.added.eq(systolic.added),
            ]
            # Far ahead of the first product, and of the weights that the array is given next.
            m.d.sync += systolic.turn.eq(sequencer.layer.op == Op.WINOGRAD)
        if "window" in built:
            window = built["window"]
            m.d.comb += [
                window.table_start.eq(sequencer.start_table),
                window.table_layer.eq(sequencer.table_layer),
                sequencer.table_busy.eq(window.table_busy),
            ]

        # One engine runs at a time. Its are the sums, and the reads of the activation memory, which
        # is the host's while nothing runs. There are none of either in the cycle of its start, nor
        # for some more where the host is concerned: whose turn it is comes from registers.
        # Sums come later than reads: theirs are registers of their own, as they are elsewhere.
        turns, sums_turns = {}, {}
        for name, ops in engines(config).items():
            turns[name] = Signal(name=f"turn_{name}")
            mine = Cat(sequencer.layer.op == op.value for op in ops).any()
            sums_turns[name] = Signal(name=f"sums_turn_{name}")
            m.d.sync += turns[name].eq(sequencer.busy & mine)
            m.d.sync += sums_turns[name].eq(turns[name])
        hosts = Signal(init=1)
        m.d.sync += hosts.eq(~sequencer.busy)

        def either(*choices):
            """Of (turn, value) the value whose turn it is; at most one."""
            chosen = [value & turn.replicate(len(value)) for turn, value in choices]
            return reduce(or_, chosen)

        readers = [(hosts, host), *((turns[name], engine) for name, engine in built.items())]
        m.d.comb += [
            vector.sums.valid.eq(Cat(e.sums.valid for e in built.values()).any()),
            vector.sums.p.eq(
                either(*((sums_turns[name], e.sums.p.as_value()) for name, e in built.items()))
            ),
            activations.r_addr.eq(either(*((turn, unit.r_addr) for turn, unit in readers))),
            activations.r_en.eq(either(*((turn, unit.r_en) for turn, unit in readers))),
        ]
        if "systolic" in built:
            systolic = built["systolic"]
            m.d.comb += [
                activations.r_ahead.eq(either((turns["systolic"], systolic.r_ahead))),
                activations.r_next.eq(systolic.r_next),
            ]
        for unit in (host, *built.values()):
            m.d.comb += unit.r_data.eq(activations.r_data)
        for name in ("w_addr", "w_group", "w_data", "w_en"):
            writers = ((hosts, host), (~hosts, vector))
            value = either(*((turn, getattr(unit, name)) for turn, unit in writers))
            m.d.comb += getattr(activations, name).eq(value)

        if config.trace:
            # A write's layer is that of the cycle in front of it: the events are as late.
            busy = Signal()
            starts = [engine.start for engine in built.values()]
            m.d.sync += [
                busy.eq(sequencer.busy),
                self.trace.layer.eq(sequencer.layer.layer),
                self.trace.layer_start.eq(Cat(starts).any()),
                self.trace.array_done.eq(Cat(e.computed for e in built.values()).any()),
                self.trace.layer_done.eq(sequencer.layer_done),
                self.trace.run_done.eq(busy & ~sequencer.busy),
            ]
            m.d.comb += [
                self.trace.valid.eq(vector.w_en),
                self.trace.address.eq(vector.w_addr),
                self.trace.group.eq(vector.w_group),
                self.trace.data.eq(vector.w_data),
            ]
        return cleared
