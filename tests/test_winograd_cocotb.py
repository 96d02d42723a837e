# amaranth: UnusedElaboratable=no
"""The Verilog of the Winograd core, with every kind of multiplier."""

import json

import pytest
from amaranth import Fragment
from test_multiplier import Ecp5, Ice40, vendor_model

from prunus.hw.winograd.core import WinogradCore
from prunus.sim import verilator
from prunus.sim.generate import to_verilog
from prunus.sim.lint import lint

F2 = dict(outputs=2, filters=1, passes=1, channels=8, weight_depth=64, word=4, lanes=2)
F4_BY_ROWS = dict(outputs=4, filters=1, passes=6, channels=8, weight_depth=64, word=4, lanes=2)
F2_BY_ROWS = F4_BY_ROWS | dict(outputs=2, passes=4)
F4_BY_HALVES = F4_BY_ROWS | dict(passes=2)


class Placed(WinogradCore):
    """The core, elaborated for a platform that the generator does not have."""

    platform = None

    def elaborate(self, platform):
        return Fragment.get(super().elaborate(self.platform), self.platform)


@pytest.mark.parametrize(
    ("part", "block", "settings"),
    [
        (Ecp5, "MULT18X18D", F2),
        (Ice40, "SB_MAC16", F4_BY_ROWS),
        (Ice40, "SB_MAC16", F2_BY_ROWS),
        (None, "*", F4_BY_ROWS),
        (None, "*", F4_BY_HALVES),
    ],
)
def test_core(part, block, settings, tmp_path):
    core = Placed(**settings, map_depth=128)
    core.platform = part and part()
    text = to_verilog(core, "winograd_core")
    assert block in text
    model = verilator.build([text, *(vendor_model(part) if part else [])], "winograd_core")
    env = {"SETTINGS": json.dumps(settings | {"map_depth": 128})}
    verilator.run(model, "benches.winograd_core", env=env, work_dir=tmp_path)


@pytest.mark.parametrize("settings", [F2, F4_BY_ROWS, F2_BY_ROWS, dict(filters=2, weight_depth=64)])
def test_core_is_clean(settings):
    assert lint([to_verilog(WinogradCore(**settings), "winograd_core")], "winograd_core") == []
