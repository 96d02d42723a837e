"""Flip-flops that become registers of an ECP5's block RAM, proven to do the same."""

import copy
import shutil
from pathlib import Path

import netlist_support
import pytest

from prunus.boards.block_ram import register_outputs

MODEL = Path(__file__).parent / "dp16kd.v"
OTHER_HALF = "always @(posedge c) if (e[1]) q[35:18] <= r[35:18];"
# Words of a memory, their bits, and what stands behind it: a register that can be the memory's ...
TAKEN = {
    "wide": (512, 36, "always @(posedge c) q <= r;"),
    "narrow": (2048, 9, "always @(posedge c) q <= r;"),
    "two blocks": (1024, 36, "always @(posedge c) q <= r;"),
    "half used": (512, 36, "always @(posedge c) q[17:0] <= r[26:9];"),
    "enabled": (1024, 18, "always @(posedge c) if (e[0]) q <= r;"),
}
# ... and one that cannot.
LEFT = {
    "reset": (512, 36, "always @(posedge c) q <= e[0] ? 0 : r;"),
    "seen": (512, 36, "always @(posedge c) q <= r; assign o = ^r;"),
    "another clock": (512, 36, "always @(posedge d) q <= r;"),
    "falling edge": (512, 36, "always @(negedge c) q <= r;"),
    "a memory of the falling edge": (512, 36, "always @(posedge c) q <= r;", "negedge"),
    "two enables": (512, 36, "always @(posedge c) if (e[0]) q[17:0] <= r[17:0]; " + OTHER_HALF),
    "twice": (
        512,
        36,
        "reg [35:0] p; assign o = ^p; always @(posedge c) {p, q} <= {r & {36{e[0]}}, r};",
    ),
}


def synthesize(folder, depth: int, width: int, behind: str, edge: str = "posedge") -> dict:
    bits = (depth - 1).bit_length()
    return netlist_support.synthesize(
        folder,
        f"module top(input c, d, en, we, input [1:0] e, input [{bits - 1}:0] ra, wa,"
        f" input [{width - 1}:0] w, output reg [{width - 1}:0] q, output o);\n"
        f'  (* no_rw_check, ram_style = "block" *) reg [{width - 1}:0] mem [{depth - 1}:0];\n'
        f"  reg [{width - 1}:0] r;\n"
        f"  always @({edge} c) begin if (we) mem[wa] <= w; if (en) r <= mem[ra]; end\n"
        f"  {behind}\n"
        "endmodule\n",
    )


def registered(synthesized: dict) -> tuple[dict, int]:
    """What is made of it, and the flip-flops saved."""
    netlist = copy.deepcopy(synthesized)
    top = netlist["modules"]["top"]
    return netlist, register_outputs(top["cells"], top["ports"])


def prove(folder, *netlists) -> None:
    shutil.copy(MODEL, folder)  # the yosys of wheels does not see what else is below /tmp
    netlist_support.prove(
        folder, *netlists, models=f"read_verilog {MODEL.name}; ", options="-seq 5 -set-init-zero"
    )


@pytest.mark.parametrize("name", TAKEN)
def test_registers_go_into_the_memory(name, tmp_path):
    synthesized = synthesize(tmp_path, *TAKEN[name])
    netlist, saved = registered(synthesized)
    cells = [cell["type"] for cell in netlist["modules"]["top"]["cells"].values()]
    assert saved == (18 if name == "half used" else TAKEN[name][1])
    assert "TRELLIS_FF" not in cells
    prove(tmp_path, synthesized, netlist)


@pytest.mark.parametrize("name", LEFT)
def test_others_stay(name, tmp_path):
    synthesized = synthesize(tmp_path, *LEFT[name])
    netlist, saved = registered(synthesized)
    assert saved == 0
    assert netlist == synthesized


def test_the_proof_can_fail(tmp_path):
    synthesized = synthesize(tmp_path, *TAKEN["enabled"])
    netlist, _ = registered(synthesized)
    memory = next(
        cell for cell in netlist["modules"]["top"]["cells"].values() if cell["type"] == "DP16KD"
    )
    memory["connections"]["OCEA" if memory["parameters"]["REGMODE_A"] == "OUTREG" else "OCEB"] = [
        "1"
    ]
    with pytest.raises(AssertionError, match="proof did fail"):
        prove(tmp_path, synthesized, netlist)
