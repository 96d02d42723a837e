"""The codes that weights can be stored in, and which of them is the shortest.

:mod:`prunus.hw.image` has the formats. Every candidate is measured by how often its symbols occur;
only the best is written out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw.image import MEMBER_BITS, RAW, SYMBOL_BITS

from .huffman import canonical_codes, code_lengths, entropy

__all__ = [
    "Coded",
    "Sparse",
    "dense_code",
    "dense_entropy",
    "sparse_code",
    "sparse_entropy",
    "worth_it",
]

Array = npt.NDArray[Any]
_IMPOSSIBLE = 1 << 62  # bits
Words = tuple[Array, Array]  # code words, right-aligned, and their bits


def _empty() -> Array:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Coded:
    """A way to store weights: its tables, the bits of its parts, and its code words.

    ``lengths`` are those of the symbols' words, ``run_lengths`` of the runs' where they have a
    table of their own; ``names`` the stored codes of symbols, or of the members of symbols.
    """

    form: str
    mapped: int
    names: Array
    lengths: Array
    code_bits: int
    run_bits: int = 0
    run_width: int = 0
    run_lengths: Array = field(default_factory=_empty)
    words: Callable[[], Words] = lambda: (_empty(), _empty())

    @property
    def table_bits(self) -> int:
        return 8 * len(self.names) + 4 * (len(self.lengths) + len(self.run_lengths))

    @property
    def bits(self) -> int:
        """Tables and words."""
        return self.table_bits + self.code_bits + self.run_bits


@dataclass(frozen=True, slots=True)
class Sparse:
    """Weights between empty places: ``gaps`` in front of each, ``tails`` behind the last of a PE.

    ``pe`` (entries,) is rising; ``codes`` are the stored codes.
    """

    codes: Array
    gaps: Array
    pe: Array
    tails: Array

    def skips(self, largest: int) -> int:
        """How often the largest run, which has no weight behind it, occurs."""
        return int((self.gaps // largest).sum() + (-(-self.tails // largest)).sum())

    def tokens(self, largest: int) -> tuple[Array, Array]:
        """The runs in the order of the stream, and for each the entry behind it, -1 for none."""
        # The tail of a PE comes behind its last entry.
        order = np.argsort(
            np.concatenate([2 * self.pe, 2 * np.arange(len(self.tails)) + 1]), kind="stable"
        )
        skips = np.concatenate([self.gaps // largest, -(-self.tails // largest)])[order]
        has_entry = order < len(self.gaps)
        ends = np.cumsum(skips + has_entry)
        runs = np.full(int(ends[-1]) if len(ends) else 0, largest)
        entries = np.full(len(runs), -1)
        at = ends[has_entry] - 1
        runs[at] = self.gaps % largest
        entries[at] = np.arange(len(self.gaps))
        return runs, entries


def dense_code(codes: Array, longest: int, *, raw: bool, groups: bool) -> Coded:
    """The shortest code of a weight for every place; ``raw`` allows 8 bits for each.

    ``groups`` allows words for several weights. No table has more than ``2**longest`` words.
    """
    used, numbers, counts = _used(codes)
    candidates = [_raw(codes)] if raw else []
    if len(used) <= 1 << longest:
        candidates.append(_plain(used, numbers, counts, longest))
        members = [bits for bits in MEMBER_BITS if groups and len(used) <= 1 << bits]
        candidates += [_grouped(used, numbers, bits, longest) for bits in members]
    return min(candidates, key=_size)


def sparse_code(
    weights: Sparse, longest: int, *, separate: bool = True, groups: bool
) -> Coded | None:
    """The shortest code of weights and the runs in front of them, None if there is none.

    ``separate`` allows tables of their own for both, ``groups`` a joint table: it holds pairs of a
    run and a weight, and takes 16 different weights at most. No table has more than
    ``2**longest`` words.
    """
    used, numbers, counts = _used(weights.codes)
    candidates: list[Coded] = []
    if separate and len(used) <= 1 << longest:
        candidates.append(_separate(weights, used, numbers, counts, longest))
    candidates += [
        _joint(weights, used, numbers, bits, width, longest)
        for bits in MEMBER_BITS
        if groups and len(used) <= 1 << bits
        for width in range(1, bits + 1)
    ]
    best = min(candidates, key=_size, default=None)
    return best if best is not None and best.bits < _IMPOSSIBLE else None


def _size(coded: Coded) -> int:
    return coded.bits


def _used(codes: Array) -> tuple[Array, Array, Array]:
    """The stored codes that occur, each weight's place among them, and how often each occurs."""
    every = np.bincount(codes, minlength=256)
    used = np.flatnonzero(every)
    numbers = np.zeros(256, np.uint8)
    numbers[used] = np.arange(len(used))
    return used, numbers[codes], every[used]


def _raw(codes: Array) -> Coded:
    return Coded("raw", RAW, _empty(), _empty(), 8 * len(codes),
                 words=lambda: (codes, np.full(len(codes), 8)))  # fmt: skip


def _plain(used: Array, numbers: Array, counts: Array, longest: int) -> Coded:
    """A symbol for each code, by its number or by its name, whichever table is shorter."""
    every = int(used[-1]) + 1 if len(used) else 1
    mapped = 0 < 12 * len(used) < 4 * every
    chosen = code_lengths(counts, longest).astype(np.int64)
    lengths = np.zeros(len(used) if mapped else every, np.int64)
    lengths[np.arange(len(used)) if mapped else used] = chosen
    symbols = np.arange(len(used)) if mapped else used

    def words() -> Words:
        return canonical_codes(lengths)[symbols][numbers], chosen[numbers]

    names = used if mapped else _empty()
    return Coded("single", int(mapped), names, lengths, int(counts @ chosen), words=words)


def _grouped(used: Array, numbers: Array, bits: int, longest: int) -> Coded:
    """Symbols of several codes; the last one is filled up."""
    size = SYMBOL_BITS // bits
    members = np.zeros(-(-len(numbers) // size) * size, np.int64)
    members[: len(numbers)] = numbers
    symbols = (members.reshape(-1, size) << bits * np.arange(size)).sum(axis=1)
    return _of_symbols(f"groups of {size}", symbols, _named(used, bits), bits, longest)


def _of_symbols(
    form: str, symbols: Array, names: Array, bits: int, longest: int, width: int = 0
) -> Coded:
    """Symbols of members of so many bits."""
    counts = np.bincount(symbols, minlength=1)
    if np.count_nonzero(counts) > 1 << longest:
        return Coded(form, 0, names, counts, _IMPOSSIBLE)
    lengths = code_lengths(counts, longest).astype(np.int64)

    def words() -> Words:
        return canonical_codes(lengths)[symbols], lengths[symbols]

    total = int(counts @ lengths)
    return Coded(form, 1 | bits << 4, names, lengths, total, run_width=width, words=words)


def _named(used: Array, bits: int) -> Array:
    """A stored code for each member."""
    names = np.zeros(1 << bits, np.int64)
    names[: len(used)] = used
    return names


def _separate(weights: Sparse, used: Array, numbers: Array, counts: Array, longest: int) -> Coded:
    """Words for runs in front of the words for weights."""
    plain = _plain(used, numbers, counts, longest)
    found: list[tuple[int, Array, Array, int]] = []
    for width in range(1, min(8, longest) + 1):
        runs = _run_counts(weights, (1 << width) - 1)
        lengths = code_lengths(runs, longest).astype(np.int64)
        found.append((int(runs @ lengths) + 4 * len(lengths), runs, lengths, width))
    _, runs, run_lengths, width = min(found, key=lambda choice: choice[0])

    def words() -> Words:
        tokens, entries = weights.tokens((1 << width) - 1)
        places = np.cumsum(1 + (entries >= 0))
        values = np.zeros(int(places[-1]) if len(places) else 0, np.int64)
        sizes = np.zeros_like(values)
        has_entry = entries >= 0
        at = places - 1 - has_entry
        values[at], sizes[at] = canonical_codes(run_lengths)[tokens], run_lengths[tokens]
        code_words = plain.words()
        at = places[has_entry] - 1
        values[at], sizes[at] = code_words[0], code_words[1]
        return values, sizes

    return Coded("separate", plain.mapped, plain.names, plain.lengths, plain.code_bits,
                 int(runs @ run_lengths), width, run_lengths, words)  # fmt: skip


def _run_counts(weights: Sparse, largest: int) -> Array:
    """How often each run occurs."""
    counts = np.bincount(weights.gaps % largest, minlength=largest + 1)
    counts[largest] = weights.skips(largest)
    return counts


def _joint(
    weights: Sparse, used: Array, numbers: Array, bits: int, width: int, longest: int
) -> Coded:
    """Symbols of pairs of a run and a weight; a largest run ends its symbol."""
    largest = (1 << width) - 1
    runs, entries = weights.tokens(largest)
    alone = entries < 0
    codes = np.zeros(len(runs), np.int64)
    codes[~alone] = numbers[entries[~alone]]
    pairs = runs | codes << bits
    size = SYMBOL_BITS // bits // 2
    # A symbol begins behind a largest run, and after `size` pairs.
    starts = np.zeros(len(runs), np.int64)
    starts[1:] = np.maximum.accumulate(np.where(alone[:-1], np.arange(1, len(runs)), 0))
    place = (np.arange(len(runs)) - starts) % size
    number = np.cumsum(place == 0) - 1
    symbols = np.bincount(number, weights=pairs << 2 * bits * place).astype(np.int64)
    names = np.concatenate([_named(used, bits), np.arange(1 << bits)])
    return _of_symbols("joint", symbols, names, bits, longest, width)


def dense_entropy(codes: Array) -> float:
    """Bits that no code of single weights can go below, tables aside."""
    return entropy(np.bincount(codes, minlength=1))


def sparse_entropy(weights: Sparse) -> float:
    """The same of weights and of the runs between them, with the best largest run."""
    runs: Iterable[float] = (entropy(_run_counts(weights, (1 << w) - 1)) for w in range(1, 9))
    return entropy(np.bincount(weights.codes, minlength=1)) + min(runs)


def worth_it(
    tiles: Iterable[Array],
    matrices: Iterable[tuple[Array, bool]],
    longest: int,
    runs: bool | None,
    groups: bool | None,
) -> tuple[bool, bool]:
    """Whether runs of zeros in tiles, and groups, shorten the weights by a thirtieth at least.

    ``tiles`` are (words, units), ``matrices`` (outputs, inputs) and whether they are dense; what is
    not None was decided before.
    """
    parts: list[tuple[Array, Sparse | None, bool]] = []
    for array in tiles:
        codes = (array.T.astype(np.int64) & 0xFF).reshape(-1)
        parts.append((codes, _one_stream(codes), True))
    for array, dense in matrices:
        codes = (array.T.astype(np.int64) & 0xFF).reshape(-1)
        parts.append((codes, None if dense else _one_stream(codes), False))

    def pays(without: tuple[bool, bool], together: tuple[bool, bool]) -> bool:
        before, after = (_size_of(parts, longest, *which) for which in (without, together))
        return 30 * after < 29 * before

    if groups is None:
        groups = pays((bool(runs), False), (bool(runs), True))
    if runs is None:
        runs = pays((False, groups), (True, groups))
    return runs, groups


def _one_stream(codes: Array) -> Sparse:
    """The weights that are not zero, as if of one PE."""
    place = np.flatnonzero(codes)
    gaps, tail = np.diff(place, prepend=-1) - 1, len(codes) - 1 - place[-1:]
    return Sparse(codes[place], gaps, np.zeros(len(place), np.int64), tail)


def _size_of(
    parts: Iterable[tuple[Array, Sparse | None, bool]], longest: int, runs: bool, groups: bool
) -> int:
    """Bits of weights; of tiles there are both forms to choose from, and raw ones."""
    total = 0
    for codes, sparse, is_tile in parts:
        found = []
        if is_tile or sparse is None:
            found.append(dense_code(codes, longest, raw=True, groups=groups).bits)
        if sparse is not None and (not is_tile or runs or groups):
            separate = runs or not is_tile
            coded = sparse_code(sparse, longest, separate=separate, groups=groups)
            found += [coded.bits] if coded else []
        total += min(found, default=0)
    return total
