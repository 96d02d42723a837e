"""Verilog from Amaranth components."""

import re
from typing import Any

from amaranth.back import verilog

__all__ = ["to_verilog"]

_ZEROS = re.compile(r"^( *)(\w+)\[0\] = (\d+'h0+);\n(?: *\2\[\d+\] = \3;\n)+", re.M)


def to_verilog(component: Any, name: str) -> str:
    """The Verilog of a component as a module called ``name``: the same text on every machine.

    Ports are called after their path, ``i.payload`` is ``i__payload``; ``clk`` and ``rst`` are
    added. Memories that start as zeros are cleared by a loop, not by a statement for each row.
    """
    text = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return str(_ZEROS.sub(_loop, text))


def _loop(match: re.Match[str]) -> str:
    indent, memory, zero = match[1], match[2], match[3]
    rows = match[0].count("\n")
    i = f"{memory}_clear_row"  # a short name would hide a signal of the module
    return (
        f"{indent}begin : {memory}_clear\n"
        f"{indent}  integer {i};\n"
        f"{indent}  for ({i} = 0; {i} < {rows}; {i} = {i} + 1) {memory}[{i}] = {zero};\n"
        f"{indent}end\n"
    )
