"""Huffman coding: optimal length-limited canonical codes, and fast packing of bits."""

from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.sim.huffman import canonical_codes, decode

__all__ = ["canonical_codes", "code_lengths", "decode", "encode", "entropy", "pack_bits"]

Array = npt.NDArray[Any]
_CHUNK = 1 << 16  # fields that are packed at a time
_Item = tuple[int, tuple[int, ...]]


def code_lengths(counts: npt.ArrayLike, max_bits: int) -> Array:
    """Lengths of the best prefix code with words of at most `max_bits`; 0 for a count of 0.

    A symbol that is alone gets length 1.

    Source: package-merge; Larmore and Hirschberg, "A fast algorithm for optimal length-limited
    Huffman codes", 1990.

    Raises
    ------
    ValueError
        More symbols are used than there are code words.

    >>> code_lengths([45, 0, 13, 12, 16, 9, 5], 4).tolist()
    [1, 0, 3, 3, 3, 4, 4]
    >>> code_lengths([45, 0, 13, 12, 16, 9, 5], 3).tolist()
    [2, 0, 3, 3, 2, 3, 3]
    """
    weights = np.asarray(counts, dtype=np.int64)
    if (weights < 0).any():
        raise ValueError(f"counts must be at least 0, not {int(weights.min())!r}")
    used = np.flatnonzero(weights)
    lengths = np.zeros(len(weights), dtype=np.uint8)
    if len(used) > 1 << max_bits:
        raise ValueError(f"symbols must be at most 2**{max_bits}, not {len(used)!r}")
    if len(used) <= 1:
        lengths[used] = 1
        return lengths
    # An item is a weight and the symbols in it, each of which grows by a bit if it is taken.
    leaves: list[_Item] = sorted((int(weights[s]), (int(s),)) for s in used)
    items = leaves
    for _ in range(max_bits - 1):
        pairs = zip(items[0::2], items[1::2], strict=False)
        items = sorted(leaves + [(a[0] + b[0], a[1] + b[1]) for a, b in pairs], key=_weight)
    for _, symbols in items[: 2 * len(used) - 2]:
        np.add.at(lengths, list(symbols), 1)
    return lengths


def _weight(item: _Item) -> int:
    return item[0]


def entropy(counts: npt.ArrayLike) -> float:
    """Bits that no code of single symbols can go below, over all of them.

    >>> entropy([2, 1, 1, 0])
    6.0
    """
    weights = np.asarray(counts, dtype=np.float64)
    weights = weights[weights > 0]
    return float((weights * np.log2(weights.sum() / weights)).sum()) if len(weights) > 1 else 0.0


def pack_bits(values: npt.ArrayLike, lengths: npt.ArrayLike) -> bytes:
    """Fields of 0 to 32 bits, one after the other, the most significant bit first.

    Only the low bits of a value count, so a negative one is in two's complement. The last byte is
    filled with zeros.

    >>> pack_bits([1, -1, 0x345], [1, 3, 12]).hex()
    'f345'
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if len(sizes) and not 0 <= sizes.min() <= sizes.max() <= 32:
        raise ValueError(f"lengths must be 0 to 32, not {int(sizes.max())!r}")
    array = np.asarray(values)
    total = int(sizes.sum())
    words = np.zeros(total // 32 + 2, np.uint32)
    position = 0
    for begin in range(0, len(sizes), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        position = _pack(array[part], sizes[part], position, words)
    return words.astype(">u4").tobytes()[: -(-total // 8)]


def _pack(values: Array, sizes: Array, position: int, words: Array) -> int:
    """Add fields to the words from a bit on; returns the bit behind them."""
    ends = np.cumsum(sizes) + position
    starts = ends - sizes
    fields = values.astype(np.int64).view(np.uint64)
    fields &= (np.uint64(1) << sizes.astype(np.uint64)) - np.uint64(1)
    # A field lies in at most two words of 32 bits; fields do not overlap, so sums are unions, and
    # below 2**32 they are exact in the floats that bincount adds.
    # (Two shifts: one by 64, as an empty field would need, is undefined.)
    pair = fields << (32 - sizes).astype(np.uint64) << (32 - (starts & 31)).astype(np.uint64)
    first = position >> 5
    at = (starts >> 5) - first
    for which, half in ((at, pair >> np.uint64(32)), (at + 1, pair & np.uint64(0xFFFFFFFF))):
        sums = np.bincount(which, weights=half).astype(np.uint32)
        words[first : first + len(sums)] |= sums[: len(words) - first]
    return int(ends[-1])


def encode(symbols: npt.ArrayLike, lengths: npt.ArrayLike) -> bytes:
    """The code words of `symbols` under the canonical code with these lengths.

    >>> encode([0, 1, 3], [2, 1, 0, 2]) == bytes([0b10011_000])
    True
    """
    which = np.asarray(symbols, dtype=np.int64)
    sizes = np.asarray(lengths, dtype=np.int64)
    chosen = sizes[which]
    if (chosen == 0).any():
        raise ValueError(f"symbol {int(which[chosen == 0][0])} has no code word")
    return pack_bits(canonical_codes(sizes)[which], chosen)
