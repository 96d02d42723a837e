"""The programs that make a bitstream are found, or said to be missing; what they are told to do."""

import collections
import json
import subprocess

import pytest
from board_support import script

from prunus.boards import toolchain
from prunus.boards.toolchain import BuildError
from prunus.sim import tools


def test_native_tool_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("YOSYS", raising=False)
    script(tmp_path, "yosys", "print('Yosys 0.52 (git)')")
    tool = toolchain.find_tool("yosys")
    assert tool.native and tool.version == "Yosys 0.52 (git)"
    assert not toolchain.find_tool("yosys", "wheel").native
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    with pytest.raises(BuildError, match=r"^yosys is set to 'no-such-yosys' in the environment"):
        toolchain.find_tool("yosys")


def test_old_or_missing_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("YOSYS", raising=False)
    with pytest.raises(BuildError, match=r"^yosys is missing: install it, or run: pip install y"):
        toolchain.find_tool("yosys", "native")
    script(tmp_path, "yosys", "print('Yosys 0.23')")
    assert not toolchain.find_tool("yosys").native
    with pytest.raises(BuildError, match=r"is Yosys 0.23, 0.40 or newer is needed\): install it"):
        toolchain.find_tool("yosys", "native")
    with pytest.raises(ValueError, match=r"^tools must be one of auto, native, wheel, not 'any'$"):
        toolchain.find_tool("yosys", "any")


def test_a_family_may_want_a_newer_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("YOSYS", raising=False)
    script(tmp_path, "yosys", "print('Yosys 0.52')")
    wanted = toolchain.FAMILIES["gowin"].yosys
    assert toolchain.find_tool("yosys").native
    assert not toolchain.find_tool("yosys", oldest=wanted).native
    with pytest.raises(BuildError, match=r"is Yosys 0.52, 0.70 or newer is needed\): install it"):
        toolchain.find_tool("yosys", "native", wanted)


@pytest.mark.parametrize("choice", toolchain.CHOICES)
def test_a_tool_that_is_python(tmp_path, monkeypatch, choice):
    pytest.importorskip("apycula")
    monkeypatch.setenv("PATH", str(tmp_path))
    script(tmp_path, "gowin_pack", "print('1.0')")
    tool = toolchain.find_tool("gowin_pack", choice)
    assert tool.version.startswith("apycula ") and str(tmp_path) not in " ".join(tool.command)


def test_few_flip_flops_have_no_control_signal_to_themselves(tmp_path):
    (tmp_path / "top.v").write_text(
        "module top(input c, input [3:0] e, r, input [15:0] d, output reg [15:0] q, x, output reg"
        " [3:0] y, z);\n"
        "  always @(posedge c) q <= r[0] ? 0 : d;\n"
        "  always @(posedge c) if (e[0]) x <= d;\n"
        "  always @(posedge c) y <= r[1] ? 0 : d;\n"
        "  always @(posedge c) if (e[1]) z <= d;\n"
        "endmodule\n"
    )
    family, tool = toolchain.FAMILIES["ecp5"], tools.find("yosys")
    commands = (
        f"read_verilog top.v; synth_ecp5 {family.synth_opts} -top top; {family.after_synth}; "
        "write_json top.json"
    )
    arguments = [str(tool.path), "-q", "-p", commands]
    subprocess.run(arguments, cwd=tmp_path, env=tool.environment(), check=True)
    top = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]
    names = {tuple(bits): name for name, port in top["ports"].items()
             for bits in ([bit] for bit in port["bits"])}  # fmt: skip
    groups: collections.Counter = collections.Counter()
    for cell in top["cells"].values():
        if cell["type"] == "TRELLIS_FF":
            pins = cell["connections"]
            groups[names.get(tuple(pins["LSR"])), names.get(tuple(pins.get("CE", ())))] += 1
    assert groups == {("r", None): 16, (None, "e"): 16, (None, None): 8}
