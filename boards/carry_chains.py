"""Smaller carry chains for an ECP5: what Yosys and nextpnr leave unused of each adder's tables.

Half of a CCU2C adds a bit in a look-up table of four inputs. Yosys uses two of them, and puts a
gate in front of an operand into a table of its own; nextpnr puts a CCU2C in front of each chain for
the carry that it begins with, and one behind it. Most are not needed:

- A function of an operand's bit that nothing but adders use fits into the halves that add it.
- The first half may make the first carry alone, which depends on no other; the first bit of the
  sum has a table of its own then. So adders can follow each other in one chain: of those of a
  component, those from registers to registers do, for whose clock the longer chain does not matter.

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
LONGEST = 32  # CCU2Cs of adders that follow each other
JOINT = 4  # tables that nextpnr puts between two chains


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
    netlist = _Netlist(cells, ports)
    chains = netlist.chains()
    begins = {id(chain[0]) for chain in chains}
    halves = [
        half
        for cell in cells.values()
        if cell["type"] == "CCU2C"
        for number in "01"
        if (number == "1" or id(cell) not in begins) and (half := _adder(cell, number))
    ]
    return netlist.fold(halves) + netlist.join(chains)


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
    one = 0b1010101010101010
    operands = [_Function.of([a], one & 3), _Function.of([b], one & 3).inverted(c == "1")]
    return _Half(cell, number, operands)


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


class _Netlist:
    """Cells, who drives each net, and how many use it."""

    def __init__(self, cells: dict[str, Any], ports: Mapping[str, Any]):
        self.cells = cells
        self.users: Counter[Bit] = Counter()
        self.drivers: dict[Bit, str] = {}
        self.targets: defaultdict[Bit, set[str]] = defaultdict(set)  # the pins that use it
        for port in ports.values():
            self.users.update(port["bits"])
            for bit in port["bits"]:
                self.targets[bit].add("port")
        for name, cell in cells.items():
            for pin, bits in cell["connections"].items():
                if cell["port_directions"][pin] == "output":
                    self.drivers.update((bit, name) for bit in bits)
                    continue
                self.users.update(bits)
                for bit in bits:
                    self.targets[bit].add(f"{cell['type']}.{pin}")

    def _driver(self, net: Bit) -> str | None:
        """The type of the cell that drives it."""
        return self.cells[self.drivers[net]]["type"] if net in self.drivers else None

    def chains(self) -> list[list[dict[str, Any]]]:
        """The chains that begin with a constant carry and an adder."""
        every = [cell for cell in self.cells.values() if cell["type"] == "CCU2C"]
        first = [cell for cell in every if isinstance(_bit(cell, "CIN"), str)]
        following = {_bit(cell, "CIN"): cell for cell in every}
        following = {net: cell for net, cell in following.items() if isinstance(net, int)}
        chains = []
        for cell in first:
            if _adder(cell, "0"):
                chain = [cell]
                while (then := following.get(_bit(chain[-1], "COUT"))) is not None:
                    chain.append(then)
                chains.append(chain)
        return chains

    def fold(self, halves: list[_Half]) -> int:
        """Put tables into the halves that add what they make; how many."""
        adders: defaultdict[int, list[tuple[_Half, int]]] = defaultdict(list)
        for half in halves:
            for which, operand in enumerate(half.operands):
                for net in operand.nets:
                    adders[net].append((half, which))
        saved = 0
        for net, places in adders.items():
            if self._driver(net) != "LUT4" or self.users[net] != len(places):
                continue
            table = self.cells[self.drivers[net]]
            function = _Function.of([_bit(table, pin) for pin in PINS],
                                    int(table["parameters"]["INIT"], 2))  # fmt: skip
            found = []
            for half, which in places:
                operands = list(half.operands)
                operands[which] = function.inverted(operands[which].table[0])
                found.append((half, operands, _packed(operands)))
            if len({id(half) for half, _ in places}) < len(places):
                continue
            if not all(packed for _, _, packed in found):
                continue
            for half, operands, packed in found:
                assert packed is not None
                half.operands = operands
                half.store(*packed)
                self.users.update(function.nets)
            self.users.subtract(function.nets)
            del self.cells[self.drivers[net]]
            saved += 1
        return saved

    def join(self, chains: list[list[dict[str, Any]]]) -> int:
        """Let chains of a component follow each other; the tables saved."""
        groups: defaultdict[str, list[list[dict[str, Any]]]] = defaultdict(list)
        for chain in chains:
            if self._between_registers(chain):
                name = self.drivers[_bit(chain[-1], "COUT")]
                groups[name.rpartition(".")[0]].append(chain)
        saved = 0
        for group in groups.values():
            length, last = LONGEST, None
            for chain in group:
                if last is None or length + len(chain) > LONGEST:
                    length = 0
                else:
                    saved += JOINT - self._begin(chain[0], _bit(last, "COUT"))
                length += len(chain)
                last = chain[-1]
        return saved

    def _between_registers(self, chain: list[dict[str, Any]]) -> bool:
        """Whether all operands come from registers, all sums go there, and no carry anywhere."""
        if self.users[_bit(chain[-1], "COUT")] or not isinstance(_bit(chain[-1], "COUT"), int):
            return False
        for cell in chain:
            for pin, bits in cell["connections"].items():
                for bit in bits:
                    if pin in ("CIN", "COUT") or isinstance(bit, str):
                        continue
                    if pin[0] == "S":
                        if not self.targets[bit] <= {"TRELLIS_FF.DI"}:
                            return False
                    elif not self._early(bit):
                        return False
        return True

    def _early(self, net: Bit) -> bool:
        """Whether it comes from a register, or from a table behind registers."""
        if self._driver(net) == "LUT4":
            pins = [_bit(self.cells[self.drivers[net]], pin) for pin in PINS]
            return all(isinstance(pin, str) or self._driver(pin) == "TRELLIS_FF" for pin in pins)
        return self._driver(net) == "TRELLIS_FF"

    def _begin(self, cell: dict[str, Any], carry_in: Bit) -> int:
        """Make a chain's first carry depend on none; the tables that this takes."""
        carry = int(_bit(cell, "CIN") == "1")
        *bits, turned, _ = (_bit(cell, pin + "0") for pin in PINS)
        rows = [(row & 1, row >> 1 & 1 ^ int(turned == "1")) for row in range(4)]
        made = "".join(str(a | b if carry else a & b) for a, b in reversed(rows))
        total = "".join(str(a ^ b ^ carry) for a, b in reversed(rows))
        half = _adder(cell, "0")
        assert half is not None
        half.store([*bits, "1", "1"], "0" * 12 + made)
        cell["connections"]["CIN"] = [carry_in]
        result = cell["connections"].pop("S0", [])
        if not any(self.users[bit] for bit in result):
            return 0
        self.cells[f"{self.drivers[result[0]]}$first"] = {
            "hide_name": 0,
            "type": "LUT4",
            "parameters": {"INIT": total * 4},
            "attributes": {},
            "port_directions": {**dict.fromkeys(PINS, "input"), "Z": "output"},
            "connections": {"A": [bits[0]], "B": [bits[1]], "C": ["1"], "D": ["1"], "Z": result},
        }
        return 1
