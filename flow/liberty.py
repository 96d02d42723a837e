"""Liberty files: what the area of a netlist needs to know of a cell library."""

import gzip
import itertools
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Cell", "LibertyError", "Library", "nand2", "parse_liberty", "read_library"]

_TOKEN = re.compile(
    r"""
      /\* .*? \*/
    | (?P<group> \w+) \s* \( (?P<name> [^(){};]*) \) \s* \{
    | (?P<key> \w+) \s* : \s* (?P<value> "[^"]*" | [^;{}\n]* )
    | " [^"]* "
    | (?P<open> \{)
    | (?P<close> \})
    """,
    re.S | re.X,
)
_OPERAND = re.compile(r"\s*([A-Za-z_][\w\[\].]*|[01])")


class LibertyError(ValueError):
    """A liberty file that cannot be used; the message is one line that names it."""


@dataclass(slots=True)
class Cell:
    """A cell: its area, the library's unit; the functions of its outputs ("" where none is told).

    ``sequential``: it has a flip-flop or latch; ``flip_flop``: the former.
    """

    name: str
    area: float = 0.0
    inputs: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    sequential: bool = False
    flip_flop: bool = False
    usable: bool = True


@dataclass(frozen=True, slots=True)
class Library:
    """A cell library; ``unit`` is the NAND of two inputs whose area is a gate equivalent."""

    path: Path
    text: str = field(repr=False)
    cells: Mapping[str, Cell] = field(repr=False)
    unit: Cell


def read_library(path: Path) -> Library:
    """A library that logic can be mapped to; the file may be compressed by gzip.

    Raises
    ------
    LibertyError
        There is no such file, it is no liberty file, or lacks cells that are needed.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "damaged"
        raise LibertyError(f"{path}: cannot be read ({reason}); name a liberty file") from None
    text = content.decode("utf-8", errors="replace")
    cells = parse_liberty(text, str(path))
    unit = nand2(cells, str(path))
    if not any(cell.flip_flop and cell.usable for cell in cells.values()):
        raise LibertyError(f"{path}: has no flip-flop")
    return Library(path, text, cells, unit)


def parse_liberty(text: str, name: str = "liberty file") -> dict[str, Cell]:
    """The cells of a library, by name.

    Raises
    ------
    LibertyError
        It is no liberty file, ends too early, or has no cells.
    """
    cells: dict[str, Cell] = {}
    stack: list[tuple[str, str]] = []
    cell, direction, function = Cell(""), "", ""
    library = False
    for token in _TOKEN.finditer(text):
        if token["group"]:
            kind, argument = token["group"], token["name"].strip().strip('"')
            if not stack:
                library = library or kind == "library"
            elif len(stack) == 1 and kind == "cell":
                cell = cells[argument] = Cell(argument)
            elif len(stack) == 2 and kind in ("ff", "ff_bank", "latch", "latch_bank", "statetable"):
                cell.sequential = True
                cell.flip_flop = cell.flip_flop or kind == "ff"
            elif kind == "pin":
                direction = function = ""
            stack.append((kind, argument))
        elif token["open"]:
            stack.append(("", ""))
        elif token["close"]:
            if not stack:
                break
            kind, argument = stack.pop()
            if kind == "pin" and direction == "input":
                cell.inputs.append(argument)
            elif kind == "pin" and direction == "output":
                cell.outputs[argument] = function
        elif token["key"] and stack:
            key, value = token["key"], token["value"].strip().strip('"').strip()
            if stack[-1][0] == "cell" and len(stack) == 2:
                if key == "area":
                    cell.area = _number(value)
                elif key == "dont_use":
                    cell.usable = value != "true"
            elif stack[-1][0] == "pin" and key == "direction":
                direction = value
            elif stack[-1][0] == "pin" and key == "function":
                function = value
    if not library:
        raise LibertyError(f"{name}: is not a liberty file: it has no library (...) {{ }}")
    if stack:
        raise LibertyError(
            f"{name}: ends inside {stack[-1][0] or 'a group'} {stack[-1][1]}".strip()
        )
    if not cells:
        raise LibertyError(f"{name}: has no cells")
    return cells


def nand2(cells: Mapping[str, Cell], name: str = "liberty file") -> Cell:
    """The smallest cell of two inputs whose only output is low where both are high.

    Raises
    ------
    LibertyError
        There is none.
    """
    found = [cell for cell in cells.values() if cell.area > 0 and _is_nand2(cell)]
    if not found:
        raise LibertyError(f"{name}: has no NAND of two inputs with an area: gates have no unit")
    return min(found, key=lambda cell: cell.area)


def _is_nand2(cell: Cell) -> bool:
    if cell.sequential or not cell.usable or len(cell.inputs) != 2 or len(cell.outputs) != 1:
        return False
    (function,) = cell.outputs.values()
    try:
        return all(
            _evaluate(function, dict(zip(cell.inputs, values, strict=True))) != all(values)
            for values in itertools.product((False, True), repeat=2)
        )
    except (ValueError, KeyError, RecursionError):
        return False  # a function that cannot be read is not one that is known


def _evaluate(function: str, pins: Mapping[str, bool]) -> bool:
    """The value of a function: ``!`` and ``'`` bind tightest, then XOR, AND (or nothing), OR."""
    value, rest = _either(function, pins)
    if rest.strip():
        raise ValueError(f"function must end where its expression does, not with {rest!r}")
    return value


def _either(text: str, pins: Mapping[str, bool]) -> tuple[bool, str]:
    value, text = _both(text, pins)
    while text.lstrip()[:1] in ("+", "|") and text.strip():
        other, text = _both(text.lstrip()[1:], pins)
        value = value or other
    return value, text


def _both(text: str, pins: Mapping[str, bool]) -> tuple[bool, str]:
    value, text = _differ(text, pins)
    while text.strip() and text.lstrip()[0] not in "+|)":
        text = text.lstrip()
        other, text = _differ(text[1:] if text[0] in "*&" else text, pins)
        value = value and other
    return value, text


def _differ(text: str, pins: Mapping[str, bool]) -> tuple[bool, str]:
    value, text = _operand(text, pins)
    while text.lstrip()[:1] == "^":
        other, text = _operand(text.lstrip()[1:], pins)
        value = value != other
    return value, text


def _operand(text: str, pins: Mapping[str, bool]) -> tuple[bool, str]:
    text = text.lstrip()
    if text[:1] == "!":
        value, text = _operand(text[1:], pins)
        return not value, text
    if text[:1] == "(":
        value, text = _either(text[1:], pins)
        if text.lstrip()[:1] != ")":
            raise ValueError("a parenthesis must be closed")
        text = text.lstrip()[1:]
    else:
        match = _OPERAND.match(text)
        if match is None:
            raise ValueError(f"an operand must be a pin, not {text!r}")
        value = match[1] == "1" if match[1] in "01" else pins[match[1]]
        text = text[match.end() :]
    while text.lstrip()[:1] == "'":
        value, text = not value, text.lstrip()[1:]
    return value, text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
