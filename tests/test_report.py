"""What nextpnr calls the parts of a chip, and what that comes to."""

import pytest

from prunus.boards.registry import BOARDS
from prunus.boards.report import overflow, resources


def utilization(**used):
    return {name: {"used": n, "available": has} for name, (n, has) in used.items()}


def test_gowin_counts_what_takes_a_lut():
    table = utilization(
        LUT4=(100, 8640), ALU=(50, 6480), RAM16SDP4=(3, 270), DFF=(76, 6480), BSRAM=(1, 26),
        MULT18X18=(2, 20), MULT9X9=(3, 40), MULT36X36=(1, 5), IOB=(4, 276),
    )  # fmt: skip
    assert resources(BOARDS["tang-nano-9k"], {"utilization": table}, "") == {
        "LUT": (100 + 50 + 8 * 3, 8640),
        "FF": (76, 6480),
        "BRAM": (1, 26),
        "DSP": (2 + 2 + 4, 20),  # half a block is one
    }


@pytest.mark.parametrize(("luts", "adders", "over"), [(8000, 640, False), (8000, 641, True)])
def test_gowin_overflow(luts, adders, over):
    log = f"Info: \t LUT4: {luts}/   8640    92%\nInfo: \t  ALU: {adders}/   6480     9%\n"
    found = overflow(BOARDS["tang-nano-9k"], log)
    assert found == ({"LUT": (luts + adders, 8640)} if over else {})
