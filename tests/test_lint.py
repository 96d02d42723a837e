"""Generated Verilog is clean for every reader, and the readers find what is wrong."""

import pytest

from prunus.hw.bank import Bank
from prunus.sim import tools
from prunus.sim.generate import to_verilog
from prunus.sim.lint import lint, read_with_icarus, read_with_yosys
from prunus.sim.verilator import BuildError

HANGING = """
module top(input clk, output reg [3:0] q);
  always @(posedge clk) q <= 5'd17 + missing;
endmodule
"""


def has_iverilog() -> bool:
    try:
        tools.find("iverilog")
    except tools.ToolMissing:
        return False
    return True


READERS = [
    lint,
    pytest.param(
        read_with_icarus, marks=pytest.mark.skipif(not has_iverilog(), reason="no iverilog")
    ),
    pytest.param(read_with_yosys, marks=pytest.mark.slow),  # a wheel's first run takes a minute
]


@pytest.mark.parametrize("reader", READERS)
def test_a_component_is_clean(reader):
    assert reader([to_verilog(Bank(width=16, depth=64), "bank")], "bank") == []


@pytest.mark.parametrize("reader", READERS)
def test_an_undeclared_name_is_found(reader):
    with pytest.raises(BuildError, match="missing"):
        found = reader([HANGING], "top")
        raise BuildError(f"warned: {found}")  # a warning would do


def test_lint_names_rule_and_line():
    text = "module top(input [3:0] a, output [1:0] y);\n  assign y = a;\nendmodule\n"
    (warning,) = lint([text], "top")
    assert warning.startswith("WIDTHTRUNC: top.v:2:")


def test_zeroed_memories_are_cleared_by_a_loop():
    text = to_verilog(Bank(width=16, depth=4096), "bank")
    assert "mem_clear_row < 4096" in text
    assert len(text.splitlines()) < 100
