import dataclasses
import itertools
import random
import re
import struct

import numpy as np
import pytest
import serial
from host_model import Device, small_config

from prunus.flow.link import Link, LinkError, SerialTransport, open_serial
from prunus.hw.host.protocol import Op, Reply, Request, State, Status
from prunus.hw.image import MAGIC


class Wire:
    """A device behind a wire that harms the frames in both directions, and knows no time."""

    def __init__(self, device, *, harm=0.0, seed=0):
        self.device = device
        self.harm = harm
        self.rng = random.Random(seed)
        self.waiting = b""
        self.writes = 0
        self.most = 0  # requests without an answer

    def disturb(self, raw: bytes) -> bytes:
        if self.rng.random() >= self.harm:
            return raw
        at = self.rng.randrange(len(raw))
        return self.rng.choice([
            b"",
            raw[:at],
            raw[:at] + raw[at + 1 :],
            raw[:at] + bytes([raw[at] ^ 1 << self.rng.randrange(8)]) + raw[at + 1 :],
            self.rng.randbytes(3) + raw,
            raw + raw,
        ])  # fmt: skip

    def write(self, raw: bytes) -> None:
        self.writes += 1
        for frame in re.findall(rb"\x7e[^\x7e]+\x7e", self.device.receive(self.disturb(raw))):
            self.waiting += self.disturb(frame)

    def read(self, size: int, timeout: float) -> bytes:
        assert timeout > 0
        size = self.rng.randint(1, size) if self.rng.random() < 0.5 else self.rng.randint(1, 5)
        raw, self.waiting = self.waiting[:size], self.waiting[size:]
        return raw


def image_of(config, size=500, first=None):
    head = struct.pack(">IHHI", MAGIC, 1, 1, config.hash)
    image = head + random.Random(1).randbytes(size - len(head))
    return image if first is None else bytes([first]) + image[1:]


def make(*, harm=0.0, seed=0, retries=30, image_bytes=500, **changes):
    config = small_config(**changes)
    device = Device(config, image_bytes=image_bytes)
    wire = Wire(device, harm=harm, seed=seed)
    return device, wire, Link(wire, retries=retries)


def expected_outputs(batch, outputs=(4, 13)):
    """What :class:`host_model.Device` makes of samples; its inputs begin a word of 8 earlier."""
    start = 8 * (outputs[0] - 3)
    runs = np.arange(1, 1 + len(batch))[:, None]
    return (
        (3 * batch[:, start : start + outputs[1]].astype(int) + runs).astype(np.uint8).view(np.int8)
    )


def test_hello():
    device, _, link = make()
    assert link.hello() == device.hello()
    assert link.status().state == State.EMPTY


@pytest.mark.parametrize("lanes, frame_bytes", [(0, 256), (8, 3), (8, 10)])
def test_a_device_that_says_what_cannot_be(monkeypatch, lanes, frame_bytes):
    device, _, link = make()
    answer = dataclasses.replace(device.hello(), lanes=lanes, frame_bytes=frame_bytes)
    monkeypatch.setattr(device, "hello", lambda: answer)
    with pytest.raises(LinkError, match=rf"{lanes} lanes, frames of {frame_bytes} bytes$"):
        link.hello()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("harm", [0.0, 0.3, 0.6])
def test_load_and_infer(seed, harm):
    device, wire, link = make(harm=harm, seed=seed)
    image = image_of(device.config)
    seen = []
    link.load(image, lambda done, total: seen.append((done, total)))
    assert bytes(device.image) == image
    assert seen == [(min(n, 500), 500) for n in range(29, 529, 29)]
    batch = np.random.default_rng(seed).integers(-128, 128, (5, 3, 7), np.int8)
    ran = link.infer(batch, lambda done, total: seen.append((done, total)))
    outputs, cycles = ran.outputs, ran.cycles
    # A sample whose answer is lost when the next one was sent already is run again.
    assert device.runs == 5 if not harm else device.runs >= 5
    numbers = cycles - 0x01020300
    assert (np.diff(numbers.astype(int)) > 0).all() and numbers[-1] <= device.runs
    for n, sample in enumerate(batch.reshape(5, 21)):
        expected = (3 * sample[8:21].astype(int) + int(numbers[n])).astype(np.uint8)
        assert outputs[n].tolist() == expected.view(np.int8).tolist()
    assert outputs.dtype == np.int8
    assert seen[-5:] == [(n, 5) for n in range(1, 6)]
    assert (link.repeated > 0) == (harm > 0)


def test_nobody_answers():
    _, wire, link = make(harm=1.0, retries=3)
    wire.rng.choice = lambda choices: b""
    with pytest.raises(LinkError, match=r"^no answer to HELLO in 4 attempts; is this the board's"):
        link.hello()
    assert wire.writes == 4


def test_only_noise_answers():
    device, wire, link = make(retries=1)
    device.receive = lambda raw: b"\x7enoise\x7e"
    with pytest.raises(
        LinkError,
        match=r"^no answer to STATUS in 2 attempts; 2 damaged frames came, check the baud",
    ):
        link.status()


def test_replies_to_others_are_ignored():
    device, wire, link = make()
    wire.waiting = Reply(Op.STATUS, 0, 0, b"123").frame() + Reply(Op.HELLO, 255, 3).frame()
    wire.waiting += Request(Op.HELLO, 0).frame()  # an echo
    assert link.hello() == device.hello()
    assert link.repeated == 0


@pytest.mark.parametrize(
    "error, text", [(1, "it is not a ROM image"), (5, "a section is damaged"), (9, "error 9")]
)
def test_a_refused_image(error, text):
    device, _, link = make()
    type(device).load_error, saved = error, type(device).load_error
    try:
        with pytest.raises(LinkError, match=f"^the accelerator refused the image: {text}$"):
            link.load(image_of(device.config))
    finally:
        type(device).load_error = saved


def test_an_image_for_another_configuration():
    device, wire, link = make()
    image = image_of(small_config(pes=8))
    message = f"image is for configuration {small_config(pes=8).hash:08x}, the accelerator has "
    with pytest.raises(LinkError, match=f"^{message}{device.config.hash:08x}$"):
        link.load(image)
    assert not device.image


def test_an_image_that_is_too_short():
    device, _, link = make(image_bytes=501, retries=2)
    with pytest.raises(LinkError, match=r"^image is 15 bytes, shorter than its header$"):
        link.load(bytes(15))
    with pytest.raises(LinkError, match=r"^the image ended, but the accelerator is still loading$"):
        link.load(image_of(device.config))


@pytest.mark.parametrize(
    "batch, message",
    [
        (
            np.zeros((1, 21)),
            r"inputs must be int8 with samples first, not float64 of shape \(1, 21\)",
        ),
        (
            np.zeros(21, np.int8),
            r"inputs must be int8 with samples first, not int8 of shape \(21,\)",
        ),
        (np.zeros((1, 20), np.int8), "a sample has 20 values, the loaded network takes 21"),
    ],
)
def test_inputs_that_do_not_fit(batch, message):
    device, _, link = make()
    link.load(image_of(device.config))
    with pytest.raises(LinkError, match=f"^{message}$"):
        link.infer(batch)


def test_infer_without_an_image():
    _, _, link = make()
    with pytest.raises(LinkError, match=r"^the accelerator is empty; load an image first$"):
        link.infer(np.zeros((1, 21), np.int8))


def test_an_empty_batch():
    device, _, link = make()
    link.load(image_of(device.config))
    ran = link.infer(np.zeros((0, 3, 7), np.int8))
    assert ran.outputs.shape == (0, 13) and ran.cycles.shape == (0,) and ran.throughput == 0


@pytest.mark.parametrize(
    "status, message",
    [
        (Status.STATE, "INFER needs a loaded image, a run .* the device may have been reset"),
        (Status.RANGE, "INFER is outside the network's input or output"),
        (77, "INFER was refused with unknown status 77"),
    ],
)
def test_refusals(status, message):
    device, _, link = make()
    link.load(image_of(device.config))
    answer = device.answer
    device.answer = lambda r: Reply(r.op, r.tag, status) if r.op == Op.INFER else answer(r)
    with pytest.raises(LinkError, match=f"^{message}$"):
        link.infer(np.zeros((1, 21), np.int8))


def test_another_protocol_version():
    device, _, link = make()
    hello = device.hello()
    object.__setattr__(hello, "version", 1)
    device.hello = lambda: hello
    with pytest.raises(LinkError, match=r"^the device speaks protocol version 1, not 2$"):
        link.hello()


class Latent(Wire):
    """Answers only when it is read, and counts what it was sent until then."""

    def __init__(self, device):
        super().__init__(device)
        self.unanswered = []

    def write(self, raw):
        self.unanswered.append(raw)
        self.most = max(self.most, len(self.unanswered))

    def read(self, size, timeout):
        return self.device.receive(self.unanswered.pop(0)) if self.unanswered else b""


@pytest.mark.parametrize("frame_bytes", [16, 32])  # a sample in two requests, or in one
def test_requests_are_sent_ahead(frame_bytes):
    device, _, _ = make(frame_bytes=frame_bytes)
    wire = Latent(device)
    link = Link(wire)
    link.load(image_of(device.config))
    assert wire.most == 1
    batch = np.random.default_rng(1).integers(-128, 128, (6, 21), np.int8)
    ran = link.infer(batch)
    assert wire.most == 2 and device.runs == 6 and link.repeated == 0
    expected = 3 * batch[:, 8:21].astype(int) + np.arange(1, 7)[:, None]
    assert np.array_equal(ran.outputs, expected.astype(np.uint8).view(np.int8))


def test_flags_cover_the_time_in_which_data_is_moved():
    device, _, _ = make(frame_bytes=16)
    wire = Latent(device)
    link = Link(wire)
    link.load(image_of(device.config))
    sent = []
    wire.write, write = lambda raw: (sent.append(raw), write(raw)), wire.write
    link.infer(np.zeros((4, 21), np.int8))
    ahead = [len(raw) - len(raw.lstrip(b"\x7e")) - 1 for raw in sent]
    assert ahead == [0, 0, 0, 0, *[2] * 5]  # HELLO, two alone, the first of the stream, the rest


def test_a_second_host_is_not_answered_with_what_the_first_one_asked():
    device, wire, first = make(frame_bytes=32)
    first.load(image_of(device.config))
    batch = np.random.default_rng(2).integers(-128, 128, (2, 1, 21), np.int8)
    ran = [Link(wire).infer(samples) for samples in batch]  # of the same tags
    assert device.runs == 2
    for n, outputs in enumerate(ran):
        expected = (3 * batch[n, 0, 8:21].astype(int) + n + 1).astype(np.uint8)
        assert outputs.outputs[0].tolist() == expected.view(np.int8).tolist()


def test_an_image_on_its_way_is_waited_for():
    device, wire, _ = make()
    link = Link(wire, clock=itertools.count(step=0.1).__next__)
    link.load(image_of(device.config))
    hello, states = device.hello(), [State.LOADING, State.LOADING, State.READY]
    device.hello = lambda: dataclasses.replace(hello, state=states.pop(0))
    assert len(link.infer(np.zeros((1, 21), np.int8)).outputs) == 1
    states[:] = [State.LOADING] * 100
    with pytest.raises(LinkError, match=r"^the accelerator is loading; load an image first$"):
        link.infer(np.zeros((1, 21), np.int8))
    device.hello = lambda: dataclasses.replace(hello, state=State.FAILED, load_error=1)
    with pytest.raises(LinkError, match=r"refused the image: it is not a ROM image$"):
        link.infer(np.zeros((1, 21), np.int8))


class SlowRun(Wire):
    """Answers RUN only after being asked for its status a number of times."""

    def __init__(self, device, patience):
        super().__init__(device)
        self.patience = patience
        self.run_reply = b""
        self.running = False

    def write(self, raw):
        (request,) = map(Request.parse, self.device.deframer.push(raw))
        if self.running and request.op == Op.STATUS:
            self.patience -= 1
            self.running = self.patience != 0
            state = State.RUNNING if self.running else State.READY
            self.waiting += Reply(Op.STATUS, request.tag, 0, bytes([state, 0, 0])).frame()
            if not self.running:
                self.waiting += self.run_reply
            return
        reply = self.device.answer(request).frame()
        if request.op == Op.INFER and self.patience:
            self.run_reply, self.running = reply, True
        else:
            self.waiting += reply


def test_a_long_run():
    device, _, _ = make()
    wire = SlowRun(device, 20)
    link = Link(wire, retries=3)
    link.load(image_of(device.config))
    ran = link.infer(np.ones((2, 21), np.int8))
    assert device.runs == 2 and len(ran.outputs) == 2


def test_a_run_without_end():
    device, _, _ = make()
    link = Link(SlowRun(device, -1), timeout=0.01, run_timeout=0.05)
    link.load(image_of(device.config))
    with pytest.raises(LinkError, match=r"^the run did not end within 0\.05 s$"):
        link.infer(np.ones((1, 21), np.int8))


def test_a_broken_wire():
    class Broken(Wire):
        def read(self, size, timeout):
            raise OSError(5, "Input/output error")

    device, _, _ = make()
    with pytest.raises(LinkError, match=r"^the link broke: Input/output error$"):
        Link(Broken(device)).hello()


class FakePort:
    """What of pyserial's Serial the transport uses."""

    def __init__(self, arrives):
        self.arrives = arrives
        self.timeout = None
        self.sent = b""
        self.closed = False

    @property
    def in_waiting(self):
        return len(self.arrives)

    def read(self, size):
        raw, self.arrives = self.arrives[:size], self.arrives[size:]
        return raw

    def write(self, raw):
        self.sent += raw
        return len(raw)

    def close(self):
        self.closed = True


def test_serial_transport():
    port = FakePort(b"0123456789")
    with SerialTransport(port) as transport:
        assert transport.read(4, 0.5) == b"0123"
        assert port.timeout == 0.5
        assert transport.read(1, 0.25) == b"4"
        assert transport.read(100, 0.25) == b"56789"
        assert transport.read(100, 0.25) == b""
        transport.write(b"abc")
    assert port.sent == b"abc" and port.closed


def test_the_lines_beside_a_port_are_quiet(monkeypatch):
    """On an UPduino they select the flash, others reset something."""
    opened = []

    class Port(serial.Serial):
        def open(self):
            opened.append((self.port, self.baudrate, self.dtr, self.rts))

    monkeypatch.setattr(serial, "Serial", Port)
    open_serial("/dev/ttyUSB1", 1_000_000)
    assert opened == [("/dev/ttyUSB1", 1_000_000, False, False)]


def test_a_port_that_is_not_there():
    with pytest.raises(LinkError, match=r"^/nonexistent/ttyUSB9: No such file or directory$"):
        open_serial("/nonexistent/ttyUSB9", 1_000_000)


def test_parameters_are_checked():
    for name, value, rule in (
        ("timeout", 0, "positive, not 0"),
        ("retries", -1, "at least 0, not -1"),
        ("run_timeout", 0.5, r"at least timeout, not 0\.5"),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be {rule}$"):
            Link(Wire(None), **{name: value})
