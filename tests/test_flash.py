"""How a bitstream gets onto a board."""

import json

import pytest
from board_support import script

from prunus.boards import flash
from prunus.boards.build import BuildError
from prunus.boards.registry import BOARDS


def finished(folder, board):
    fields = {"board": board, "clock_mhz": 24.0, "fmax_mhz": 30.0, "timing_met": True, "baud": 1,
              "seed": 1, "resources": {}, "critical_path": None, "bitstream": "top.x",
              "logs": {}, "tools": {}}  # fmt: skip
    (folder / "result.json").write_text(json.dumps(fields))
    return folder


def test_flash_commands(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    bitstream = str(tmp_path / "top.x")
    finished(tmp_path, "ulx3s-85f")
    assert flash.command(tmp_path) == ["openFPGALoader", "-b", "ulx3s", "-m", bitstream]
    assert flash.command(tmp_path, keep=True)[3] == "-f"
    with pytest.raises(BuildError, match=r"was built for ulx3s-85f, not for icebreaker$"):
        flash.command(tmp_path, BOARDS["icebreaker"])
    finished(tmp_path, "icebreaker")
    loader = ["openFPGALoader", "-b", "ice40_generic", "-f", bitstream]
    assert flash.flash(tmp_path, BOARDS["icebreaker"], dry_run=True) == loader
    with pytest.raises(BuildError, match=r"^openFPGALoader is missing: install "):
        flash.flash(tmp_path)
    script(programs, "iceprog", "sys.exit(0 if sys.argv[1].endswith('top.x') else 1)")
    assert flash.flash(tmp_path) == ["iceprog", bitstream]
    script(programs, "openFPGALoader", "sys.exit(3)")
    with pytest.raises(BuildError, match=r"^openFPGALoader failed with exit status 3$"):
        flash.flash(tmp_path)
