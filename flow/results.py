"""What a simulation found out: layers, mismatches, figures."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LayerRun", "Mismatch", "Simulation", "first_mismatch"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class LayerRun:
    """A layer over all samples: mean ``cycles`` a sample, and ``utilization`` of its engine.

    Utilization is ``work`` over the multiplications that the engine could have done in that time.
    On the EIE array work is multiplications of non-zero weights by activations other than the zero
    point: padding and stored zeros are not. On the systolic array, where nothing is skipped, it is
    all multiplications of the operator; on the Winograd unit as well, which makes do with fewer:
    there it can be more than 1. ``array_cycles`` leaves out the drain of the accumulators.
    Where only the golden model ran there are no cycles.
    """

    name: str
    engine: str
    work: float
    cycles: float = 0.0
    array_cycles: float = 0.0
    utilization: float = 0.0


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where a layer's outputs first differ from the golden model's; ``got`` None: not written."""

    sample: int
    layer: str
    position: int
    expected: int
    got: int | None

    def __str__(self) -> str:
        found = "nothing" if self.got is None else str(self.got)
        return (
            f"sample {self.sample}, layer {self.layer}, position {self.position}: "
            f"expected {self.expected}, got {found}"
        )


@dataclass(frozen=True, slots=True)
class Simulation:
    """What came out.

    ``outputs`` are the network's own, with what the host does last (softmax, dequantize);
    ``cycles`` has an entry for each sample, from the start of the program to the last activation
    written; ``load_cycles`` is what the image took from its first byte until it was decoded.
    """

    outputs: Array
    samples: int
    mismatches: int
    first_mismatches: tuple[Mismatch, ...]
    cycles: tuple[int, ...]
    load_cycles: int
    layers: tuple[LayerRun, ...]
    sim_cycles_per_second: float
    build_seconds: float
    golden: bool

    @property
    def bit_exact(self) -> bool:
        return not self.mismatches

    def summary(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return {
            "samples": self.samples,
            "bit_exact": self.bit_exact,
            "mismatches": self.mismatches,
            "first_mismatches": [dataclasses.asdict(m) for m in self.first_mismatches],
            "cycles": list(self.cycles),
            "load_cycles": self.load_cycles,
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "sim_cycles_per_second": round(self.sim_cycles_per_second),
            "build_seconds": round(self.build_seconds, 2),
            "golden": self.golden,
        }


def first_mismatch(
    sample: int, name: str, expected: Array, got: Array, written: Array | None = None
) -> Mismatch:
    """The first position at which a layer is wrong."""
    values = got.view(np.int8)
    bad = values != expected.ravel()
    if written is not None:
        bad |= ~written
    where = int(np.argmax(bad)) if bad.any() else 0
    known = written is None or bool(written[where])
    return Mismatch(
        sample, name, where, int(expected.ravel()[where]), int(values[where]) if known else None
    )
