"""Verilog from Amaranth components."""

import re
from typing import Any

from amaranth.back import verilog

__all__ = ["to_verilog"]

_ZEROS = re.compile(r"^( *)(\w+)\[0\] = (\d+'h0+);\n(?: *\2\[\d+\] = \3;\n)+", re.M)
_VALUE = r"\d+'s?[bdh][0-9a-f]+"
_INIT = re.compile(rf"^ *\(\* init = {_VALUE} \*\)\n", re.M)
_INITIAL = re.compile(rf"^( *reg (?:signed )?(?:\[\d+:\d+\] )?\S+) += {_VALUE};$", re.M)


def to_verilog(component: Any, name: str, platform: Any = None, *, initial: bool = True) -> str:
    """The Verilog of a component as a module called ``name``: the same text on every machine.

    Ports are called after their path, ``i.payload`` is ``i__payload``; ``clk`` and ``rst`` are
    added. Memories that start as zeros are cleared by a loop, not by a statement for each row.
    Without ``initial`` no register has a value before the reset.
    """
    text = verilog.convert(
        component, name=name, platform=platform, emit_src=False, strip_internal_attrs=True
    )
    text = str(_ZEROS.sub(_loop, text))
    return text if initial else _INITIAL.sub(r"\1 ;", _INIT.sub("", text))


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
