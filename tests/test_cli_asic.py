"""``prunus verilog --target asic``: its files, its two tables, and a line for every mistake."""

import json

import pytest
import test_cli
from support import data_dir, needs_data
from test_liberty import INVERTER, NAND, SMALL, library

from prunus.flow import cli
from prunus.sim.lint import lint

ENGINE = ("verilog", "--engine", "eie", "--pes", "2", "--acc-rows", "4", "--act-word", "8")


@pytest.fixture
def run(capsys):
    """Calls the command line: status, standard output, standard error."""

    def call(*arguments):
        capsys.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return call


def test_a_build_with_its_image_in_rom(run, tmp_path):
    test_cli.write_model(tmp_path / "m.tflite")
    assert run("compile", tmp_path / "m.tflite", "-o", tmp_path / "b", "--pes", "2")[0] == 0
    folder = tmp_path / "v"
    arguments = ("verilog", tmp_path / "b", "-o", folder, "--target", "asic", "--rom")
    status, out, _ = run(*arguments, "--json", "--sram-bits", "256")
    found = json.loads(out)
    assert status == 0 and found["top"] == "accelerator" and "area" not in found
    names = ["accelerator.v", "image.bin", "image.hex", "memories.v", "registers.v"]
    assert sorted(path.name for path in folder.iterdir()) == names
    sources = [folder / name for name in names if name.endswith(".v")]
    assert lint(sources, "accelerator") == []

    memories = {memory["name"]: memory for memory in found["memories"]}
    size = (folder / "image.bin").stat().st_size
    rom = dict(name="rom.rows", kind="rom", width=8, depth=size, parts=0, count=1, bits=8 * size)
    assert memories["rom.rows"] == rom
    weights = memories["eie.array.pe_*.weights"]
    assert (weights["kind"], weights["count"]) == ("ram_1rw", 2)
    assert weights["bits"] == 2 * weights["width"] * weights["depth"]
    for memory in found["memories"]:
        if not memory["name"].endswith(".storage"):  # a queue is registers, whatever its size
            small = memory["width"] * memory["depth"] < 256
            assert (memory["kind"] == "registers") == small
    assert {memory["kind"] for memory in found["memories"]} == {
        "ram_1r1w", "ram_1rw", "rom", "registers"
    }  # fmt: skip


def test_area_in_gates(run, tmp_path):
    (tmp_path / "small.lib").write_text(SMALL)
    arguments = (*ENGINE, "--target", "asic", "--liberty", tmp_path / "small.lib")
    status, out, err = run(*arguments, "-o", tmp_path / "v", "--json")
    assert status == 0, err
    area = json.loads(out)["area"]
    assert area["unit"] == {"cell": "NAND", "area": 1.5}
    groups = {group["name"]: group for group in area["groups"]}
    assert groups["pe"]["count"] == 2 and groups["pe"]["registers"] > 6 * 200
    total = sum(group["area"] for group in area["groups"])
    assert area["total"]["area"] == pytest.approx(total)  # rounded, each
    assert area["total"]["gate_equivalents"] == pytest.approx(total / 1.5, abs=0.1)


def test_tables(run, tmp_path):
    status, out, _ = run(*ENGINE, "--target", "asic", "-o", tmp_path / "v")
    lines = out.splitlines()
    assert status == 0 and any(line.startswith("pe_*.weights ") for line in lines)
    assert any(line.startswith("in macros ") for line in lines)


@needs_data
@pytest.mark.slow
def test_area_in_a_real_library(run, tmp_path):
    liberty = data_dir() / "liberty" / "nangate45_typ.lib.gz"
    if not liberty.is_file():
        pytest.skip("PRUNUS_DATA has no liberty files")
    status, out, _ = run(*ENGINE, "--target", "asic", "--liberty", liberty, "-o", tmp_path / "v")
    assert status == 0 and "A gate equivalent is a NAND2_X1 of 0.798 um2." in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "chip"], "--target must be fpga or asic, not 'chip'"),
        (["--liberty", "x.lib"], "--liberty goes with --target asic"),
        (["--sram-bits", "0"], "--sram-bits goes with --target asic"),
        (["--target", "asic", "--sram-bits", "-1"], "sram_bits must not be negative, not -1"),
        (["--target", "asic", "--liberty", "none.lib"], "none.lib: cannot be read (No such file"),
        (["--target", "asic", "--liberty", "."], ".: cannot be read (Is a directory)"),
        (["--target", "asic", "--liberty", "text.lib"], "text.lib: is not a liberty file"),
        (["--target", "asic", "--liberty", "inverter.lib"], "has no NAND of two inputs"),
        (["--target", "asic", "--liberty", "latchless.lib"], "latchless.lib: has no flip-flop"),
    ],
)
def test_refuses(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.lib").write_text("not one")
    (tmp_path / "inverter.lib").write_text(library(INVERTER))
    (tmp_path / "latchless.lib").write_text(library(INVERTER, NAND % "!(A&B)"))
    test_cli.refused(run, 2, message, *ENGINE, *arguments, "-o", tmp_path / "v")
    assert not (tmp_path / "v").exists()
