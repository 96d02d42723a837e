import dataclasses
import re

import pytest
from host_model import small_config

from prunus.hw.host.protocol import (
    HELLO_LAYOUT,
    STATUS_LAYOUT,
    Health,
    Hello,
    Op,
    ProtocolError,
    Reply,
    Request,
    Status,
    hello_constants,
    input_requests,
    load_requests,
    output_requests,
)


def test_hello_round_trip():
    fields = {
        name: (0xA1B2C3D4 >> n) % (1 << 8 * size) for n, (name, size) in enumerate(HELLO_LAYOUT)
    }
    hello = Hello(**fields)
    assert dataclasses.asdict(hello) == fields
    assert Hello.unpack(hello.pack()) == hello
    assert hello.pack()[-3:] == Health(**{name: fields[name] for name, _ in STATUS_LAYOUT}).pack()


def test_hello_constants_are_those_of_the_configuration():
    config = small_config()
    assert hello_constants(config) == {
        "version": 2,
        "config_hash": config.hash,
        "lanes": 2,
        "frame_bytes": 32,
    }


def test_payload_of_the_wrong_size():
    with pytest.raises(ProtocolError, match=r"^Health payload must be 3 bytes, not 2$"):
        Health.unpack(b"12")


def test_requests_and_replies_round_trip():
    request = Request(Op.OUTPUT, 0x7E, b"\x01\x02")
    assert Request.parse(bytes([5, 0x7E, 1, 2])) == request
    reply = Reply(Op.OUTPUT, 3, Status.RANGE, b"xyz")
    assert Reply.parse(bytes([0x85, 3, 3]) + b"xyz") == reply


@pytest.mark.parametrize(
    "parse, contents, message",
    [
        (Request.parse, b"\1", "request is 1 bytes, of at least 2"),
        (Reply.parse, b"\x81\0", "reply is 2 bytes, of at least 3"),
        (Reply.parse, b"\1\0\0", "reply has op 0x01, without the bit 0x80"),
    ],
)
def test_contents_that_make_no_sense(parse, contents, message):
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        parse(contents)


@pytest.mark.parametrize("size", [1, 28, 29, 30, 100])
def test_chunks_of_an_image(size):
    image = bytes(range(size))
    parts = list(load_requests(image, 32))
    assert all(len(part) <= 32 for part in parts)
    assert [int.from_bytes(part[:3], "big") for part in parts] == list(range(0, size, 29))
    assert b"".join(part[3:] for part in parts) == image


@pytest.mark.parametrize("size", [1, 28, 29, 100])
def test_chunks_of_an_input_are_aligned(size):
    parts = list(input_requests(bytes(range(size)), frame_bytes=32, lanes=8))
    assert [int.from_bytes(part[:3], "big") for part in parts] == list(range(0, size, 24))
    assert b"".join(part[3:] for part in parts) == bytes(range(size))


def test_spans_of_an_output():
    assert list(output_requests(70, 32)) == [
        bytes([0, 0, 0, 0, 32]),
        bytes([0, 0, 32, 0, 32]),
        bytes([0, 0, 64, 0, 6]),
    ]


def test_frames_that_hold_no_group():
    with pytest.raises(ValueError, match=r"^frame_bytes must be at least 35, not 32$"):
        list(input_requests(bytes(64), frame_bytes=32, lanes=32))
