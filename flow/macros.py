"""The memories of Verilog that was made for standard cells: what there is to bind to macros."""

import re
from dataclasses import dataclass
from typing import Any

__all__ = ["Macro", "list_macros"]

_MODULE = re.compile(r"^module \\?(\S+)", re.M)
_INSTANCE = re.compile(r"^ *prunus_(\w+) #\(\n(.*?)\n *\) \\?(\S+) +\(", re.M | re.S)
_PARAMETER = re.compile(r"\.(\w+)\((?:\d+'d)?([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Macro:
    """``count`` memories alike; a number in ``name`` that tells them apart is a ``*``.

    ``kind`` is that of the wrapper, ``prunus_`` in front; ``parts`` those of a row with a write
    enable each, and 0 for a ROM; ``bits`` are those of all.
    """

    name: str
    kind: str
    width: int
    depth: int
    parts: int
    count: int

    @property
    def bits(self) -> int:
        return self.count * self.width * self.depth

    def as_dict(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        names = ("name", "kind", "width", "depth", "parts", "count", "bits")
        return {name: getattr(self, name) for name in names}


def list_macros(verilog: str, top: str) -> list[Macro]:
    """The memories under the module ``top``, those of most bits first."""
    starts = [(match.start(), match[1]) for match in _MODULE.finditer(verilog)]
    ends = [start for start, _ in starts[1:]] + [len(verilog)]
    counts: dict[tuple[str, str, int, int, int], int] = {}
    for (start, module), end in zip(starts, ends, strict=True):
        for instance in _INSTANCE.finditer(verilog, start, end):
            found = {key: value for key, value in _PARAMETER.findall(instance[2])}
            path = f"{module}.{instance[3]}".removeprefix(f"{top}.").removesuffix(".mem")
            name = re.sub(r"\$\d+", "", re.sub(r"_\d+(?=[.$]|$)", "_*", path))
            sizes = (int(found["WIDTH"]), int(found["DEPTH"]), int(found.get("PARTS", 0)))
            key = (name, instance[1], *sizes)
            counts[key] = counts.get(key, 0) + 1
    macros = [Macro(*key, count) for key, count in counts.items()]
    return sorted(macros, key=lambda macro: (-macro.bits, macro.name))
