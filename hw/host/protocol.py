"""What the host says and what the accelerator answers, declared once for gates and software.

A request is ``op 8 | tag 8 | payload``, its reply ``op + 0x80 8 | tag 8 | status 8 | payload``;
fields of several bytes are big-endian. A reply with a status other than ``OK`` has no payload.
docs/host-link.md draws every frame. No HDL is imported here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from ..config import Config
from .frames import encode

__all__ = [
    "CYCLES_BYTES",
    "HELLO_LAYOUT",
    "OFFSET_BYTES",
    "OUTPUT_BYTES",
    "PROTOCOL_VERSION",
    "REPLY",
    "REPLY_HEADER",
    "REQUEST_HEADER",
    "STATUS_LAYOUT",
    "Health",
    "Hello",
    "Op",
    "ProtocolError",
    "Reply",
    "Request",
    "State",
    "Status",
    "hello_constants",
    "input_requests",
    "load_requests",
    "output_requests",
]

PROTOCOL_VERSION = 2
REPLY = 0x80  # set in the op of a reply
REQUEST_HEADER = 2  # op, tag
REPLY_HEADER = 3  # op, tag, status
OFFSET_BYTES = 3  # LOAD, INPUT and INFER: offset 24 | data
OUTPUT_BYTES = 5  # OUTPUT: offset 24 | count 16
CYCLES_BYTES = 4  # reply to RUN and INFER: cycles 32, and to INFER | data


class Op(IntEnum):
    """What a request asks for."""

    HELLO = 1
    LOAD = 2
    INPUT = 3
    RUN = 4
    OUTPUT = 5
    STATUS = 6
    INFER = 7


class Status(IntEnum):
    """Whether a request was carried out, and if not, why."""

    OK = 0
    UNKNOWN_OP = 1
    LENGTH = 2
    RANGE = 3
    STATE = 4
    ORDER = 5


class State(IntEnum):
    """What the accelerator is doing."""

    EMPTY = 0
    LOADING = 1
    READY = 2
    RUNNING = 3
    FAILED = 4


class ProtocolError(ValueError):
    """A frame with a good check sequence that makes no sense."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a request frame holds."""

    op: int
    tag: int
    payload: bytes = b""

    def frame(self) -> bytes:
        """Bytes on the wire.

        >>> Request(Op.HELLO, 0x11).frame().hex()
        '7e011197177e'
        """
        return encode(bytes((self.op, self.tag)) + self.payload)

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """The request in a frame's contents."""
        if len(contents) < REQUEST_HEADER:
            raise ProtocolError(f"request is {len(contents)} bytes, of at least {REQUEST_HEADER}")
        return cls(contents[0], contents[1], contents[REQUEST_HEADER:])


@dataclass(frozen=True, slots=True)
class Reply:
    """What a reply frame holds; ``op`` is the one of the request."""

    op: int
    tag: int
    status: int = Status.OK
    payload: bytes = b""

    def frame(self) -> bytes:
        """Bytes on the wire."""
        return encode(bytes((self.op | REPLY, self.tag, self.status)) + self.payload)

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """The reply in a frame's contents."""
        if len(contents) < REPLY_HEADER:
            raise ProtocolError(f"reply is {len(contents)} bytes, of at least {REPLY_HEADER}")
        op, tag, status = contents[:REPLY_HEADER]
        if not op & REPLY:
            raise ProtocolError(f"reply has op 0x{op:02x}, without the bit 0x{REPLY:02x}")
        return cls(op & ~REPLY, tag, status, contents[REPLY_HEADER:])


# Fields of the payloads with their bytes, in the order in which they are sent.
STATUS_LAYOUT = (("state", 1), ("load_error", 1), ("dropped", 1))
HELLO_LAYOUT = (
    ("version", 1),
    ("config_hash", 4),
    ("image_id", 4),
    ("load_cycles", 4),
    ("lanes", 1),
    ("input_bytes", 3),
    ("output_bytes", 3),
    ("frame_bytes", 2),
    *STATUS_LAYOUT,
)


class _Fields:
    """Payload of fixed fields, given by the subclass with their bytes."""

    __slots__ = ()
    LAYOUT: ClassVar[tuple[tuple[str, int], ...]]

    def pack(self) -> bytes:
        """The payload's bytes."""
        return b"".join(getattr(self, name).to_bytes(size, "big") for name, size in self.LAYOUT)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The fields of a payload."""
        expected = sum(size for _, size in cls.LAYOUT)
        if len(payload) != expected:
            raise ProtocolError(
                f"{cls.__name__} payload must be {expected} bytes, not {len(payload)}"
            )
        fields = {}
        for name, size in cls.LAYOUT:
            fields[name] = int.from_bytes(payload[:size], "big")
            payload = payload[size:]
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(_Fields):
    """Payload of the reply to ``HELLO``: who the accelerator is and what is loaded.

    ``frame_bytes`` is the longest payload of a request and the most data of a reply, ``lanes``
    the bytes to which ``INPUT`` offsets are aligned, ``dropped`` the damaged frames received so
    far, modulo 256. ``image_id``, the sizes and ``load_cycles``, which the image took to load, mean
    something in the states READY and RUNNING.
    """

    LAYOUT: ClassVar = HELLO_LAYOUT
    version: int = PROTOCOL_VERSION
    config_hash: int
    image_id: int
    load_cycles: int
    lanes: int
    input_bytes: int
    output_bytes: int
    frame_bytes: int
    state: int
    load_error: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health(_Fields):
    """Payload of the replies to ``STATUS`` and ``LOAD``."""

    LAYOUT: ClassVar = STATUS_LAYOUT
    state: int
    load_error: int
    dropped: int


def load_requests(image: bytes, frame_bytes: int) -> Iterator[bytes]:
    """Payloads of the ``LOAD`` requests that carry an image."""
    return _chunks(image, frame_bytes - OFFSET_BYTES)


def input_requests(vector: bytes, *, frame_bytes: int, lanes: int) -> Iterator[bytes]:
    """Payloads of the ``INPUT`` requests, or the last of ``INFER``, that carry an input vector."""
    room = (frame_bytes - OFFSET_BYTES) // lanes * lanes
    if not room:
        raise ValueError(f"frame_bytes must be at least {lanes + OFFSET_BYTES}, not {frame_bytes}")
    return _chunks(vector, room)


def output_requests(output_bytes: int, frame_bytes: int) -> Iterator[bytes]:
    """Payloads of the ``OUTPUT`` requests that fetch one output vector."""
    for offset in range(0, output_bytes, frame_bytes):
        count = min(frame_bytes, output_bytes - offset)
        yield offset.to_bytes(OFFSET_BYTES, "big") + count.to_bytes(2, "big")


def hello_constants(config: Config) -> dict[str, int]:
    """The fields of ``HELLO`` that the gates of a configuration have as constants."""
    return {
        "version": PROTOCOL_VERSION,
        "config_hash": config.hash,
        "lanes": config.lanes,
        "frame_bytes": config.frame_bytes,
    }


def _chunks(data: bytes, size: int) -> Iterator[bytes]:
    for offset in range(0, len(data), size):
        yield offset.to_bytes(OFFSET_BYTES, "big") + data[offset : offset + size]
