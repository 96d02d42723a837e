"""docs/host-link.md says what the code does."""

import re

from host_model import Device, small_config
from support import ROOT

from prunus.hw.host.frames import fcs16
from prunus.hw.host.protocol import HELLO_LAYOUT, Op, State, Status
from prunus.hw.image import LoadError

PAGE = (ROOT / "docs" / "host-link.md").read_text()


def test_check_value():
    assert f"0x{fcs16(b'123456789'):04X}" in PAGE


def test_codes():
    for enum in (Status, LoadError):
        for member in enum:
            assert f"| {member.value} | {member.name} |" in PAGE
    for op in Op:
        assert f"### {op.name} 0x{op:02X}: " in PAGE
    for state in State:
        assert f"{state.value} {state.name}" in PAGE


def test_hello_has_the_drawn_size():
    drawing = PAGE[PAGE.index("### HELLO") : PAGE.index("### LOAD")]
    bits = [
        int(n)
        for row in re.findall(r"\|.*\|", drawing)
        for n in re.findall(r" (8|16|24|32) +\|", row)
    ]
    assert sum(bits) == 8 * sum(size for _, size in HELLO_LAYOUT)


def test_example():
    device = Device(small_config(), image_bytes=5, inputs=(3, 2), outputs=(3, 2))
    lines = re.findall(r"^(host|accelerator) +((?:[0-9A-F]{2} ?)+)$", PAGE, re.MULTILINE)
    assert len(lines) == 16
    for (who, asked), (_, answered) in zip(lines[::2], lines[1::2], strict=True):
        assert who == "host"
        assert device.receive(bytes.fromhex(asked)).hex(" ").upper() == answered
