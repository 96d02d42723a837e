"""What is done to a netlist between Yosys and nextpnr."""

import inspect
from typing import Any

from . import block_ram, carry_chains

__all__ = ["optimize", "version"]


def optimize(family: str, netlist: dict[str, Any]) -> None:
    """Change a flat netlist, as Yosys writes it, to do the same with less of a part."""
    if family == "ecp5":
        top = netlist["modules"]["top"]
        carry_chains.fold_carry_chains(top["cells"], top["ports"])
        block_ram.register_outputs(top["cells"], top["ports"])


def version() -> str:
    """What tells one :func:`optimize` from another."""
    return "".join(inspect.getsource(part) for part in (carry_chains, block_ram))
