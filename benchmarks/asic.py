# amaranth: UnusedElaboratable=no
"""The area of an EIE PE's logic in a cell library, beside that of the PE of EIE's paper.

Both PEs have a queue of 8, 4-bit codes into a codebook of 16 weights, 2**17 weights, 2**14 pointers
and 64 accumulators. SRAM is outside: weights and pointers, and the accumulators once as SRAM and
once as flip-flops. The paper's figures are those of a layout, these of a netlist mapped for area.

The liberty file is ``liberty/nangate45_typ.lib.gz`` under ``$PRUNUS_DATA``, or that of --liberty.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from data import data_folder

from prunus.flow.area import Area, measure
from prunus.flow.liberty import LibertyError, read_library
from prunus.flow.macros import list_macros
from prunus.hw.asic import AsicTarget
from prunus.hw.config import Config
from prunus.hw.eie.array import EieArray
from prunus.hw.eie.pe import Pe
from prunus.sim.generate import to_verilog

LIBERTY = data_folder() / "liberty" / "nangate45_typ.lib.gz"
CONFIG = Config(
    pes=64, lanes=8, queue_depth=8, code_bits=4, weight_depth=1 << 17, pointer_depth=1 << 14,
    acc_rows=64, acc_width=24,
)  # fmt: skip
SRAM_BITS = {"SRAM": 1024, "flip-flops": 2048}  # what makes 64 accumulators of 24 bits so

# Han et al., ISCA 2016, Table II: one PE in TSMC 45 nm, placed and routed, in um2.
PAPER = {
    "total": 638_024, "memory": 594_786, "clock network": 866, "register": 9_465,
    "combinational": 8_946, "filler cell": 23_961,
    "Act_queue": 758, "PtrRead": 121_849, "SpmatRead": 469_412, "ArithmUnit": 3_110,
    "ActRW": 18_934,
}  # fmt: skip
NAMES = {
    "(top)": "pipeline, walker, adder", "weights": "weights' port", "pointers": "pointers' port",
    "sums": "accumulators",
}  # fmt: skip


def pe_verilog(sram_bits: int) -> str:
    """A PE as it stands in an array of ``CONFIG``."""
    array = EieArray(CONFIG)
    pe = Pe(CONFIG, 0, slack=array.levels_out + array.levels_back)
    return to_verilog(pe, "pe", AsicTarget(sram_bits), initial=False)


def main(argv: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--liberty", type=Path, default=LIBERTY, help="cells (.lib, .lib.gz)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    try:
        library = read_library(options.liberty)
    except LibertyError as error:
        parser.error(str(error))
    results: dict[str, Any] = {}
    for kind, bits in SRAM_BITS.items():
        verilog = pe_verilog(bits)
        area = measure(verilog, "pe", library)
        macros = [m for m in list_macros(verilog, "pe") if m.kind != "registers"]
        results[kind] = {**area.as_dict(), "memory_bits": sum(m.bits for m in macros)}
        if not options.json:
            _show(kind, area)
    if options.json:
        print(json.dumps({"liberty": options.liberty.name, "results": results, "paper": PAPER}))
    else:
        _show_paper()
    return 0


def _show(kind: str, area: Area) -> None:
    print(f"A PE, its 64 accumulators in {kind}; a gate is {area.unit.name}, {area.unit.area} um2")
    print(f"{'um2':<32}{'registers':>10}{'other':>8}{'area':>8}{'gates':>8}")
    for group in (*area.groups, area.total):
        row = "".join(f"{v:8,.0f}" for v in (group.combinational, group.area, area.gates(group)))
        print(f"{NAMES.get(group.name, group.name):<32}{group.registers:10,.0f}{row}")
    print(flush=True)


def _show_paper() -> None:
    logic = PAPER["register"] + PAPER["combinational"]
    print("EIE, Table II, um2: TSMC 45 nm, worst case, 800 MHz, placed and routed")
    print(f"{'register and combinational':<32}{PAPER['register']:10,}"
          f"{PAPER['combinational']:8,}{logic:8,}")  # fmt: skip
    for name in ("Act_queue", "ArithmUnit"):
        print(f"{'  of it ' + name:<50}{PAPER[name]:8,}")
    others = ("memory", "filler cell", "clock network")
    print(f"not compared: {', '.join(f'{name} {PAPER[name]:,}' for name in others)}")
    print(
        "PtrRead, SpmatRead and ActRW are given with their SRAM; their logic is in the first line."
    )


if __name__ == "__main__":
    sys.exit(main())
