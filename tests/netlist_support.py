"""Netlists of an ECP5 from Yosys, and proofs that two of them do the same."""

import copy
import json
import subprocess

from prunus.sim import tools


def yosys(folder, script: str) -> str:
    tool = tools.find("yosys")
    done = subprocess.run(
        [str(tool.path), "-p", script], cwd=folder, env=tool.environment(), text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return done.stdout


def synthesize(folder, design: str) -> dict:
    """The netlist of a Verilog module ``top``, without the models of the cells."""
    (folder / "top.v").write_text(design)
    yosys(folder, "read_verilog top.v; synth_ecp5 -top top -json top.json")
    return {"modules": {"top": json.loads((folder / "top.json").read_text())["modules"]["top"]}}


def prove(folder, synthesized: dict, netlist: dict, *, options: str, models: str = "") -> None:
    """That both have the same outputs, whatever goes in, for so many cycles and from such a state
    as the ``options`` of Yosys' ``sat`` say. ``models`` of cells go before Yosys' own.
    """
    for name, made in (("gold", synthesized), ("gate", netlist)):
        made = copy.deepcopy(made)
        for cell in made["modules"]["top"]["cells"].values():  # models hold no contents
            parameters = cell["parameters"]
            cell["parameters"] = {n: parameters[n] for n in parameters if "INITVAL" not in n}
        (folder / f"{name}.json").write_text(json.dumps(made))
        yosys(
            folder,
            f"read_json {name}.json; {models}"
            "read_verilog -icells -nooverwrite +/ecp5/cells_sim.v; "
            "hierarchy -top top; proc; flatten; async2sync; opt_clean; "
            f"rename top {name}; write_rtlil {name}.il",
        )
    log = yosys(
        folder,
        "read_rtlil gold.il; read_rtlil gate.il; miter -equiv -flatten -make_outputs gold gate m; "
        f"hierarchy -top m; sat -verify -prove trigger 0 {options} -set-def-inputs m",
    )
    assert "SAT proof finished - no model found: SUCCESS!" in log
