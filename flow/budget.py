"""What a compressed model may cost, or must still be able to do."""

import math
import re
from dataclasses import dataclass

__all__ = ["BUDGETS", "Budget", "parse_budget"]

BUDGETS = ("size", "accuracy", "cycles")
_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1000, "m": 10**6, "mb": 10**6, "kib": 1 << 10,
          "mib": 1 << 20}  # fmt: skip
_EXPECTED = "must be size=BYTES (12000, 12k, 12KiB), accuracy=0.97 (or 97%) or cycles=N"


@dataclass(frozen=True, slots=True)
class Budget:
    """``size``: bytes of the ROM image at most; ``cycles`` of an inference at most, as the compiler
    predicts them; ``accuracy`` on the held-out samples at least.
    """

    kind: str
    value: float

    def __str__(self) -> str:
        if self.kind == "accuracy":
            return f"an accuracy of at least {self.value:.2%}"
        unit = "bytes" if self.kind == "size" else "cycles"
        return f"at most {self.value:,.0f} {unit}"


def parse_budget(text: str) -> Budget:
    """A budget as it is written on the command line.

    >>> parse_budget("size=12k"), parse_budget("accuracy=97.5%")
    (Budget(kind='size', value=12000.0), Budget(kind='accuracy', value=0.975))
    """
    kind, equals, given = text.partition("=")
    kind, given = kind.strip().lower(), given.strip().lower().replace("_", "").replace(",", "")
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*|%)", given)
    if not equals or kind not in BUDGETS or found is None:
        raise ValueError(f"budget {_EXPECTED}, not {text!r}")
    value, unit = float(found[1]), found[2]
    if kind == "accuracy":
        value = value / 100 if unit == "%" else value
        if unit not in ("", "%") or not 0 < value <= 1:
            raise ValueError(f"budget {_EXPECTED}, not {text!r}")
    else:
        if unit not in _UNITS or (kind == "cycles" and unit in ("b", "kb", "mb", "kib", "mib")):
            raise ValueError(f"budget {_EXPECTED}, not {text!r}")
        value *= _UNITS[unit]
        if not (math.isfinite(value) and value >= 1):
            raise ValueError(f"budget {_EXPECTED}, not {text!r}")
    return Budget(kind, value)
