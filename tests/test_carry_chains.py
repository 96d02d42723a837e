"""boards.carry_chains: fewer tables for the same bits, proven by Yosys' SAT solver."""

import copy

import netlist_support
import pytest

from prunus.boards.carry_chains import fold_carry_chains

# Each line is an adder behind registers, with another kind of gate in front of it.
SUMS = {
    "plain": "a + b",
    "minus": "a - b",
    "either": "s ? a - b : a + b",
    "turned": "a + (b ^ {8{s}}) + s",
    "selected": "a + (s ? b : c)",
    "gated": "(a & {8{s}}) + (b & {8{t}})",
    "gated_minus": "(b & {8{t}}) - a",
    "three": "a + ((b ^ c) & d)",
    "never": "a + ~((b ^ c) & d)",
    "negated": "a - (b & c)",
    "both": "(a ^ b) + (c & d)",
    "one": "a + 1",
    "shifted": "{a, 3'b0} + {b ^ c, 1'b1}",
    "less": "(a & b) < (c & d)",
    "twice": "a + {8{b[0] & c[0]}}",
}  # Tables that go at least.
LEAST = {"turned": 8, "selected": 8, "gated": 16, "three": 8, "negated": 8, "both": 16}


def design(sums: dict[str, str], behind: bool) -> str:
    """Registers and sums, with registers ``behind`` them or without."""
    kind = "reg" if behind else "wire"
    ports = "".join(f", output {kind} [12:0] {name}" for name in sums)
    body = "".join(
        f"  always @(posedge clk) {name} <= {total};\n"
        if behind
        else f"  assign {name} = {total};\n"
        for name, total in sums.items()
    )
    return (
        f"module top(input clk, input [7:0] ai, bi, ci, di, input si, ti{ports});\n"
        "  reg [7:0] a, b, c, d; reg s, t;\n"
        "  always @(posedge clk) {a, b, c, d, s, t} <= {ai, bi, ci, di, si, ti};\n"
        f"{body}endmodule\n"
    )


def synthesize(folder, sums: dict[str, str], behind: bool = True) -> dict:
    return netlist_support.synthesize(folder, design(sums, behind))


def prove(*arguments) -> None:
    netlist_support.prove(*arguments, options="-seq 3 -set-init-undef")


def folded(synthesized: dict) -> tuple[dict, int]:
    """What is made of it, and the tables saved."""
    netlist = copy.deepcopy(synthesized)
    top = netlist["modules"]["top"]
    return netlist, fold_carry_chains(top["cells"], top["ports"])


def count(netlist: dict, kind: str) -> int:
    return sum(cell["type"] == kind for cell in netlist["modules"]["top"]["cells"].values())


@pytest.mark.parametrize("name", SUMS)
def test_an_adder_alone(name, tmp_path):
    synthesized = synthesize(tmp_path, {name: SUMS[name]})
    netlist, saved = folded(synthesized)
    assert count(synthesized, "LUT4") - count(netlist, "LUT4") == saved
    assert saved >= LEAST.get(name, 0)
    prove(tmp_path, synthesized, netlist)


@pytest.mark.parametrize("behind", (False, True))
def test_many_adders(behind, tmp_path):
    """Tables that several adders use as well."""
    synthesized = synthesize(tmp_path, SUMS, behind)
    netlist, saved = folded(synthesized)
    assert saved >= sum(LEAST.values())
    assert count(netlist, "CCU2C") == count(synthesized, "CCU2C")
    prove(tmp_path, synthesized, netlist)


def test_the_proof_can_fail(tmp_path):
    synthesized = synthesize(tmp_path, {"plain": SUMS["plain"]})
    netlist, _ = folded(synthesized)
    cell = next(c for c in netlist["modules"]["top"]["cells"].values() if c["type"] == "CCU2C")
    cell["parameters"]["INIT1"] = f"{0x96A0:016b}"  # never a carry
    with pytest.raises(AssertionError, match="proof did fail"):
        prove(tmp_path, synthesized, netlist)


def test_other_cells_stay():
    """A chain that is no adder, and one that nothing drives or uses."""
    cell = {
        "type": "CCU2C",
        "parameters": {"INIT0": "0" * 16, "INIT1": "1" * 16, "INJECT1_0": "YES", "INJECT1_1": "NO"},
        "port_directions": {"CIN": "input", "A0": "input", "S0": "output", "COUT": "output"},
        "connections": {"CIN": ["0"], "A0": [2], "S0": [3], "COUT": [4]},
    }
    cells = {"cell": copy.deepcopy(cell)}
    assert fold_carry_chains(cells, {"a": {"bits": [2]}, "s": {"bits": [3]}}) == 0
    assert cells == {"cell": cell}
