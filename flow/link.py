"""The host's end of the link to an accelerator on a board; docs/host-link.md has the protocol."""

import contextlib
import errno
import math
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prunus.hw.host.frames import FLAG, Deframer
from prunus.hw.host.protocol import (
    CYCLES_BYTES,
    OFFSET_BYTES,
    PROTOCOL_VERSION,
    REPLY_HEADER,
    Health,
    Hello,
    Op,
    ProtocolError,
    Reply,
    Request,
    State,
    Status,
    input_requests,
    load_requests,
)
from prunus.hw.image import HEADER_BYTES, LoadError

__all__ = ["Batch", "Link", "LinkError", "SerialTransport", "Transport", "open_serial"]

Progress = Callable[[int, int], None]  # done, of

_READ_BYTES = 4096
_AHEAD = 2  # requests without an answer: one is carried out, the next one is received
_LOAD_SECONDS = 5.0  # what a device may take for an image out of its own flash
_FLAG_COVERS = 32  # bytes of a request that are moved away while a flag arrives, and more
_REFUSALS = {
    Status.UNKNOWN_OP: "is not known to it; its gates are of another version",
    Status.LENGTH: "has the wrong length",
    Status.RANGE: "is outside the network's input or output",
    Status.STATE: "needs a loaded image, a run also an input, and outputs a run; "
    "the device may have been reset",
    Status.ORDER: "is not the next chunk of the image",
}
_LOAD_ERRORS = {
    LoadError.MAGIC: "it is not a ROM image",
    LoadError.VERSION: "it is of another version than the gates",
    LoadError.CONFIG: "it was compiled for another configuration than that of the gates",
    LoadError.HEADER_CRC: "its header is damaged",
    LoadError.SECTION_CRC: "a section is damaged",
    LoadError.SECTION_KIND: "it has a section unknown to the gates",
    LoadError.SECTION_LENGTH: "a section does not fit the memories",
    LoadError.CODE: "it has an invalid Huffman code",
}


class LinkError(RuntimeError):
    """The accelerator does not answer, refuses, or answers nonsense; one line."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a batch.

    Members
    -------
    outputs : (samples, output bytes)
    cycles : (samples,)
        Of the run alone.
    latency : float
        Seconds from the first byte of the first sample, which is sent alone, to its outputs.
    seconds : float
        From there to the last sample's.
    """

    outputs: NDArray[np.int8]
    cycles: NDArray[np.uint32]
    latency: float
    seconds: float

    @property
    def throughput(self) -> float:
        """Samples a second."""
        return len(self.outputs) / self.seconds if self.seconds > 0 else 0.0


class Transport(Protocol):
    """Bytes to and from a board."""

    def read(self, size: int, timeout: float) -> bytes:
        """What has arrived, 1 to `size` bytes; nothing when `timeout` seconds went by."""

    def write(self, raw: bytes) -> object:
        """Send everything."""


class SerialTransport:
    """A pyserial port as a transport."""

    def __init__(self, port: Any):
        self._port = port

    def read(self, size: int, timeout: float) -> bytes:
        self._port.timeout = timeout
        first: bytes = self._port.read(1)
        waiting = min(size - 1, self._port.in_waiting) if first else 0
        return first + self._port.read(waiting) if waiting > 0 else first

    def write(self, raw: bytes) -> object:
        return self._port.write(raw)

    def close(self) -> None:
        self._port.close()

    def __enter__(self) -> "SerialTransport":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_serial(port: str, baud: int) -> SerialTransport:
    """The serial port called `port`; `with` closes it."""
    import serial

    try:
        opened = serial.Serial(baudrate=baud, exclusive=True, write_timeout=10)
        # On some boards these lines select the flash, or reset something.
        opened.dtr = opened.rts = False
        opened.port = port
        opened.open()
        # USB adapters may keep what arrives for 16 ms; some can be told not to.
        with contextlib.suppress(AttributeError, NotImplementedError, OSError, ValueError):
            opened.set_low_latency_mode(True)
        return SerialTransport(opened)
    except (OSError, ValueError) as error:  # SerialException is an OSError
        reason = _reason(error)
        if getattr(error, "errno", None) in (errno.EAGAIN, errno.EBUSY):
            reason = "another program uses it"
        elif "Could not configure port" in str(error):
            reason = "no serial port"
        raise LinkError(f"{port}: {reason}") from None


class Link:
    """Loads and runs networks on the accelerator behind `transport`.

    A request that is not answered within `timeout` seconds is repeated, with the same tag, up to
    `retries` times: lost and damaged frames heal. A run may take `run_timeout` seconds.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout: float = 1.0,
        retries: int = 4,
        run_timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        if timeout <= 0:
            raise ValueError(f"timeout must be positive, not {timeout!r}")
        if retries < 0:
            raise ValueError(f"retries must be at least 0, not {retries!r}")
        if run_timeout < timeout:
            raise ValueError(f"run_timeout must be at least timeout, not {run_timeout!r}")
        self.repeated = 0  # requests that had to be sent again
        self._transport = transport
        self._timeout = timeout
        self._retries = retries
        self._run_timeout = run_timeout
        self._clock = clock
        self._deframer = Deframer(shortest=REPLY_HEADER)
        self._replies: list[bytes] = []
        self._tag = 0

    def hello(self) -> Hello:
        """Who is there, and what is loaded."""
        try:
            hello = Hello.unpack(self._ask(Op.HELLO))
        except ProtocolError:
            raise LinkError("the device is of another protocol version") from None
        if hello.version != PROTOCOL_VERSION:
            raise LinkError(
                f"the device speaks protocol version {hello.version}, not {PROTOCOL_VERSION}"
            )
        if not hello.lanes or hello.frame_bytes < OFFSET_BYTES + hello.lanes:
            raise LinkError(
                f"the device says what cannot be: {hello.lanes} lanes, frames of "
                f"{hello.frame_bytes} bytes"
            )
        return hello

    def status(self) -> Health:
        """What the accelerator is doing."""
        return self._health(self._ask(Op.STATUS))

    def load(self, image: bytes, progress: Progress | None = None) -> None:
        """Load a ROM image; `progress` is told the bytes sent so far, and all of them."""
        if len(image) < HEADER_BYTES:
            raise LinkError(f"image is {len(image)} bytes, shorter than its header")
        hello = self.hello()
        (config_hash,) = struct.unpack_from(">I", image, 8)
        if config_hash != hello.config_hash:
            raise LinkError(
                f"image is for configuration {config_hash:08x}, "
                f"the accelerator has {hello.config_hash:08x}"
            )
        sent = 0
        for payload in load_requests(image, hello.frame_bytes):
            health = self._health(self._ask(Op.LOAD, payload))
            self._check(health)
            sent = min(len(image), sent + hello.frame_bytes - 3)
            if progress:
                progress(sent, len(image))
        for _ in range(self._retries + 1):  # the end of an image takes its time to be checked
            if health.state == State.READY:
                return
            health = self.status()
            self._check(health)
        raise LinkError(f"the image ended, but the accelerator is still {_name(health.state)}")

    def infer(self, batch: NDArray[np.int8], progress: Progress | None = None) -> Batch:
        """Outputs of int8 inputs (samples, ...).

        The first sample is sent alone; from then on the next one arrives while one is run.
        """
        if batch.dtype != np.int8 or batch.ndim < 2:
            raise LinkError(
                f"inputs must be int8 with samples first, not {batch.dtype} of shape {batch.shape}"
            )
        hello = self._when_ready()
        flat = batch.reshape(len(batch), math.prod(batch.shape[1:]))
        if flat.shape[1] != hello.input_bytes:
            raise LinkError(
                f"a sample has {flat.shape[1]} values, the loaded network takes {hello.input_bytes}"
            )
        outputs = np.empty((len(flat), hello.output_bytes), np.int8)
        cycles = np.empty(len(flat), np.uint32)

        def keep(n: int, payload: bytes) -> None:
            if len(payload) != CYCLES_BYTES + hello.output_bytes:
                raise LinkError(
                    f"{len(payload) - CYCLES_BYTES} output bytes came, of {hello.output_bytes}"
                )
            cycles[n] = int.from_bytes(payload[:CYCLES_BYTES], "big")
            outputs[n] = np.frombuffer(payload, np.int8, offset=CYCLES_BYTES)
            if progress:
                progress(n + 1, len(flat))

        begun = self._clock()
        done = 0
        latency = 0.0
        while done < len(flat):
            keep(done, self._alone(self._parts(flat[done], hello)))
            latency = latency or self._clock() - begun
            done += 1
            # Until an answer is missing: that sample goes alone, as a run may use up its input.
            for payload in self._stream(flat[done:], hello, self._timeout + 4 * latency):
                keep(done, payload)
                done += 1
        return Batch(outputs, cycles, latency, self._clock() - begun)

    def _when_ready(self) -> Hello:
        """HELLO of an accelerator that has its image, which may just be on its way."""
        hello = self.hello()
        deadline = self._clock() + _LOAD_SECONDS
        while hello.state == State.LOADING and self._clock() < deadline:
            hello = self.hello()
        deadline = self._clock() + self._run_timeout
        while hello.state == State.RUNNING and self._clock() < deadline:  # for another host
            hello = self.hello()
        if hello.state == State.FAILED:
            self._check(Health(state=hello.state, load_error=hello.load_error, dropped=0))
        if hello.state != State.READY:
            hint = "" if hello.state == State.RUNNING else "; load an image first"
            raise LinkError(f"the accelerator is {_name(hello.state)}{hint}")
        return hello

    def _parts(self, sample: NDArray[np.int8], hello: Hello) -> Iterator[tuple[Op, bytes]]:
        """The requests that carry a sample; the last one is INFER."""
        raw = sample.tobytes()
        for payload in input_requests(raw, frame_bytes=hello.frame_bytes, lanes=hello.lanes):
            ends = int.from_bytes(payload[:OFFSET_BYTES], "big") + len(payload) - OFFSET_BYTES
            yield Op.INFER if ends == len(raw) else Op.INPUT, payload

    def _alone(self, parts: Iterator[tuple[Op, bytes]]) -> bytes:
        """The reply to a sample, each request of which is repeated until it is answered."""
        for op, payload in parts:
            if op == Op.INFER:
                return self._infer(payload)
            self._ask(op, payload)
        raise AssertionError("a sample ends with INFER")

    def _stream(self, samples: NDArray[np.int8], hello: Hello, timeout: float) -> Iterator[bytes]:
        """Replies to samples, whose requests are sent one ahead; ends early when one is missing."""
        parts = (part for sample in samples for part in self._parts(sample, hello))
        waiting: deque[Request] = deque()
        while True:
            while len(waiting) < _AHEAD and (part := next(parts, None)) is not None:
                ahead = waiting[-1] if waiting else None
                waiting.append(self._request(*part))
                self._send(waiting[-1], behind=ahead)
            if not waiting:
                return
            reply = self._await(waiting[0], timeout)
            if reply is None:
                self.repeated += 1
                return
            request = waiting.popleft()
            payload = self._accept(reply)
            if request.op == Op.INFER:
                yield payload

    def _infer(self, data: bytes) -> bytes:
        """Run once, patient while the accelerator says that it is running; the reply's payload."""
        request = self._request(Op.INFER, data)
        deadline = self._clock() + self._run_timeout
        for attempt in range(self._retries + 1):
            self.repeated += attempt > 0
            self._send(request)
            reply = self._await(request)
            while reply is None and self._clock() < deadline:
                if self.status().state != State.RUNNING:
                    break  # the reply was lost: ask for it again
                reply = self._await(request)
            if reply is not None:
                return self._accept(reply)
            if self._clock() >= deadline:
                raise LinkError(f"the run did not end within {self._run_timeout:g} s")
        raise self._silence(Op.INFER)

    def _ask(self, op: Op, payload: bytes = b"") -> bytes:
        """The payload of the reply to a request."""
        request = self._request(op, payload)
        for attempt in range(self._retries + 1):
            self.repeated += attempt > 0
            self._send(request)
            reply = self._await(request)
            if reply is not None:
                return self._accept(reply)
        raise self._silence(op)

    def _request(self, op: Op, payload: bytes = b"") -> Request:
        request = Request(op, self._tag, payload)
        self._tag = (self._tag + 1) & 0xFF
        return request

    def _send(self, request: Request, behind: Request | None = None) -> None:
        """Send a request; flags cover the time in which the one that it is sent behind is moved."""
        flags = 0 if behind is None else len(behind.payload) // _FLAG_COVERS + 2
        try:
            self._transport.write(bytes((FLAG,)) * flags + request.frame())
        except OSError as error:
            raise LinkError(f"the link broke: {_reason(error)}") from None

    def _await(self, request: Request, timeout: float | None = None) -> Reply | None:
        """The reply to `request`; those to others, which come late, are dropped."""
        deadline = self._clock() + (self._timeout if timeout is None else timeout)
        while True:
            while self._replies:
                try:
                    reply = Reply.parse(self._replies.pop(0))
                except ProtocolError:
                    continue  # an echo, for example
                if (reply.op, reply.tag) == (request.op, request.tag):
                    return reply
            left = deadline - self._clock()
            if left <= 0:
                return None
            try:
                raw = self._transport.read(_READ_BYTES, left)
            except OSError as error:
                raise LinkError(f"the link broke: {_reason(error)}") from None
            if not raw:
                return None
            self._replies += self._deframer.push(raw)

    def _accept(self, reply: Reply) -> bytes:
        if reply.status == Status.OK:
            return reply.payload
        reason = _REFUSALS.get(Status(reply.status)) if reply.status in {*Status} else None
        name = Op(reply.op).name
        raise LinkError(f"{name} {reason or f'was refused with unknown status {reply.status}'}")

    def _silence(self, op: Op) -> LinkError:
        heard = self._deframer.dropped
        hint = f"; {heard} damaged frames came, check the baud rate" if heard else ""
        if op == Op.HELLO and not heard:
            hint = "; is this the board's UART, and the bitstream loaded?"
        return LinkError(f"no answer to {op.name} in {self._retries + 1} attempts{hint}")

    def _health(self, payload: bytes) -> Health:
        try:
            return Health.unpack(payload)
        except ProtocolError as error:
            raise LinkError(str(error)) from None

    def _check(self, health: Health) -> None:
        if health.state == State.FAILED:
            known = health.load_error in {*LoadError}
            reason = _LOAD_ERRORS.get(LoadError(health.load_error)) if known else None
            raise LinkError(
                f"the accelerator refused the image: {reason or f'error {health.load_error}'}"
            )


def _name(state: int) -> str:
    return State(state).name.lower() if state in {*State} else f"in unknown state {state}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # pyserial puts a sentence around it
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
