"""The payloads of weights: WEIGHTS and TILES; :mod:`prunus.hw.image` has the format."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw.config import Config
from prunus.hw.image import Kind, Section

from .huffman import canonical_codes, code_lengths, entropy, pack_bits

__all__ = ["WeightLayout", "WeightStats", "check_range", "tiles", "weights"]

Array = npt.NDArray[Any]
RAW = 2  # in the field `mapped`


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """The weights of one layer as the PEs hold them.

    Parameters
    ----------
    codes : array (pes, columns, rows)
        Stored codes: codebook indices, or ``weight & 0xFF`` where ``code_bits`` is 8.
    present : array of the same shape, optional
        Sparse: which weights are stored. None is dense: all of them, without pointers.
    weight_base, pointer_base : int
        First entry of each PE's weight memory, first word of its pointer memory.
    """

    codes: Array
    present: Array | None = None
    weight_base: int = 0
    pointer_base: int = 0


@dataclass(frozen=True, slots=True)
class WeightStats:
    """What a WEIGHTS or TILES section spends its bits on."""

    places: int
    entries: int
    symbols: int
    run_width: int  # bits of a run before Huffman coding; 0: dense
    code_bits: int
    run_bits: int
    table_bits: int
    entropy_bits: float  # no code of single symbols takes fewer, tables aside


def weights(layer: WeightLayout, config: Config) -> tuple[Section, WeightStats]:
    """A layer's weights in the fewest bits: Huffman-coded with the best run width, or raw."""
    _check_layout(layer, config)
    pes, columns, rows = layer.codes.shape
    places = columns * rows
    if layer.present is None:
        coded = _code(layer.codes.reshape(-1), config, raw=config.code_bits == 8)
    else:
        pe, place = np.nonzero(layer.present.reshape(pes, places))
        coded = _code(layer.codes.reshape(pes, places)[pe, place], config, raw=False)
    words = coded.words
    run_counts, run_lengths, width = np.zeros(0, np.int64), np.zeros(0, np.int64), 0
    if layer.present is not None:
        gaps, tails = _gaps(pe, place, pes, places)
        run_counts, run_lengths, width = _choose_runs(gaps, tails, config)
        words = _interleave(words, gaps, pe, tails, run_lengths)
    payload = _payload(
        (layer.weight_base, layer.pointer_base), (columns, rows), width, coded, run_lengths, words
    )
    stats = WeightStats(
        places=pes * places,
        entries=len(coded.words[0]),
        symbols=len(coded.counts),
        run_width=width,
        code_bits=int(coded.words[1].sum()),
        run_bits=int(run_counts @ run_lengths),
        table_bits=coded.table_bits + 4 * len(run_lengths),
        entropy_bits=entropy(coded.counts) + entropy(run_counts),
    )
    return Section(Kind.WEIGHTS, payload), stats


def tiles(base: int, values: npt.ArrayLike, config: Config) -> tuple[Section, WeightStats]:
    """Weights (words, units) of the systolic array, from word ``base`` on, in the fewest bits.

    Unit u is output u of every tile. A weight is -127..127; -128 is possible in the first
    ``config.columns`` units alone, because two weights share a multiplier.
    """
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape or array.shape[1] > config.tile_outputs:
        raise ValueError(
            f"values must be (words, at most {config.tile_outputs} units), not {array.shape!r}"
        )
    words, units = array.shape
    if words >= 1 << 16:
        raise ValueError(f"words must be at most {(1 << 16) - 1} in a section, not {words!r}")
    if not 0 <= base <= config.tile_depth - words:
        raise ValueError(f"base must leave {words} of {config.tile_depth} words, not {base!r}")
    check_range("values", array[:, : config.columns], -128, 127)
    check_range("values of second weights", array[:, config.columns :], -127, 127)
    coded = _code(array.T.reshape(-1).astype(np.int64) & 0xFF, config, raw=True)
    payload = _payload((base, units), (words, 1), 0, coded, np.zeros(0, np.int64), coded.words)
    stats = WeightStats(
        places=array.size,
        entries=array.size,
        symbols=len(coded.counts),
        run_width=0,
        code_bits=int(coded.words[1].sum()),
        run_bits=0,
        table_bits=coded.table_bits,
        entropy_bits=entropy(coded.counts),
    )
    return Section(Kind.TILES, payload), stats


@dataclass(frozen=True, slots=True)
class _Coded:
    """Stored codes as words of bits, and the table that these need."""

    mapped: int
    names: Array  # stored codes of the table's symbols, if they are named
    lengths: Array  # code lengths of the table's symbols
    counts: Array  # how often each of the codes that occur does
    words: tuple[Array, Array]  # for each code its word and the bits of that

    @property
    def table_bits(self) -> int:
        return 8 * len(self.names) + 4 * len(self.lengths)


def _code(codes: Array, config: Config, *, raw: bool) -> _Coded:
    """The shortest of: Huffman codes by number, by name, and (where allowed) 8 bits a code."""
    used, symbols, counts = np.unique(
        codes.astype(np.int64), return_inverse=True, return_counts=True
    )
    empty = np.zeros(0, np.int64)
    verbatim = _Coded(RAW, empty, empty, counts, (used[symbols], np.full(len(codes), 8)))
    if raw and len(used) > 1 << config.huffman_bits:
        return verbatim
    # A table names the codes that occur where that is shorter than a length for every code.
    every = int(used[-1]) + 1 if len(used) else 1
    mapped = 12 * len(used) < 4 * every and len(used) > 0
    names, lengths = used if mapped else empty, np.zeros(len(used) if mapped else every, np.int64)
    lengths[np.arange(len(used)) if mapped else used] = code_lengths(counts, config.huffman_bits)
    if not mapped:
        symbols = used[symbols]
    words = canonical_codes(lengths)[symbols], lengths[symbols]
    coded = _Coded(int(mapped), names, lengths, counts, words)
    if raw and 8 * len(codes) <= words[1].sum() + coded.table_bits:
        return verbatim
    return coded


def _payload(
    bases: tuple[int, int],
    sizes: tuple[int, int],
    run_width: int,
    coded: _Coded,
    run_lengths: Array,
    words: tuple[Array, Array],
) -> bytes:
    """The header and the tables of weights, then the stream."""
    last = max(0, len(coded.lengths) - 1)
    fields = [
        (bases, 24),
        (sizes, 16),
        ([run_width, last, coded.mapped, *coded.names.tolist()], 8),
        ([*coded.lengths.tolist(), *run_lengths.tolist()], 4),
    ]
    values = np.concatenate([np.array(v, dtype=np.int64) for v, _ in fields] + [words[0]])
    widths = np.concatenate([np.full(len(v), width) for v, width in fields] + [words[1]])
    return pack_bits(values, widths)


def _gaps(pe: Array, place: Array, pes: int, places: int) -> tuple[Array, Array]:
    """Empty places in front of each entry, and behind the last entry of each PE."""
    first = np.ones(len(pe), dtype=bool)
    first[1:] = pe[1:] != pe[:-1]
    before = np.concatenate([[-1], place[:-1]])[: len(place)]
    before[first] = -1
    last = np.full(pes, -1)
    np.maximum.at(last, pe, place)
    return place - before - 1, places - 1 - last


def _choose_runs(gaps: Array, tails: Array, config: Config) -> tuple[Array, Array, int]:
    """Counts of the runs, their code lengths and the run width that takes the fewest bits."""
    gap, times = np.unique(gaps, return_counts=True)
    best: tuple[int, Array, Array, int] | None = None
    for width in range(1, min(8, config.huffman_bits) + 1):
        largest = (1 << width) - 1
        counts = np.bincount(gap % largest, weights=times, minlength=largest + 1).astype(np.int64)
        counts[largest] = gap // largest @ times + (-(-tails // largest)).sum()
        lengths = code_lengths(counts, config.huffman_bits).astype(np.int64)
        bits = int(counts @ lengths) + 4 * len(lengths)
        if best is None or bits < best[0]:
            best = bits, counts, lengths, width
    assert best is not None
    return best[1:]


def _interleave(
    words: tuple[Array, Array], gaps: Array, pe: Array, tails: Array, run_lengths: Array
) -> tuple[Array, Array]:
    """The code words of runs and weights in stream order, PE after PE, and their lengths."""
    largest = len(run_lengths) - 1
    runs = canonical_codes(run_lengths)
    # An entry is its long skips, a run and a weight; a PE's tail is long skips only. The tail of a
    # PE comes behind its last entry.
    order = np.argsort(np.concatenate([2 * pe, 2 * np.arange(len(tails)) + 1]), kind="stable")
    skips = np.concatenate([gaps // largest, -(-tails // largest)])[order]
    has_entry = order < len(gaps)
    ends = np.cumsum(skips + 2 * has_entry)
    total = int(ends[-1]) if len(ends) else 0
    values = np.full(total, runs[largest])
    sizes = np.full(total, run_lengths[largest])
    at = ends[has_entry] - 2
    values[at], sizes[at] = runs[gaps % largest], run_lengths[gaps % largest]
    values[at + 1], sizes[at + 1] = words
    return values, sizes


def _check_layout(layer: WeightLayout, config: Config) -> None:
    """The shapes are equal, and everything fits the PEs' memories."""
    if layer.codes.ndim != 3 or layer.codes.shape[0] != config.pes or 0 in layer.codes.shape:
        raise ValueError(f"codes must be ({config.pes}, columns, rows), not {layer.codes.shape!r}")
    pes, columns, rows = layer.codes.shape
    if columns >= 1 << 16:
        raise ValueError(f"columns must be at most {(1 << 16) - 1}, not {columns!r}")
    if rows > config.acc_rows:
        raise ValueError(f"rows must be at most {config.acc_rows}, not {rows!r}")
    check_range("codes", layer.codes, 0, (1 << config.code_bits) - 1)
    entries = columns * rows
    if layer.present is not None:
        if not config.sparse:
            raise ValueError("present must be None where the PEs have no pointers")
        if layer.present.shape != layer.codes.shape:
            raise ValueError(f"present must be {layer.codes.shape}, not {layer.present.shape!r}")
        entries = int(layer.present.reshape(pes, -1).sum(axis=1).max())
        if not 0 <= layer.pointer_base <= config.pointer_depth - columns:
            raise ValueError(
                f"pointer_base must leave {columns} of {config.pointer_depth} words, "
                f"not {layer.pointer_base!r}"
            )
    if not 0 <= layer.weight_base <= config.weight_depth - entries:
        raise ValueError(
            f"weight_base must leave {entries} of {config.weight_depth} entries, "
            f"not {layer.weight_base!r}"
        )


def check_range(name: str, values: Array, low: int, high: int) -> None:
    """Refuse values outside of low..high, naming one."""
    if values.size and not low <= values.min() <= values.max() <= high:
        wrong = values.min() if values.min() < low else values.max()
        raise ValueError(f"{name} must be {low} to {high}, not {int(wrong)!r}")
