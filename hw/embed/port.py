"""The port for embedding: packets and registers in the place of frames."""

from amaranth import Cat, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..config import Config
from ..host.inside import START_CYCLES, inside
from ..host.protocol import State
from ..image import VERSION, LoadError
from .receiver import Receiver
from .register_file import RegisterAccess, RegisterFile
from .registers import ERRORS, IDENTIFICATION, MAP_VERSION
from .resize import Beat, Resize
from .sender import Sender

__all__ = ["EmbedPort"]


class EmbedPort(wiring.Component):
    """A packet in is an image or an input, a packet out is an output; docs/registers.md says more.

    For each input, in turn: it is received, the network runs, the output is read. An input takes a
    cycle for each lane group or beat, whichever are more; the next one waits in the stream from the
    start of the run until the last word of the output has left the activation memory. While the
    rest of an output waits to be taken, the next input is received.

    Parameters
    ----------
    stream_bytes : int
        Bytes of a beat, a power of two up to 64.
    rom : bool
        The accelerator loads an image from block RAM after reset.

    Members
    -------
    i, o : In, Out(stream.Signature(Beat(stream_bytes)))
        Packets; those in are ``checked``.
    registers : In(RegisterAccess())
        See :mod:`prunus.hw.embed.registers`.
    others
        See :func:`prunus.hw.host.inside.inside`.
    """

    outside = ("i", "o", "registers")

    def __init__(self, config: Config, *, stream_bytes: int = 4, rom: bool = False):
        if not 1 <= stream_bytes <= 64 or stream_bytes & (stream_bytes - 1):
            raise ValueError(
                f"stream_bytes must be a power of two from 1 to 64, not {stream_bytes!r}"
            )
        self.config = config
        self.stream_bytes = stream_bytes
        self.rom = rom
        super().__init__({
            "i": In(stream.Signature(Beat(stream_bytes, checked=True))),
            "o": Out(stream.Signature(Beat(stream_bytes))),
            "registers": In(RegisterAccess()),
            **inside(config),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        flush = Signal()
        m.submodules.registers = registers = RegisterFile()
        m.submodules.gather = gather = ResetInserter(flush)(
            Resize(self.stream_bytes, config.lanes, checked=True)
        )
        m.submodules.receiver = receiver = ResetInserter(flush)(Receiver(config))
        m.submodules.sender = sender = Sender(config)
        m.submodules.spread = spread = Resize(config.act_word, self.stream_bytes)
        connect(m, flipped(self.registers), registers.access)
        connect(m, gather.o, receiver.i)
        connect(m, sender.o, spread.i)
        connect(m, spread.o, flipped(self.o))

        from_rom = Signal(init=self.rom)
        failed = Signal()
        m.d.comb += [
            # A byte in the cycle of a flush must not reach a loader that is kept.
            self.image.payload.eq(receiver.image.payload),
            self.image.valid.eq(receiver.image.valid & ~flush),
            receiver.image.ready.eq(self.image.ready),
            receiver.wait.eq(from_rom & ~self.load_done & (self.load_error == 0)),
            receiver.load_done.eq(self.load_done),
            receiver.load_failed.eq(self.load_error != LoadError.NONE),
            receiver.network.eq(self.network),
            sender.network.eq(self.network),
            sender.r_data.eq(self.r_data),
            self.r_addr.eq(sender.r_addr),
            self.r_en.eq(sender.r_en),
            failed.eq(receiver.load_failed | receiver.cut),
        ]
        for name in ("w_addr", "w_group", "w_en", "w_data"):
            m.d.comb += getattr(self, name).eq(getattr(receiver, name))

        # What is asked for waits until nothing is in its way.
        pending, restart = Signal(), Signal()
        starting = Signal(range(START_CYCLES + 1))
        done = Signal()
        with m.If(registers.o.control_clear | registers.o.control_restart):
            m.d.sync += pending.eq(1)
        with m.If(registers.o.control_restart):
            m.d.sync += restart.eq(1)
        # Beats taken after the answer to such a write are those of a new packet.
        blocked = Signal()
        m.d.comb += [
            blocked.eq(registers.o.control_clear | registers.o.control_restart | pending | flush),
            gather.i.p.eq(self.i.p),
            gather.i.valid.eq(self.i.valid & ~blocked),
            self.i.ready.eq(gather.i.ready & ~blocked),
        ]
        m.d.sync += self.start.eq(0)
        with m.If(starting != 0):
            m.d.sync += starting.eq(starting - 1)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                with m.If(pending):
                    # An image that is not whole goes with the packet under way.
                    with m.If(restart | receiver.loading | failed):
                        m.d.sync += [self.restart.eq(1), from_rom.eq(0)]
                    m.d.sync += [flush.eq(1), pending.eq(0), restart.eq(0)]
                    m.next = "FLUSH"
                with m.Elif(receiver.complete):
                    with m.If(~registers.o.control_hold | registers.o.control_start):
                        m.d.sync += [self.start.eq(1), starting.eq(START_CYCLES)]
                        m.next = "RUN"
            with m.State("FLUSH"):
                m.d.sync += [flush.eq(0), self.restart.eq(0)]
                m.next = "IDLE"
            with m.State("RUN"):
                with m.If((starting == 0) & ~self.busy):
                    m.d.comb += done.eq(1)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += sender.go.eq(1)
                with m.If(sender.done):
                    m.d.comb += receiver.release.eq(1)
                    m.next = "IDLE"
            running, sending = fsm.ongoing("RUN"), fsm.ongoing("SEND")

        state = Signal(State)
        with m.If(failed):
            m.d.comb += state.eq(State.FAILED)
        with m.Elif(running):
            m.d.comb += state.eq(State.RUNNING)
        with m.Elif(self.load_done):
            m.d.comb += state.eq(State.READY)
        with m.Elif(receiver.loading | receiver.wait):
            m.d.comb += state.eq(State.LOADING)

        was_done, was_failed = Signal(), Signal()
        m.d.sync += [was_done.eq(self.load_done), was_failed.eq(failed)]
        m.d.comb += [
            registers.i.id_id.eq(IDENTIFICATION),
            registers.i.version_map.eq(MAP_VERSION),
            registers.i.version_image.eq(VERSION),
            registers.i.version_lanes.eq(config.lanes),
            registers.i.version_stream.eq(self.stream_bytes),
            registers.i.config_hash.eq(config.hash),
            registers.i.status_state.eq(state),
            registers.i.status_receiving.eq(receiver.receiving),
            registers.i.status_waiting.eq(receiver.complete & fsm.ongoing("IDLE")),
            registers.i.status_sending.eq(sending | spread.o.valid),
            registers.i.status_pending.eq(pending | flush),
            registers.i.status_load_error.eq(self.load_error),
            registers.i.irq_status_ready.eq(self.load_done & ~was_done),
            registers.i.irq_status_failed.eq(failed & ~was_failed),
            registers.i.irq_status_done.eq(done),
            registers.i.irq_status_packet.eq(receiver.errors.as_value().any()),
            registers.i.image_id_id.eq(self.image_id),
            registers.i.input_bytes_bytes.eq(self.network.input_bytes),
            registers.i.output_bytes_bytes.eq(self.network.output_bytes),
            registers.i.load_cycles_cycles.eq(self.load_cycles),
            registers.i.cycles_cycles.eq(self.cycles),
            Cat(registers.i[f"errors_{name}"] for name in ERRORS).eq(receiver.errors),
        ]
        return m
