"""The host port: requests in, replies out, and the strings they pull inside the accelerator."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, bits_for
from ..skid import SkidBuffer
from .deframer import Deframer
from .framer import Framer
from .inside import START_CYCLES, inside
from .protocol import OFFSET_BYTES, OUTPUT_BYTES, Op, State, Status
from .replier import Replier, select

__all__ = ["HostPort"]


class HostPort(wiring.Component):
    """Carries out one request after the other and answers each; docs/host-link.md is its contract.

    A request takes about 20 cycles, then two for each byte of ``LOAD``, one for each of ``INPUT``
    and ``INFER``, and from then on the next one is received. A byte of the reply takes three or
    nine. While the network runs, ``HELLO`` and ``STATUS`` are answered; every other request waits
    for the end of the run, and ``RUN`` or ``INFER`` is answered before. With ``has_image`` the
    state after reset is LOADING.

    Members
    -------
    i, o : streams
        Bytes of the link.
    others
        See :func:`prunus.hw.host.inside.inside`.
    """

    outside = ("i", "o")

    def __init__(self, config: Config, *, has_image: bool = False):
        if config.frame_bytes < config.lanes + OFFSET_BYTES:
            raise ValueError(
                f"frame_bytes must be at least lanes + {OFFSET_BYTES} "
                f"({config.lanes + OFFSET_BYTES}), not {config.frame_bytes!r}"
            )
        self.config = config
        self.has_image = has_image
        super().__init__({
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(8)),
            **inside(config),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.deframer = request = Deframer(config)
        m.submodules.replier = reply = Replier(config)
        m.submodules.framer = framer = Framer()
        wiring.connect(m, wiring.flipped(self.i), request.i)
        # Whether the framer takes a byte hangs on the wire; that a request is done, on the reply.
        m.submodules.skid = skid = SkidBuffer(reply.o.payload.shape())
        wiring.connect(m, reply.o, skid.i)
        wiring.connect(m, skid.o, framer.i)
        wiring.connect(m, framer.o, wiring.flipped(self.o))

        # What is going on.
        loading = Signal(init=self.has_image)
        running = Signal()
        starting = Signal(range(START_CYCLES + 1))
        state = Signal(State)
        with m.If(self.load_error != 0):
            m.d.comb += state.eq(State.FAILED)
        with m.Elif(running):
            m.d.comb += state.eq(State.RUNNING)
        with m.Elif(self.load_done):
            m.d.comb += state.eq(State.READY)
        with m.Elif(loading):
            m.d.comb += state.eq(State.LOADING)

        # The reply belongs to the request, or to the run that ended. While it is sent, the next
        # request may already come, but for replies that say how many were dropped.
        of_run = Signal()
        held = Signal()
        op = Signal(8, reset_less=True)
        tag = Signal(8, reset_less=True)
        status = Signal(Status)
        # What must not be done twice: a run, whose input may be gone, and a chunk of an image. A
        # request with the tag of the last one comes again because its reply was lost, unless a
        # HELLO came between, with which a host begins: the tags before were another's.
        last_tag = Signal(8, reset_less=True)
        same_host = Signal()
        last_run = Signal()  # also: the outputs are there
        last_infer = Signal(reset_less=True)
        last_load = Signal()
        again = Signal(reset_less=True)
        fed = Signal()  # an input was begun since the image came
        m.d.sync += again.eq(same_host & (last_tag == request.tag))

        word_bits = len(self.w_addr)
        byte_bits = (config.act_word - 1).bit_length()
        lane_bits = (config.lanes - 1).bit_length()
        size_bits = word_bits + byte_bits + 1  # sizes of vectors in activation memory
        m.d.comb += [
            reply.op.eq(op),
            reply.tag.eq(tag),
            reply.status.eq(status),
            reply.state.eq(state),
            reply.load_error.eq(self.load_error),
            reply.dropped.eq(request.dropped),
            reply.image_id.eq(self.image_id),
            reply.load_cycles.eq(self.load_cycles),
            reply.input_bytes.eq(self.network.input_bytes[:size_bits]),
            reply.output_bytes.eq(self.network.output_bytes[:size_bits]),
            reply.cycles.eq(self.cycles),
        ]

        is_input = (op == Op.INPUT) | (op == Op.INFER)
        # `amount` bytes from `offset` on are meant, `room` is from there to the end of the vector.
        # While data goes to or from activation memory, `offset` is the place of the next byte, and
        # `count` the bytes left to read.
        field = Signal(range(OUTPUT_BYTES + 1))
        offset = Signal(24, reset_less=True)
        count = Signal(max(16, size_bits), reset_less=True)
        count_bits = max(bits_for(config.frame_bytes), size_bits)
        amount = Signal(16, reset_less=True)
        expected = Signal(24)  # offset of the next LOAD
        size = Signal(size_bits, reset_less=True)
        base = Signal(word_bits, reset_less=True)
        room = Signal(signed(size_bits + 1), reset_less=True)
        beyond = Signal(reset_less=True)
        in_order = Signal(reset_less=True)
        with m.If(of_run | (op == Op.OUTPUT)):
            m.d.sync += [
                amount.eq(count),
                size.eq(self.network.output_bytes),
                base.eq(self.network.output_base),
            ]
        with m.Else():
            m.d.sync += [
                amount.eq(request.left),
                size.eq(self.network.input_bytes),
                base.eq(self.network.input_base),
            ]
        m.d.sync += [
            room.eq(size - offset[:size_bits]),
            beyond.eq(offset[size_bits:].any() | (room < amount)),
            in_order.eq(offset == expected),
        ]

        # Data of a request: asked for, fetched from the buffer a cycle later, then shifted into a
        # group of bytes, of which the loader gets the last one.
        asked = Signal()
        fetched = Signal()
        m.d.sync += asked.eq(request.read)
        group = Signal(8 * config.lanes, reset_less=True)
        group_shift = Signal()
        image_valid = Signal()
        image_free = Signal()
        m.d.comb += [
            self.image.payload.eq(group[-8:]),
            self.image.valid.eq(image_valid),
            image_free.eq(~image_valid | self.image.ready),
        ]
        with m.If(group_shift):
            m.d.sync += group.eq(Cat(group, Mux(fetched, request.data, 0))[8:])

        # Activation memory, which is far away: what goes there comes from registers.
        moved = Signal()  # the byte at `offset` has been taken care of
        write = Signal()
        address = Signal(word_bits, reset_less=True)
        w_group = Signal(self.w_group.shape(), reset_less=True)
        w_data = Signal(self.w_data.shape(), reset_less=True)
        m.d.sync += [
            address.eq(offset[byte_bits:] + base),
            w_group.eq(offset[lane_bits:byte_bits]),
            w_data.eq(group),
            self.w_en.eq(write),
            self.r_en.eq(reply.fetch),
        ]
        m.d.comb += [
            self.w_addr.eq(address),
            self.w_group.eq(w_group),
            self.w_data.eq(w_data),
            self.r_addr.eq(address),
        ]
        # Registered at once, and a quarter of it again: it comes from far away. What arrives in one
        # cycle or in two stays there.
        word = Signal.like(self.r_data, name="word", reset_less=True)
        m.d.sync += word.eq(self.r_data)
        bytes_read = [word[n : n + 8] for n in range(0, len(word), 8)]
        few = [Signal(8, name=f"few_{n}", reset_less=True) for n in range(0, len(bytes_read), 4)]
        m.d.sync += [
            *(few[n].eq(select(bytes_read[4 * n : 4 * n + 4], offset)) for n in range(len(few))),
            reply.body.eq(select(few, offset[2:])),
            reply.body_last.eq(count[:count_bits] == 1),
        ]
        fetched_word = Signal(4)
        m.d.sync += [fetched_word.eq(Cat(reply.fetch, fetched_word)), moved.eq(fetched_word[-1])]
        with m.If(moved):
            m.d.sync += [
                offset[: size_bits - 1].eq(offset[: size_bits - 1] + 1),
                count.eq(count[:count_bits] - 1),
            ]

        m.d.sync += [self.start.eq(0), self.restart.eq(0)]
        with m.If(starting != 0):
            m.d.sync += starting.eq(starting - 1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [of_run.eq(0), held.eq(0), status.eq(Status.OK), field.eq(0)]
                with m.If(running & (starting == 0) & ~self.busy):
                    m.d.sync += running.eq(0)
                    m.d.sync += [op.eq(Mux(last_infer, Op.INFER, Op.RUN)), tag.eq(last_tag)]
                    m.next = "RESULT"
                with m.Elif(request.frame):
                    with m.If(~running | (request.op == Op.HELLO) | (request.op == Op.STATUS)):
                        m.d.sync += [op.eq(request.op), tag.eq(request.tag)]
                        m.next = "DISPATCH"

            with m.State("DISPATCH"):
                m.next = "RELEASE"
                wrong_length = Signal()
                wrong_state = Signal()
                understood = Signal()
                is_run = (op == Op.RUN) | (op == Op.INFER)
                with m.Switch(op):
                    with m.Case(Op.HELLO, Op.STATUS, Op.RUN):
                        m.d.comb += wrong_length.eq(request.left != 0)
                    with m.Case(Op.LOAD, Op.INPUT, Op.INFER):
                        m.d.comb += wrong_length.eq(request.left <= OFFSET_BYTES)
                    with m.Case(Op.OUTPUT):
                        m.d.comb += wrong_length.eq(request.left != OUTPUT_BYTES)
                with m.Switch(op):
                    with m.Case(Op.RUN):
                        m.d.comb += wrong_state.eq(~self.load_done | ~fed)
                    with m.Case(Op.INPUT, Op.INFER):
                        m.d.comb += wrong_state.eq(~self.load_done)
                    with m.Case(Op.OUTPUT):
                        m.d.comb += wrong_state.eq(~self.load_done | ~last_run)
                with m.Switch(op):
                    with m.Case(*Op):
                        m.d.comb += understood.eq(1)
                with m.If(~understood):
                    m.d.sync += status.eq(Status.UNKNOWN_OP)
                with m.Elif(wrong_length):
                    m.d.sync += status.eq(Status.LENGTH)
                with m.Elif(wrong_state):
                    m.d.sync += status.eq(Status.STATE)
                with m.Elif(op == Op.HELLO):
                    m.d.sync += same_host.eq(0)
                with m.Elif(is_run & last_run & again):
                    m.d.comb += request.done.eq(1)
                    m.next = "RESULT"
                with m.Elif(op == Op.RUN):
                    m.next = "RUN"
                with m.Elif(request.left != 0):
                    m.next = "READ"

            with m.State("RUN"):
                m.d.comb += request.done.eq(1)
                m.d.sync += [
                    self.start.eq(1),
                    starting.eq(START_CYCLES),
                    running.eq(1),
                    last_run.eq(1),
                    last_infer.eq(op == Op.INFER),
                    last_load.eq(0),
                    last_tag.eq(tag),
                    same_host.eq(1),
                ]
                m.next = "IDLE"

            with m.State("READ"):
                m.d.comb += request.read.eq(1)
                m.d.sync += field.eq(field + 1)
                m.next = "FETCH"
            with m.State("FETCH"):
                m.next = "FIELD"
            with m.State("FIELD"):
                m.next = "READ"
                m.d.sync += count.eq(Cat(request.data, count[:8]))
                with m.If(field <= OFFSET_BYTES):
                    m.d.sync += offset.eq(Cat(request.data, offset))
                with m.If(((field == OFFSET_BYTES) & (op != Op.OUTPUT)) | (field == OUTPUT_BYTES)):
                    m.next = "RESTART"
            with m.State("RESTART"):
                with m.If((op == Op.LOAD) & (offset == 0)):
                    m.d.sync += [self.restart.eq(1), expected.eq(0), fed.eq(0)]
                m.next = "LIMITS"
            with m.State("LIMITS"):
                m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "RELEASE"
                with m.If(op == Op.LOAD):
                    with m.If(in_order):
                        m.d.sync += [
                            expected.eq(expected + request.left),
                            loading.eq(1),
                            last_run.eq(0),
                            last_load.eq(1),
                            last_tag.eq(tag),
                            same_host.eq(1),
                        ]
                        m.next = "LOAD"
                    with m.Elif(~(last_load & again)):
                        m.d.sync += status.eq(Status.ORDER)
                with m.Elif(is_input):
                    with m.If(beyond | offset[:lane_bits].any()):
                        m.d.sync += status.eq(Status.RANGE)
                    with m.Elif(amount[:lane_bits].any() & (room != amount)):
                        m.d.sync += status.eq(Status.LENGTH)
                    with m.Else():
                        m.d.sync += [last_run.eq(0), fed.eq(fed | (offset == 0))]
                        m.next = "INPUT"
                with m.Else():
                    with m.If(beyond | (count == 0) | (count > config.frame_bytes)):
                        m.d.sync += status.eq(Status.RANGE)

            with m.State("LOAD"):
                m.d.comb += [
                    request.read.eq((request.left != 0) & ~asked & (~fetched | image_free)),
                    group_shift.eq(fetched & image_free),
                ]
                m.d.sync += fetched.eq(asked | (fetched & ~image_free))
                m.d.sync += image_valid.eq(fetched | ~image_free)
                with m.If((request.left == 0) & ~asked & ~fetched & image_free):
                    m.next = "RELEASE"

            with m.State("INPUT"):
                m.d.comb += request.read.eq(request.left != 0)
                m.d.sync += [fetched.eq(asked), moved.eq(group_shift)]
                m.d.comb += write.eq(moved & offset[:lane_bits].all())
                with m.If(fetched):
                    m.d.comb += group_shift.eq(1)
                with m.Elif((request.left == 0) & ~asked & ~moved):
                    with m.If(offset[:lane_bits].any()):
                        m.d.comb += group_shift.eq(1)  # a group is filled up with zeros
                    with m.Elif(op == Op.INPUT):
                        m.next = "RELEASE"
                    with m.Elif(fed):
                        m.next = "RUN"
                    with m.Else():
                        m.d.sync += status.eq(Status.STATE)
                        m.next = "RELEASE"

            with m.State("RESULT"):
                m.d.sync += [of_run.eq(1), offset.eq(0), count.eq(self.network.output_bytes)]
                m.next = "REPLY"
            with m.State("RELEASE"):
                with m.Switch(op):
                    with m.Case(Op.HELLO, Op.LOAD, Op.STATUS):
                        m.d.sync += held.eq(1)
                    with m.Default():
                        m.d.comb += request.done.eq(1)
                m.next = "REPLY"
            with m.State("REPLY"):
                m.d.comb += reply.go.eq(1)
                with m.If(reply.done):
                    m.d.comb += request.done.eq(held)
                    m.next = "IDLE"
        return m
