"""Smaller adders for an ECP5: gates in front of them go into tables that they only half use.

Half of a CCU2C adds a bit in a look-up table of four inputs. Yosys uses two of them, and puts a
gate in front of an operand into a table of its own, though a function of an operand's bit that
nothing but adders use fits into the halves that add it.

Adders could also follow each other in one chain, where nextpnr puts a CCU2C in front of each and
one behind it. That was tried, and cost more wires than cells: a long chain is hard to place.

Source: CCU2C in Yosys' models of the cells (techlibs/ecp5/cells_sim.v).
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["fold_carry_chains"]

Bit = int | str  # a net's number, or "0", "1", "x"
PINS = "ABCD"
ADDER = f"{0x96AA:016b}"  # A ^ B ^ C with D high; with C and D low A, which is the carry made


@dataclass(frozen=True)
class _Function:
    """Of some nets: entry n of the table where net k has the value of bit k of n."""

    nets: tuple[int, ...]
    table: tuple[int, ...]

    @classmethod
    def of(cls, bits: Sequence[Bit], init: int) -> "_Function":
        """What a look-up table makes of its pins; one that is not connected is high."""
        nets = tuple(dict.fromkeys(bit for bit in bits if isinstance(bit, int)))
        table = []
        for n in range(1 << len(nets)):
            values: dict[Bit, int] = {"0": 0, "1": 1, "x": 0}
            values |= {net: n >> k & 1 for k, net in enumerate(nets)}
            table.append(init >> sum(values[bit] << k for k, bit in enumerate(bits)) & 1)
        return cls(nets, tuple(table))

    def __call__(self, values: Mapping[int, int]) -> int:
        return self.table[sum(values[net] << k for k, net in enumerate(self.nets))]

    def inverted(self, invert: int) -> "_Function":
        return _Function(self.nets, tuple(bit ^ invert for bit in self.table))


@dataclass
class _Half:
    """Half of a CCU2C that adds ``operands``."""

    cell: dict[str, Any]
    number: str
    operands: list[_Function]

    def store(self, bits: Sequence[Bit], init: str) -> None:
        for pin, bit in zip(PINS, bits, strict=True):
            self.cell["connections"][pin + self.number] = [bit]
        self.cell["parameters"]["INIT" + self.number] = init


def fold_carry_chains(cells: dict[str, Any], ports: Mapping[str, Any]) -> int:
    """Change ``cells`` of a flat netlist, as Yosys writes it, in place; the tables saved.

    ``ports`` are those of the design. What a CCU2C does otherwise than as an adder stays.
    """
    users: Counter[Bit] = Counter()
    tables: dict[Bit, str] = {}
    for port in ports.values():
        users.update(port["bits"])
    for name, cell in cells.items():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] != "output":
                users.update(bits)
            elif cell["type"] == "LUT4":
                tables[bits[0]] = name
    adders: defaultdict[int, list[tuple[_Half, int]]] = defaultdict(list)
    for cell in cells.values():
        for number in "01":
            if cell["type"] == "CCU2C" and (half := _adder(cell, number)):
                for which, operand in enumerate(half.operands):
                    for net in operand.nets:
                        adders[net].append((half, which))
    saved = 0
    for net, places in adders.items():
        if net in tables and users[net] == len(places):
            table = cells[tables[net]]
            bits = [_bit(table, pin) for pin in PINS]
            function = _Function.of(bits, int(table["parameters"]["INIT"], 2))
            if _fold(function, places):
                del cells[tables[net]]
                saved += 1
    return saved


def _fold(function: _Function, places: Sequence[tuple[_Half, int]]) -> bool:
    """Put a function into all halves that add what it makes, if there is room."""
    if len({id(half) for half, _ in places}) < len(places):
        return False
    found = []
    for half, which in places:
        operands = list(half.operands)
        operands[which] = function.inverted(operands[which].table[0])
        packed = _packed(operands)
        if packed is None:
            return False
        found.append((half, operands, packed))
    for half, operands, packed in found:
        half.operands = operands
        half.store(*packed)
    return True


def _bit(cell: dict[str, Any], pin: str) -> Bit:
    bits: list[Bit] = cell["connections"].get(pin) or ["1"]
    return bits[0]


def _adder(cell: dict[str, Any], number: str) -> _Half | None:
    """A half that is an adder as Yosys makes them: of A, and of B turned over where C is high."""
    a, b, c, d = (_bit(cell, pin + number) for pin in PINS)
    parameters = cell["parameters"]
    plain = parameters["INIT" + number] == ADDER and parameters["INJECT1_" + number] == "NO"
    if not plain or d != "1" or isinstance(c, int):
        return None
    first, second = (_Function.of([bit], 0b10) for bit in (a, b))
    return _Half(cell, number, [first, second.inverted(c == "1")])


def _packed(operands: Sequence[_Function]) -> tuple[list[Bit], str] | None:
    """Pins and table of a half that adds two functions, if there are.

    The carry is made where the operands are equal, and is either of them. What makes it sees pins
    A and B alone, and shares its four entries of the table with C and D both low.
    """
    nets = list(dict.fromkeys(net for operand in operands for net in operand.nets))
    if len(nets) > len(PINS):
        return None
    constants: list[Bit] = ["1"] * (len(PINS) - len(nets))
    for maker in operands:
        if len(maker.nets) > 2:
            continue
        for order in itertools.permutations(nets):
            pins = [*order, *constants]
            if not set(maker.nets) <= set(pins[:2]):
                continue
            table = []
            for row in range(16):
                values = {pin: row >> k & 1 for k, pin in enumerate(pins) if isinstance(pin, int)}
                wanted = operands[0](values) ^ operands[1](values)
                if row < 4:
                    if not constants and wanted != maker(values):
                        break
                    wanted = maker(values)
                table.append(wanted)
            else:
                return pins, "".join(str(bit) for bit in reversed(table))
    return None
