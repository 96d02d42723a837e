"""Words of the memories that layers share: biases, requantization records, the array's weights."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prunus.hw import isa

from .plan_matrices import MatrixPlan
from .steps import Scaling, Step, Work

__all__ = ["Biases", "LayerPlan", "Records", "SharedMemory", "Tiles"]

Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Biases:
    """Biases from a word of the channel memory on."""

    base: int
    values: Int


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Requantization records from a word of their memory on, as many as biases or one word."""

    base: int
    multiplier: Int
    shift: Int
    small: bool


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Weights (words, units) from a word on of the memory of the systolic array, or of the Winograd
    unit."""

    base: int
    values: NDArray[np.int8]


@dataclass(slots=True)
class LayerPlan:
    """A layer with its place, its descriptors, and what the memories must hold for it.

    Its number, for the trace, is its position in the plan.
    """

    work: Work
    base_word: int
    cycles: int = 0
    matrix: MatrixPlan | None = None
    biases: list[Biases] = field(default_factory=list)
    records: list[Records] = field(default_factory=list)
    tiles: list[Tiles] = field(default_factory=list)
    filters: list[Tiles] = field(default_factory=list)
    descriptors: list[isa.Descriptor] = field(default_factory=list)


@dataclass(slots=True)
class SharedMemory:
    """Hands out words, ``lanes`` entries each, one after the other.

    What several steps have in common is stored once: records, and biases that are one number for
    all outputs, for which there is room behind everything else (:meth:`close`); and what parts of
    one step share. Biases and records begin at multiples of ``align`` words.
    """

    lanes: int
    align: int = 1
    channel_words: int = 0
    record_words: int = 0
    tile_words: int = 0
    filter_words: int = 0
    _records: dict[tuple[object, ...], int] = field(default_factory=dict)
    _constants: dict[int, int] = field(default_factory=dict)
    _bases: dict[int, int] = field(default_factory=dict)
    # By the identity of their arrays, which they keep.
    _biases: dict[int, Biases] = field(default_factory=dict)
    _tiles: dict[int, Tiles] = field(default_factory=dict)

    def _words(self, count: int) -> int:
        size = self.lanes * self.align
        return -(-count // size) * self.align

    def channels(self, count: int) -> int:
        """The first of the words for so many outputs."""
        base = self.channel_words
        self.channel_words += self._words(count)
        return base

    def records(self, count: int) -> int:
        """The first of the words for so many records; one word where there is one for all."""
        base = self.record_words
        self.record_words += self._words(count)
        return base

    def biases(self, step: Step) -> tuple[Biases | None, bool]:
        """A step's biases; None where they are a constant, whose place is known later. Second,
        whether they are new."""
        values, count = step.scaling.bias, step.fields["outputs"]
        if (values == values[0]).all():
            value = int(values[0])
            self._constants[value] = max(count, self._constants.get(value, 0))
            return None, False
        if id(values) in self._biases:
            return self._biases[id(values)], False
        made = self._biases[id(values)] = Biases(self.channels(count), values)
        return made, True

    def scale(self, scaling: Scaling) -> tuple[int, Records | None]:
        """The word of a step's records, and these if they are not stored yet."""
        key = (scaling.multiplier.tobytes(), scaling.shift.tobytes(), scaling.small)
        if key in self._records:
            return self._records[key], None
        base = self._records[key] = self.records(len(scaling.multiplier))
        copies = 1 if scaling.per_channel else self.lanes  # the same in every lane
        multiplier, shift = (np.repeat(v, copies) for v in (scaling.multiplier, scaling.shift))
        return base, Records(base, multiplier, shift, scaling.small)

    def tiles(self, weights: NDArray[np.int8]) -> tuple[Tiles, bool]:
        """Room for weights; second, whether they are new."""
        if id(weights) in self._tiles:
            return self._tiles[id(weights)], False
        made = self._tiles[id(weights)] = Tiles(self.tile_words, weights)
        self.tile_words += len(weights)
        return made, True

    def filters(self, weights: NDArray[np.int8]) -> Tiles:
        """Room for weights of the Winograd unit."""
        base = self.filter_words
        self.filter_words += len(weights)
        return Tiles(base, weights)

    def close(self) -> None:
        """Make room for the constant biases, once every step has asked for them."""
        for value, count in self._constants.items():
            self._bases[value] = self.channels(count)

    @property
    def constants(self) -> tuple[Biases, ...]:
        """The constant biases; after :meth:`close`."""
        return tuple(
            Biases(base, np.full(self._constants[value], value))
            for value, base in self._bases.items()
        )

    def constant(self, value: int) -> int:
        """The word of a constant bias; after :meth:`close`."""
        return self._bases[value]
