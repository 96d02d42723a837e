"""The Winograd engine as a core of its own."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..bus import Target
from ..config import Config
from ..descriptor import descriptor_layout
from ..vector.beat import beat_layout
from .engine import WINOGRAD_FIELDS, WinogradEngine
from .geometry import Geometry

__all__ = ["WinogradCore"]


class WinogradCore(wiring.Component):
    """3x3 convolutions of int8 maps in memory, with int32 sums as a stream.

    Equal to :func:`prunus.sim.winograd.winograd_conv_2d`; for the cycles see
    :class:`.engine.WinogradEngine`. Its ports are streams around that engine's: fill the memories,
    present a job, take the beats. Where they are not taken, the core waits.

    Parameters
    ----------
    outputs, filters, passes, channels, weight_depth : int
        See :class:`.geometry.Geometry`.
    word : int
        Input channels in a word of the map memory; a power of two.
    lanes : int
        Output channels in a beat; a power of two, ``filters`` times another.
    map_depth : int
        Words of the map memory.

    Members
    -------
    x : In(stream)
        ``data`` goes to word ``address`` of the map memory: ``word`` channels of a pixel.
    w : In(stream)
        ``data`` goes to byte ``unit`` of word ``address`` of the weight memory.
    job : In(stream)
        A layer, as the engine's ``layer`` has it. It is taken when the one before has ended; what
        it reads must be in the memories two cycles before, and stay there until it has ended.
    idle : Out(1)
        No layer runs.
    o : Out(stream)
        Beats: ``sums``, and their ``channel``, ``address`` and ``group``.
    """

    def __init__(
        self,
        *,
        outputs: int = 4,
        filters: int = 4,
        passes: int = 1,
        channels: int = 64,
        weight_depth: int = 2048,
        word: int = 16,
        lanes: int = 8,
        map_depth: int = 2048,
    ):
        self.geometry = Geometry(
            outputs=outputs,
            filters=filters,
            passes=passes,
            channels=channels,
            weight_depth=weight_depth,
        )
        self.config = Config(
            pes=lanes, lanes=lanes, act_word=word, act_depth=map_depth, weight_depth=weight_depth
        )
        self.geometry.check(self.config)
        super().__init__({
            "x": In(stream.Signature(data.StructLayout({
                "address": range(map_depth),
                "data": 8 * word,
            }))),
            "w": In(stream.Signature(data.StructLayout({
                "unit": 8,
                "address": range(weight_depth),
                "data": 8,
            }))),
            "job": In(stream.Signature(descriptor_layout(WINOGRAD_FIELDS))),
            "idle": Out(1),
            "o": Out(stream.Signature(beat_layout(self.config))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        geometry = self.geometry
        m.submodules.engine = engine = WinogradEngine(self.config, self.geometry, refilled=True)
        m.submodules.map = memory = Bank(
            width=8 * self.config.act_word, depth=self.config.act_depth
        )
        m.d.comb += [
            self.x.ready.eq(1),
            self.w.ready.eq(1),
            memory.w_addr.eq(self.x.p.address),
            memory.w_data.eq(self.x.p.data),
            memory.w_en.eq(self.x.valid),
            memory.r_addr.eq(engine.r_addr),
            memory.r_en.eq(engine.r_en),
            engine.r_data.eq(memory.r_data),
            engine.bus.valid.eq(self.w.valid),
            engine.bus.target.eq(Target.TILE),
            engine.bus.unit.eq(self.w.p.unit),
            engine.bus.address.eq(self.w.p.address),
            engine.bus.data.eq(self.w.p.data),
        ]

        # The job, which stays for the engine to see.
        layer = Signal.like(self.job.p, reset_less=True)
        start = Signal()
        m.d.comb += [
            self.job.ready.eq(engine.done & ~start),
            self.idle.eq(self.job.ready),
            engine.layer.eq(layer),
            engine.start.eq(start),
        ]
        m.d.sync += start.eq(self.job.valid & self.job.ready)
        with m.If(self.job.ready):
            m.d.sync += layer.eq(self.job.p)

        # Beats. A group begins if there is a place for its beats, and those of all that are on
        # their way: one that is summed up, those that the pipeline holds, one that is presented.
        pixels = geometry.outputs**2
        pipeline = geometry.latency + 8
        on_their_way = pixels * (3 + -(-pipeline // pixels))
        depth = 2 * on_their_way
        shape = self.o.p.shape()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=shape.size, depth=depth)
        m.d.comb += [
            fifo.w_data.eq(engine.sums.p),
            fifo.w_en.eq(engine.sums.valid),
            self.o.p.eq(fifo.r_data),
            self.o.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.o.ready),
        ]
        m.d.sync += engine.room.eq(fifo.level <= depth - on_their_way)
        return m
