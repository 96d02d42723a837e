import random

import pytest
from amaranth.lib.crc import catalog

from prunus.hw.host.frames import ESCAPE, FLAG, Deframer, encode, fcs16

AWKWARD = [
    b"",
    bytes([FLAG]),
    bytes([ESCAPE]),
    bytes([FLAG]) * 50,
    bytes([ESCAPE, FLAG, 0x5E, 0x5D, 0x20]) * 9,
    bytes(range(256)),
]


def test_fcs_is_the_one_of_the_gates():
    gates = catalog.CRC16_IBM_SDLC(8)
    rng = random.Random(1)
    for size in [*range(20), 1000]:
        raw = rng.randbytes(size)
        assert fcs16(raw) == gates.compute(raw)


@pytest.mark.parametrize("contents", AWKWARD)
def test_round_trip(contents):
    raw = encode(contents)
    assert raw[0] == raw[-1] == FLAG and FLAG not in raw[1:-1]
    deframer = Deframer(shortest=0)
    assert deframer.push(raw[:3]) + deframer.push(raw[3:]) == [contents]
    assert deframer.dropped == 0


def test_an_fcs_is_escaped_too():
    for number in range(1 << 16):
        contents = number.to_bytes(2, "big")
        if {*fcs16(contents).to_bytes(2, "big")} <= {FLAG, ESCAPE}:
            break
    assert Deframer().push(encode(contents)) == [contents]


def test_flags_may_be_shared_and_repeated():
    first, second = encode(b"one"), encode(b"two")
    deframer = Deframer()
    assert deframer.push(first + second[1:] + b"\x7e\x7e" + first) == [b"one", b"two", b"one"]
    assert deframer.dropped == 0


def test_every_single_bit_error_is_dropped():
    good = encode(b"\x03\x11 contents")
    for position in range(1, len(good) - 1):
        for bit in range(8):
            bad = bytearray(good)
            bad[position] ^= 1 << bit
            deframer = Deframer()
            assert deframer.push(bytes(bad)) == []
            assert deframer.push(good) == [b"\x03\x11 contents"]
            assert deframer.dropped >= 1


@pytest.mark.parametrize(
    "raw",
    [
        b"noise\x7e",
        encode(b"cut short")[:-4] + b"\x7e",
        encode(b"1234567890a"),
        encode(b"1"),
        b"\x7e\x7d\x7e",
        encode(b"abort")[:-1] + b"\x7d\x7e",
        encode(bytes(5000)),
    ],
)
def test_a_damaged_frame_does_not_harm_the_next(raw):
    deframer = Deframer(longest=10)
    assert deframer.push(raw + encode(b"1234567890")) == [b"1234567890"]
    assert deframer.dropped == 1


def test_limits_are_checked():
    with pytest.raises(ValueError, match=r"^shortest must be at least 0, not -1$"):
        Deframer(shortest=-1)
    with pytest.raises(ValueError, match=r"^longest must be at least shortest \(2\), not 1$"):
        Deframer(longest=1)
