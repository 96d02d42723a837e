"""cocotb bench of a board's pins: what the host does, right and wrong, and what the board answers.

The tests run one after the other on one board; each begins with an accelerator that is READY, but
those of an image that is refused.
"""

import json
import os
import random
from pathlib import Path

import cocotb
import numpy as np
from cocotb.task import bridge
from cocotb.triggers import Timer

from prunus.flow.link import Link, LinkError
from prunus.hw.host.frames import ESCAPE, FLAG, Deframer
from prunus.hw.host.protocol import (
    Health,
    Op,
    Reply,
    Request,
    State,
    Status,
    input_requests,
    load_requests,
)
from prunus.hw.image import LoadError
from prunus.sim.benches.pins import Wire

DATA = json.loads(Path("pins.json").read_text())
IMAGE, OTHER = bytes.fromhex(DATA["image"]), bytes.fromhex(DATA["other"])
X = np.array(DATA["inputs"], np.int8)
Y = np.array(DATA["outputs"], np.int8)
FRAME_BYTES, LANES = DATA["frame_bytes"], DATA["lanes"]
SILENCE = 0.002  # seconds without an answer that are long enough


class Host:
    """The host library at the board's wire, and what it would never send."""

    def __init__(self, dut):
        self.dut = dut
        self.wire = Wire(dut)
        self.link = Link(self.wire, timeout=0.05, clock=self.wire.clock)

    def infer_right(self, samples=slice(0, 2)):
        """The next good request is answered rightly."""
        assert np.array_equal(self.link.infer(X[samples]).outputs, Y[samples])

    def ask(self, op, payload=b"", tag=0xA5) -> Reply | None:
        """The answer to one request, if any."""
        self.wire.write(Request(op, tag, payload).frame())
        return self.answer()

    def answer(self) -> Reply | None:
        deframer, frames = Deframer(), []
        while not frames:
            raw = self.wire.read(4096, SILENCE)
            if not raw:
                return None
            frames += deframer.push(raw)
        return Reply.parse(frames[0])

    def parts(self, n):
        """Payloads of the INPUTs and of the INFER that carry a sample."""
        return list(input_requests(X[n].tobytes(), frame_bytes=FRAME_BYTES, lanes=LANES))

    def load(self, image) -> Health:
        """Load an image without the library's look at it first; the state after it."""
        for tag, payload in enumerate(load_requests(image, FRAME_BYTES)):
            reply = self.ask(Op.LOAD, payload, tag)
            assert reply is not None and reply.status == Status.OK
        self.wire.read(1, SILENCE)
        return self.link.status()


def bench(steps):
    """A cocotb test of a function of a :class:`Host`, which runs in a thread of its own."""

    async def test(dut):
        host = Host(dut)
        await host.wire.power_up()
        await bridge(steps)(host)
        assert dut.bad_stops.value == 0 and dut.flash_problem.value == 0

    test.__name__ = test.__qualname__ = steps.__name__
    test.__doc__ = steps.__doc__
    return cocotb.test(timeout_time=2, timeout_unit="sec")(test)


@bench
def image_from_flash(host):
    """The image is read, and then no more is read."""
    hello = host.link.hello()
    assert hello.state == State.READY and hello.dropped == 0
    assert host.dut.ready.value == 1 and host.dut.failed.value == 0
    assert host.dut.flash_reading.value == 0


@bench
def host_library(host):
    """A batch, streamed; then the same samples one by one, which takes longer."""
    streamed = host.link.infer(X)
    assert np.array_equal(streamed.outputs, Y) and host.link.repeated == 0
    begun = host.wire.clock()
    alone = [host.link.infer(X[n : n + 1]) for n in range(len(X))]
    assert np.array_equal(np.concatenate([batch.outputs for batch in alone]), Y)
    sequential = sum(batch.latency for batch in alone)
    assert sequential <= host.wire.clock() - begun
    times = {"streamed": streamed.seconds, "sequential": sequential, "latency": streamed.latency}
    Path("times.json").write_text(json.dumps(times | {"cycles": streamed.cycles.tolist()}))
    assert streamed.seconds < sequential


def damaged(rng):
    """Name and bytes of requests that something happened to on their way."""
    good = Request(Op.INPUT, 0x31, bytes(3) + rng.randbytes(FRAME_BYTES - 3)).frame()
    body = [n for n in range(2, len(good) - 1) if ESCAPE not in good[n - 1 : n + 1]]
    for _ in range(3):
        at, bit = rng.choice(body), 1 << rng.randrange(8)
        while good[at] ^ bit in (FLAG, ESCAPE):
            bit = 1 << rng.randrange(8)
        yield "bit error", good[:at] + bytes((good[at] ^ bit,)) + good[at + 1 :]
        yield "dropped byte", good[:at] + good[at + 1 :]
        yield "inserted byte", good[:at] + b"\x55" + good[at:]
        yield "cut short", good[:at]
    yield "wrong CRC", good[:-2] + bytes((good[-2] ^ 1,)) + good[-1:]
    yield "a flag after an escape", good[:-1] + bytes((ESCAPE, FLAG))
    yield "too long", Request(Op.INPUT, 0x32, bytes(3 * FRAME_BYTES)).frame()
    yield "too short", bytes((FLAG, 0x11, FLAG))


@bench
def damaged_frames(host):
    """Dropped, counted, and nothing else."""
    for name, raw in damaged(random.Random(cocotb.RANDOM_SEED)):
        before = host.link.status().dropped
        host.wire.write(raw)
        assert host.answer() is None, name
        host.infer_right()
        assert host.link.status().dropped == (before + 1) & 0xFF, name


@bench
def refused_requests(host):
    """Each of the documented errors."""
    end = len(X[0]).to_bytes(3, "big")
    for op, payload, status in (
        (0x2A, b"", Status.UNKNOWN_OP),
        (Op.RUN, b"x", Status.LENGTH),
        (Op.INPUT, end + bytes(LANES), Status.RANGE),
        (Op.OUTPUT, bytes(3) + b"\xff\xff", Status.RANGE),
        (Op.LOAD, (len(IMAGE) + 7).to_bytes(3, "big") + b"x", Status.ORDER),
    ):
        reply = host.ask(op, payload)
        assert reply is not None and reply.status == status, reply
        host.infer_right()


def refused_image(host, image, error):
    health = host.load(image)
    assert (health.state, health.load_error) == (State.FAILED, error)
    assert host.dut.failed.value == 1 and host.dut.ready.value == 0
    reply = host.ask(Op.INFER, host.parts(0)[0])
    assert reply is not None and reply.status == Status.STATE
    host.link.load(IMAGE)
    assert host.dut.failed.value == 0 and host.dut.ready.value == 1
    reply = host.ask(Op.RUN)  # the input that there was belonged to the image before
    assert reply is not None and reply.status == Status.STATE
    host.infer_right()


@bench
def images_from_the_host(host):
    """One for another configuration, and one with a wrong CRC."""
    refused_image(host, OTHER, LoadError.CONFIG)
    refused_image(host, IMAGE[:-1] + bytes((IMAGE[-1] ^ 1,)), LoadError.SECTION_CRC)


@bench
def image_refused_from_flash(host):
    """What the flash holds is no image for these gates; the host has one."""
    hello = host.link.hello()
    assert (hello.state, hello.load_error) == (State.FAILED, int(os.environ["LOAD_ERROR"]))
    assert host.dut.flash_reading.value == 0
    try:
        host.link.infer(X)
    except LinkError as error:
        assert "refused the image" in str(error)
    else:
        raise AssertionError("it ran without an image")
    host.link.load(IMAGE)
    host.infer_right()


@cocotb.test(timeout_time=2, timeout_unit="sec")
async def noise_on_the_wire(dut):
    """The line is pulled about while frames are on it, and long after one."""
    host = Host(dut)
    await host.wire.power_up()
    rng = random.Random(cocotb.RANDOM_SEED)
    for pulse_us in (0.1, 1, 7, 60, 900):
        frame = Request(Op.INPUT, 0x33, bytes(3) + rng.randbytes(FRAME_BYTES - 3)).frame()
        await host.wire.send(frame)
        for _ in range(3):
            await Timer(rng.randrange(10, 50), "us")
            dut.disturb.value = 1
            await Timer(round(1000 * pulse_us), "ns")
            dut.disturb.value = 0
        await host.wire.flush()
        await bridge(host.wire.read)(4096, SILENCE)  # what came through may be answered
        await bridge(host.infer_right)()


async def lose_clock(dut):
    """What a dip of the supply does: the PLL loses its lock, and the board starts again."""
    dut.stop_oscillator.value = 1
    await Timer(20, "us")
    assert dut.ready.value == 0
    dut.stop_oscillator.value = 0


@cocotb.test(timeout_time=2, timeout_unit="sec")
async def reset_in_mid_inference(dut):
    """The run is gone, and so is its input: neither is made up."""
    host = Host(dut)
    await host.wire.power_up()
    *inputs, infer = host.parts(0)
    for tag, payload in enumerate(inputs):
        reply = await bridge(host.ask)(Op.INPUT, payload, tag)
        assert reply is not None and reply.status == Status.OK
    await host.wire.send(Request(Op.INFER, 0x77, infer).frame())
    await host.wire.flush()
    await Timer(2, "us")  # some 50 cycles into the run
    await lose_clock(dut)
    await host.wire.power_up()
    for op, payload in ((Op.INFER, infer), (Op.RUN, b""), (Op.OUTPUT, b"\0\0\0\0\1")):
        reply = await bridge(host.ask)(op, payload, 0x77)
        assert reply is not None and reply.status == Status.STATE, (op, reply)
    await bridge(host.infer_right)()


@cocotb.test(timeout_time=2, timeout_unit="sec")
async def reset_in_a_batch(dut):
    """The host library says what happened."""
    host = Host(dut)
    await host.wire.power_up()

    async def later():
        await Timer(1200, "us")
        await lose_clock(dut)

    disaster = cocotb.start_soon(later())
    try:
        await bridge(host.link.infer)(np.tile(X, (4, 1)))
    except LinkError as error:
        assert "may have been reset" in str(error)
    await disaster
    await host.wire.power_up()
    await bridge(host.infer_right)()


@cocotb.test(timeout_time=2, timeout_unit="sec")
async def host_is_faster_than_the_flash(dut):
    """An image from the host takes the place of one that is being read."""
    host = Host(dut)
    await Timer(60, "us")
    await host.wire.send(Request(Op.LOAD, 1, next(load_requests(IMAGE, FRAME_BYTES))).frame())
    assert dut.ready.value == 0
    reply = await bridge(host.answer)()
    health = Health.unpack(reply.payload)
    assert (reply.status, health.state) == (Status.OK, State.LOADING)
    await Timer(1, "ms")
    assert dut.ready.value == 0 and dut.flash_reading.value == 0
    await bridge(host.link.load)(IMAGE)
    await bridge(host.infer_right)()
