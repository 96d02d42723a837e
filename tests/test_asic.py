# amaranth: UnusedElaboratable=no
"""Accelerators for standard cells: nothing depends on what registers and memories hold at first."""

import json
import re

import pytest
import test_accelerator
import test_accelerator_conv
import test_accelerator_winograd
import test_compact
from int8_graphs import samples

from prunus.compiler.options import Options
from prunus.flow.build import hex_text
from prunus.flow.compile import compile_graph
from prunus.flow.simulate import simulate
from prunus.flow.verilog import write_engine
from prunus.hw.accelerator import Accelerator
from prunus.hw.asic import MEMORIES, REGISTERS, AsicTarget
from prunus.hw.bank import Bank
from prunus.hw.deep_bank import DeepBank
from prunus.hw.rom import Rom
from prunus.sim import network, verilator
from prunus.sim.generate import to_verilog
from prunus.sim.lint import lint, read_with_yosys


def eie():
    return test_accelerator.make("sparse with codebooks")


def conv(case):
    make, options, _ = test_accelerator_conv.CASES[case]
    graph = make()
    return compile_graph(graph, options=options), samples(graph, 3)


def winograd():
    graph = test_accelerator_winograd.network()
    build = compile_graph(graph, options=Options(act_word=8, engine="winograd"))
    return build, samples(graph, 2)


def compact(make):
    graph = make()
    return compile_graph(graph, options=test_compact.COMPACT), samples(graph, 3)


CASES = {
    "eie": (eie, 1024),
    "eie and systolic, all SRAM": (lambda: conv("mixed"), 0),
    "depthwise, all SRAM": (lambda: conv("separable"), 0),
    "adder and tables, all SRAM": (lambda: conv("residual"), 0),
    "winograd, all SRAM": (winograd, 0),
    "compact": (lambda: compact(test_compact.separable), 1 << 20),
    "compact, all SRAM": (lambda: compact(test_compact.pools), 0),
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_depends_on_power_up(monkeypatch, case):
    """Registers, contents and the data of colliding reads are random; the reset brings order."""
    monkeypatch.setattr(network, "BURST", 8)  # so a reset takes 16 cycles, as docs/asic.md has it
    make, sram_bits = CASES[case]
    build, x = make()
    asic = AsicTarget(sram_bits)
    first = simulate(build, x, asic=asic, seed=1)
    assert first.bit_exact, first.first_mismatches[0]
    again = simulate(build, x, asic=asic, seed=2, stall=0.3)
    assert again.bit_exact, again.first_mismatches[0]
    assert again.cycles == first.cycles


def test_no_register_has_an_initial_value():
    build, _ = eie()
    asic = AsicTarget()
    verilog = to_verilog(Accelerator(build.config), "accelerator", asic, initial=False)
    assert "init" not in verilog
    assert re.findall(r"^ *reg .*= .*'.*", verilog, re.M) == []
    assert re.findall(r"^ *reg .*\[\d+:0\];$", verilog, re.M) == []  # no memory but in wrappers
    assert "MULT18X18D" not in verilog and "SB_" not in verilog
    sources = [verilog, MEMORIES, REGISTERS]
    assert lint(sources, "accelerator") == []
    assert read_with_yosys(sources, "accelerator") == []


@pytest.mark.parametrize(
    ("engine", "fields", "wrappers"),
    [
        ("systolic", {"rows": 4, "columns": 2, "depth": 32}, {"ram_1r1w"}),
        (
            "winograd",
            {"filters": 1, "channels": 4, "lanes": 1, "word": 4, "weight_depth": 32},
            {"ram_1r1w"},  # weights may be written beside a layer here
        ),
    ],
)
def test_cores_with_queues(tmp_path, engine, fields, wrappers):
    files = write_engine(engine, tmp_path, asic=AsicTarget(0), **fields)
    assert [path.name for path in files[1:]] == ["memories.v", "registers.v"]
    assert set(re.findall(r"^ *prunus_(\w+) #", files[0].read_text(), re.M)) == wrappers
    assert lint(files, files[0].stem) == []


@pytest.mark.parametrize(
    ("bank", "wrapper"),
    [
        (Bank(width=8, depth=127), "registers"),
        (Bank(width=8, depth=128), "ram_1r1w"),
        (Bank(width=8, depth=128, exclusive=True), "ram_1rw"),
        (DeepBank(width=8, depth=2048, exclusive=True), "ram_1rw"),
    ],
)
def test_small_banks_are_registers(bank, wrapper):
    verilog = to_verilog(bank, "bank", AsicTarget(), initial=False)
    assert re.findall(r"^ *prunus_(\w+) #", verilog, re.M) == [wrapper]
    assert lint([verilog, MEMORIES, REGISTERS], "bank") == []


def test_sizes_are_checked():
    with pytest.raises(ValueError, match=r"^sram_bits must not be negative, not -1$"):
        AsicTarget(-1)


def test_a_rom_is_filled_from_its_file(tmp_path):
    contents = bytes(range(3, 250, 7))
    (tmp_path / "image.hex").write_text(hex_text(contents))
    verilog = to_verilog(Rom(contents), "rom", AsicTarget(), initial=False)
    model = verilator.build([verilog, MEMORIES], "rom", random_start=True)
    settings = {"SETTINGS": json.dumps({"contents": contents.hex()})}
    verilator.run(model, "benches.rom", env=settings, work_dir=tmp_path, seed=3)
