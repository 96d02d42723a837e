# amaranth: UnusedElaboratable=no
"""The area of small designs, in a library whose cells can be counted by hand."""

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from support import data_dir, needs_data
from test_liberty import BUFFER, FLIP_FLOP, INVERTER, LATCH, NAND, NOR, SMALL, library

from prunus.flow.area import measure
from prunus.flow.liberty import LibertyError, read_library
from prunus.flow.macros import Macro, list_macros
from prunus.hw.asic import AsicTarget
from prunus.hw.bank import Bank
from prunus.sim.generate import to_verilog


class Nand(wiring.Component):
    """A registered NAND."""

    a: In(1)
    b: In(1)
    o: Out(1)

    def elaborate(self, platform):
        m = Module()
        o = Signal(reset_less=True)
        m.d.sync += o.eq(~(self.a & self.b))
        m.d.comb += self.o.eq(o)
        return m


class Pair(wiring.Component):
    """Two of them, a memory each of SRAM and of flip-flops, and an inverter at the output."""

    a: In(2)
    b: In(2)
    o: Out(2)
    r_addr: In(7)
    rows: Out(8)
    row: Out(1)

    def elaborate(self, platform):
        m = Module()
        for n in range(2):
            m.submodules[f"nand_{n}"] = nand = Nand()
            m.d.comb += [nand.a.eq(self.a[n]), nand.b.eq(self.b[n])]
            m.d.comb += self.o[n].eq(~nand.o if n else nand.o)
        m.submodules.sram = sram = Bank(width=8, depth=128)
        m.submodules.small = small = Bank(width=1, depth=2)
        for bank, data in ((sram, self.rows), (small, self.row)):
            m.d.comb += [
                bank.r_addr.eq(self.r_addr),
                bank.r_en.eq(1),
                bank.w_addr.eq(self.r_addr),
                bank.w_data.eq(self.a),
                bank.w_en.eq(self.b[0]),
                data.eq(bank.r_data),
            ]
        return m


@pytest.fixture(scope="module")
def verilog():
    return to_verilog(Pair(), "pair", AsicTarget(), initial=False)


def test_gates_are_counted_by_submodule(tmp_path, verilog):
    (tmp_path / "small.lib").write_text(SMALL)
    area = measure(verilog, "pair", read_library(tmp_path / "small.lib"))
    groups = {group.name: group for group in area.groups}
    nands = groups["nand"]
    assert (nands.count, nands.registers, nands.combinational) == (2, 2 * 6, 2 * 1.5)
    assert area.gates(nands) == 10
    assert (groups["(top)"].registers, groups["(top)"].combinational) == (0, 1)  # the inverter
    assert groups["sram"].area == 0
    assert groups["small"].registers == 3 * 6  # two rows, and what was read
    assert groups["small"].combinational > 0
    assert area.total.area == sum(group.area for group in area.groups)
    told = area.as_dict()
    assert told["unit"] == {"cell": "NAND", "area": 1.5}
    assert told["total"]["gate_equivalents"] == round(area.total.area / 1.5, 1)


def test_a_library_without_a_fitting_flip_flop_is_refused(tmp_path, verilog):
    """It has one, but its next state is that of two pins."""
    enabled = FLIP_FLOP.replace('next_state : "D"', 'next_state : "D E"').replace(
        "pin (C)", "pin (E) { direction : input; }\n    pin (C)"
    )
    text = library(INVERTER, BUFFER, NAND % "!(A&B)", NOR, enabled, LATCH)
    (tmp_path / "x.lib").write_text(text)
    with pytest.raises(LibertyError, match=r"x\.lib: has no cell for a register: D flip-flops "):
        measure(verilog, "pair", read_library(tmp_path / "x.lib"))


def test_a_library_that_nothing_can_be_mapped_to_is_refused(tmp_path, verilog):
    (tmp_path / "x.lib").write_text(library(NAND % "!(A&B)", FLIP_FLOP))
    with pytest.raises(LibertyError, match=r"x\.lib: ABC cannot map logic to its cells; it needs"):
        measure(verilog, "pair", read_library(tmp_path / "x.lib"))


def test_macros_are_listed_by_kind(verilog):
    assert list_macros(verilog, "pair") == [
        Macro("sram", "ram_1r1w", 8, 128, 1, 1),
        Macro("small", "registers", 1, 2, 1, 1),
    ]
    assert list_macros(verilog, "pair")[0].bits == 1024


@needs_data
@pytest.mark.slow  # a WebAssembly Yosys takes a minute
@pytest.mark.parametrize("name", ["nangate45_typ", "sky130hd_tt"])
def test_real_libraries(verilog, name):
    path = data_dir() / "liberty" / f"{name}.lib.gz"
    if not path.is_file():
        pytest.skip("PRUNUS_DATA has no liberty files")
    area = measure(verilog, "pair", read_library(path))
    (nands,) = [group for group in area.groups if group.name == "nand"]
    assert 8 < area.gates(nands) < 20
    assert 20 < area.gates(area.total) < 60
