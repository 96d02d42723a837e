"""The registers in the block RAM of an ECP5: flip-flops behind its outputs go into them.

Yosys leaves a memory's own output registers unused. Data are then 5.8 ns on their way out, and the
flip-flops that take them want wires.

A port's register is taken if everything that the port reads goes into flip-flops, and nowhere else:
of the port's clock, of one enable, without a reset.

Source: Lattice FPGA-TN-02204, ECP5 memory usage guide: the register has a clock enable of its own
(OCE), apart from that of the memory, and is zero at first. A port of 36 bits reads by way of both
ports' outputs, in the clock and the enable of port B, where both are said to be registered.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

__all__ = ["register_outputs"]

WIDE = 36  # bits of a port that takes both ports' data
_Cell = dict[str, Any]


def register_outputs(cells: dict[str, _Cell], ports: Mapping[str, Any]) -> int:
    """Change ``cells`` of a flat netlist, as Yosys writes it, in place; the flip-flops saved.

    ``ports`` are those of the design.
    """
    users: defaultdict[int, list[str]] = defaultdict(list)  # cells, or "" for a port
    for port in ports.values():
        for bit in port["bits"]:
            users[bit].append("")
    for name, cell in cells.items():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] != "output":
                for bit in bits:
                    users[bit].append(name)
    saved = 0
    for memory in [cell for cell in cells.values() if cell["type"] == "DP16KD"]:
        for clocked_by, outputs in _read_ports(memory):
            read = {pin: bits[0] for pin, bits in memory["connections"].items()
                    if pin[:3] in outputs and users[bits[0]]}  # fmt: skip
            behind = {pin: users[bit] for pin, bit in read.items()}
            found = [cells[names[0]] for names in behind.values() if _is_register(cells, names)]
            pin = f"CLK{clocked_by}"
            clock = memory["connections"][pin]
            enables = {cell["connections"].get("CE", ["1"])[0] for cell in found}
            if not found or len(found) < len(read) or len(enables) > 1:
                continue
            if memory["parameters"].get(f"{pin}MUX", pin) != pin:  # the falling edge
                continue
            if any(cell["connections"]["CLK"] != clock for cell in found):
                continue
            memory["connections"][f"OCE{clocked_by}"] = [enables.pop()]
            for which in outputs:
                memory["parameters"][f"REGMODE_{which[-1]}"] = "OUTREG"
            for pin, names in behind.items():
                memory["connections"][pin] = cells.pop(names[0])["connections"]["Q"]
            saved += len(found)
    return saved


def _read_ports(memory: _Cell) -> list[tuple[str, tuple[str, ...]]]:
    """The port that clocks them, and its outputs, for each port of a memory that only reads."""
    connections, parameters = memory["connections"], memory["parameters"]
    if WIDE in (int(parameters[f"DATA_WIDTH_{port}"], 2) for port in "AB"):
        return [("B", ("DOA", "DOB"))] if connections["WEB"] == ["0"] else []
    return [(port, (f"DO{port}",)) for port in "AB" if connections[f"WE{port}"] == ["0"]]


def _is_register(cells: Mapping[str, _Cell], names: list[str]) -> bool:
    """Whether this is one flip-flop, as simple as those in a memory."""
    if len(names) != 1 or not names[0]:
        return False
    cell = cells[names[0]]
    if cell["type"] != "TRELLIS_FF" or cell["connections"].get("LSR", ["0"]) != ["0"]:
        return False
    parameters = cell["parameters"]
    return (parameters.get("CLKMUX", "CLK"), parameters.get("REGSET")) == ("CLK", "RESET")
