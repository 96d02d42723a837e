"""Canonical Huffman codes: what a table of code lengths means, and how a stream is read back."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CodeError", "Reader", "canonical_codes", "decode", "lookup_table"]

Array = npt.NDArray[Any]
LONGEST = 15
_CHUNK = 1 << 19


class CodeError(ValueError):
    """Code lengths that are no code, or bits that are no code word."""


def canonical_codes(lengths: npt.ArrayLike) -> Array:
    """The code word of every symbol, right-aligned; 0 where a symbol is not used (length 0).

    Words are numbered by length, then by symbol; the first is all zeros.

    >>> canonical_codes([2, 1, 0, 2]).tolist()
    [2, 0, 0, 3]
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    codes = np.zeros(len(sizes), dtype=np.int64)
    if not sizes.any():
        return codes
    longest = int(sizes.max())
    order = np.lexsort((np.arange(len(sizes)), sizes))
    order = order[sizes[order] > 0]
    space = 1 << (longest - sizes[order])
    ends = np.cumsum(space)
    if ends[-1] > 1 << longest:
        raise CodeError(f"code lengths need {ends[-1]} of {1 << longest} code words")
    codes[order] = (ends - space) >> (longest - sizes[order])
    return codes


def lookup_table(lengths: npt.ArrayLike, bits: int) -> tuple[Array, Array]:
    """Symbol and length of the code word at the start of every `bits`-bit word.

    The length is 0 where no code word fits.

    >>> [column.tolist() for column in lookup_table([2, 1, 0, 0], 2)]
    [[1, 1, 0, 0], [1, 1, 2, 0]]
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if len(sizes) and sizes.max() > bits:
        raise CodeError(f"code length {sizes.max()} is over {bits}")
    canonical_codes(sizes)
    order = np.lexsort((np.arange(len(sizes)), sizes))
    order = order[sizes[order] > 0]
    space = 1 << (bits - sizes[order])
    symbols = np.zeros(1 << bits, dtype=np.int64)
    found = np.zeros(1 << bits, dtype=np.int64)
    filled = int(space.sum())
    symbols[:filled] = np.repeat(order, space)
    found[:filled] = np.repeat(sizes[order], space)
    return symbols, found


class Reader:
    """Reads every code word of a bit stream at once.

    Where each word starts depends on the one before; but the word that *would* start at a bit does
    not. So all bits are looked up at once, and only the chain from word to word is a loop.

    Parameters
    ----------
    data : bytes
        The stream, most significant bit first.
    codes : array
        Code lengths of the symbols.
    runs : array, optional
        Code lengths of the runs. Then a step is a run, and the symbol that follows it unless the
        run is the largest.
    """

    def __init__(self, data: bytes, codes: npt.ArrayLike, runs: npt.ArrayLike | None = None):
        self.bits = 8 * len(data)
        padded = np.frombuffer(data + bytes(8), dtype=np.uint8).astype(np.int64)
        self._words = (padded[:-2] << 16) | (padded[1:-1] << 8) | padded[2:]
        self._codes = lookup_table(codes, LONGEST)
        self._runs = None if runs is None else lookup_table(runs, LONGEST)
        self._last_run = 0 if runs is None else len(np.asarray(runs)) - 1

    def _look(self, table: tuple[Array, Array], at: Array) -> tuple[Array, Array]:
        at = np.minimum(at, self.bits)
        shift = 24 - LONGEST - (at & 7)
        word = (self._words[at >> 3] >> shift) & ((1 << LONGEST) - 1)
        return table[0][word], table[1][word]

    def _steps(self, at: Array) -> tuple[Array, Array, Array]:
        """Run, symbol and size of the step at each bit; symbol -1 for none, size 0 for damage."""
        if self._runs is None:
            symbol, size = self._look(self._codes, at)
            return np.zeros_like(symbol), symbol, size
        run, run_size = self._look(self._runs, at)
        symbol, symbol_size = self._look(self._codes, at + run_size)
        alone = run == self._last_run
        size = np.where(alone, run_size, run_size + symbol_size)
        size[(run_size == 0) | (~alone & (symbol_size == 0))] = 0
        return run, np.where(alone, -1, symbol), size

    def read(self, limit: int | None = None) -> tuple[Array, Array, Array]:
        """Runs, symbols (-1: none) and end bits of the steps, at most `limit` of them.

        Stops in front of the first step that is damaged or passes the end of the stream.
        """
        parts: list[tuple[Array, Array, Array]] = []
        position, count = 0, 0
        while position < self.bits and (limit is None or count < limit):
            stop = min(position + _CHUNK, self.bits)
            run, symbol, size = self._steps(np.arange(position, stop))
            hops = size.tolist()
            starts = []
            start, index, span = position, 0, stop - position
            room = span if limit is None else limit - count
            while index < span and room:
                hop = hops[index]
                if not hop or start + index + hop > self.bits:
                    break
                starts.append(index)
                index += hop
                room -= 1
            where = np.array(starts, dtype=np.int64)
            parts.append((run[where], symbol[where], start + where + size[where]))
            count += len(starts)
            position = start + index
            if index < span:
                break
        if not parts:
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty, empty
        runs, symbols, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
        return runs, symbols, ends


def decode(data: bytes, lengths: npt.ArrayLike, count: int) -> Array:
    """The first `count` symbols of a stream.

    Raises
    ------
    CodeError
        The stream holds fewer.

    >>> decode(bytes([0b10011_000]), [2, 1, 0, 2], 3).tolist()
    [0, 1, 3]
    """
    _, symbols, _ = Reader(data, lengths).read(count)
    if len(symbols) < count:
        raise CodeError(f"stream holds {len(symbols)} of {count} symbols")
    return symbols
