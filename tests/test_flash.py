"""How a bitstream gets onto a board."""

import json

import pytest
from board_support import script

from prunus.boards import flash
from prunus.boards.build import BuildError
from prunus.boards.registry import BOARDS


def finished(folder, board, **image):
    fields = {"board": board, "clock_mhz": 24.0, "fmax_mhz": 30.0, "timing_met": True, "baud": 1,
              "seed": 1, "resources": {}, "critical_path": None, "bitstream": "top.x",
              "logs": {}, "tools": {}}  # fmt: skip
    (folder / "result.json").write_text(json.dumps(fields | image))
    for name in ("top.x", "top.dfu", "image.bin"):
        (folder / name).write_bytes(b"")
    return folder


def test_flash_commands(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    bitstream = str(tmp_path / "top.x")
    finished(tmp_path, "ulx3s-85f")
    assert flash.commands(tmp_path) == [["openFPGALoader", "-b", "ulx3s", "-m", bitstream]]
    assert flash.commands(tmp_path, keep=True)[0][3] == "-f"
    with pytest.raises(BuildError, match=r"was built for ulx3s-85f, not for icebreaker$"):
        flash.commands(tmp_path, BOARDS["icebreaker"])
    finished(tmp_path, "icebreaker")
    loader = ["openFPGALoader", "-b", "ice40_generic", "-f", bitstream]
    assert flash.flash(tmp_path, BOARDS["icebreaker"], dry_run=True) == [loader]
    with pytest.raises(BuildError, match=r"^openFPGALoader is missing: install "):
        flash.flash(tmp_path)
    script(programs, "iceprog", "sys.exit(0 if sys.argv[1].endswith('top.x') else 1)")
    assert flash.flash(tmp_path) == [["iceprog", bitstream]]
    script(programs, "openFPGALoader", "sys.exit(3)")
    with pytest.raises(BuildError, match=r"^openFPGALoader failed with exit status 3$"):
        flash.flash(tmp_path)


def test_an_image_goes_first(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    bitstream, image = str(tmp_path / "top.x"), str(tmp_path / "image.bin")
    finished(tmp_path, "ulx3s-85f", image="image.bin", image_offset=2 << 20)
    loader = ["openFPGALoader", "-b", "ulx3s"]
    expected = [[*loader, "-f", "-o", "2097152", image], [*loader, "-m", bitstream]]
    assert flash.flash(tmp_path, dry_run=True) == expected
    finished(tmp_path, "icebreaker", image="image.bin", image_offset=1 << 20)
    ran = tmp_path / "ran"
    script(programs, "iceprog", f"open({str(ran)!r}, 'a').write(' '.join(sys.argv[1:]) + '|')")
    flash.flash(tmp_path)
    assert ran.read_text() == f"-o 1048576 {image}|{bitstream}|"


@pytest.mark.parametrize(
    ("board", "expected", "keep"),
    [
        ("upduino3", "openFPGALoader -b ice40_generic -c ft232 -f top.x", None),
        ("tang-nano-9k", "openFPGALoader -b tangnano9k -m top.x", "-f"),
        ("colorlight-i5", "openFPGALoader -b colorlight-i5 -m top.x", "-f"),
        ("orangecrab-85f", "dfu-util -d 1209:5af0 -a 0 -D top.dfu", None),
    ],
)
def test_commands_of_other_boards(tmp_path, monkeypatch, board, expected, keep):
    monkeypatch.setenv("PATH", str(tmp_path))
    finished(tmp_path, board)
    [[*options, file]] = flash.flash(tmp_path, dry_run=True)
    assert " ".join([*options, file.removeprefix(f"{tmp_path}/")]) == expected
    [kept] = flash.flash(tmp_path, keep=True, dry_run=True)
    assert kept == [*options[:-1], keep or options[-1], file]
    with pytest.raises(BuildError, match=rf"^{options[0]} is missing: install .*\(Debian, Homeb"):
        flash.flash(tmp_path)


@pytest.mark.parametrize("board", BOARDS)
def test_every_board_can_be_programmed(tmp_path, board):
    finished(tmp_path, board)
    for keep in (False, True):
        assert flash.commands(tmp_path, keep=keep)[-1][-1].startswith(str(tmp_path / "top."))


@pytest.mark.parametrize(
    "damage",
    ["{", "[]", "null", "{}", {"resources": {"LUT": 3}}, {"critical_path": 3}, {"bitstream": 3},
     {"board": [1]}, {"logs": 3}, {"more": 1}],
)  # fmt: skip
def test_a_damaged_result(tmp_path, damage):
    finished(tmp_path, "icebreaker")
    if isinstance(damage, dict):
        fields = json.loads((tmp_path / "result.json").read_text())
        damage = json.dumps(fields | damage)
    (tmp_path / "result.json").write_text(damage)
    with pytest.raises(BuildError, match=r"result.json: damaged; run prunus build again$"):
        flash.commands(tmp_path)


def test_files_that_are_missing(tmp_path):
    for name in ("top.x", "image.bin"):
        finished(tmp_path, "icebreaker", image="image.bin", image_offset=1 << 20)
        (tmp_path / name).unlink()
        with pytest.raises(BuildError, match=rf"{name} is missing; run prunus build again$"):
            flash.commands(tmp_path)
