"""The suffix of files for DFU boot loaders, against the specification's own words."""

import pytest

from prunus.boards.dfu import with_suffix


def crc(data):
    """Bit by bit: the polynomial of Ethernet, all ones to begin with, nothing at the end."""
    value = 0xFFFF_FFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB8_8320 if value & 1 else 0)
    return value


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 3])
def test_suffix(content):
    file = with_suffix(content, 0x1209, 0x5AF0)
    assert file.startswith(content) and len(file) == len(content) + 16
    suffix = file[len(content) :]
    numbers = [int.from_bytes(suffix[n : n + 2], "little") for n in range(0, 8, 2)]
    assert numbers == [0xFFFF, 0x5AF0, 0x1209, 0x0100]  # release, product, vendor, DFU
    assert suffix[8:12] == b"UFD\x10"
    assert int.from_bytes(suffix[12:], "little") == crc(file[:-4])
