"""docs/registers.md says what the code does."""

import re

import pytest
from support import ROOT

from prunus.hw.embed.registers import REGISTERS, Access, drawing
from prunus.hw.embed.top import BUSES
from prunus.hw.host.protocol import State
from prunus.hw.image import LoadError

PAGE = (ROOT / "docs" / "registers.md").read_text()


def section(register):
    """How the page describes a register."""
    rows = "\n".join(
        f"| {field.name} | {field.access.value} | {field.text} |" for field in register.fields
    )
    return (
        f"### {register.name} 0x{register.address:02X}\n\n{register.text}\n\n"
        f"```\n{drawing(register)}\n```\n\n| field | access | |\n| --- | --- | --- |\n{rows}\n"
    )


@pytest.mark.parametrize("register", REGISTERS, ids=lambda register: register.name)
def test_register(register):
    assert section(register) in PAGE


def test_nothing_else_is_described():
    assert re.findall(r"^### (\w+) 0x", PAGE, re.M) == [register.name for register in REGISTERS]


def test_pins():
    for pins, prefix, clock, reset in BUSES.values():
        for name in (clock, reset, *(f"{prefix}_{pin}" for pin in pins.PINS)):
            assert f"`{name}`" in PAGE
    for pin in ("tdata", "tkeep", "tlast", "tvalid", "tready"):
        assert f"`{pin}`" in PAGE


def test_codes():
    assert all(f"{state.value} {state.name}" in PAGE for state in State)
    assert all(f"| {error.value} | {error.name} |" in PAGE for error in LoadError)
    assert all(f"| {access.value} |" in PAGE for access in Access)
