"""The payload of each section of a ROM image; :mod:`prunus.hw.image` has the format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw import isa
from prunus.hw.config import Config
from prunus.hw.image import MULTIPLIER_BITS, MULTIPLIER_OFFSET, SHIFT_BITS, Kind, Section

from .huffman import canonical_codes, code_lengths, entropy, pack_bits

__all__ = [
    "WeightLayout",
    "WeightStats",
    "channels",
    "codebook",
    "network",
    "program",
    "records",
    "weights",
]

Array = npt.NDArray[Any]


def network(
    input_base: int, input_bytes: int, output_base: int, output_bytes: int, config: Config
) -> Section:
    """Where the host puts the inputs, and finds the outputs."""
    for name, base, size in (
        ("input_base", input_base, input_bytes),
        ("output_base", output_base, output_bytes),
    ):
        if base < 0 or base + -(-size // config.act_word) > config.act_depth:
            raise ValueError(f"{name} must leave {size} bytes of activations, not {base!r}")
    fields = [input_base, input_bytes, output_base, output_bytes]
    return Section(Kind.NETWORK, pack_bits(fields, [16, 24, 16, 24]))


def program(descriptors: Sequence[isa.Descriptor], config: Config) -> Section:
    """The layers in their order; an END is added where the last is none."""
    layers = list(descriptors)
    if not layers or layers[-1].get("op", isa.Op.END) != isa.Op.END:
        layers.append({"op": isa.Op.END})
    if len(layers) > config.program_depth:
        raise ValueError(
            f"descriptors must be at most {config.program_depth} with END, not {len(layers)!r}"
        )
    return Section(Kind.PROGRAM, b"".join(isa.encode(layer) for layer in layers))


def codebook(slot: int, values: npt.ArrayLike, config: Config) -> Section:
    """The weights that the codes of one slot stand for."""
    table = np.asarray(values, dtype=np.int64)
    if config.code_bits == 8:
        raise ValueError("code_bits must be below 8 where there is a codebook, not 8")
    if slot not in range(config.codebooks):
        raise ValueError(f"slot must be 0 to {config.codebooks - 1}, not {slot!r}")
    if not 1 <= len(table) <= 1 << config.code_bits:
        raise ValueError(f"values must be 1 to {1 << config.code_bits} long, not {len(table)!r}")
    _check_range("values", table, -128, 127)
    fields = [slot, len(table) - 1, *table.tolist()]
    return Section(Kind.CODEBOOK, pack_bits(fields, [8] * len(fields)))


def channels(
    base: int, biases: npt.ArrayLike, pe: npt.ArrayLike, row: npt.ArrayLike, config: Config
) -> Section:
    """Bias and place of the accumulator of every channel, from word `base` on.

    `pe` counts the PEs of the channel's lane: ``pe * lanes + lane`` is the PE.
    """
    bias, chosen, rows = (np.asarray(column, dtype=np.int64) for column in (biases, pe, row))
    _check_words("base", base, len(bias), config.channel_depth, config)
    _check_range("biases", bias, -(1 << 31), (1 << 31) - 1)
    _check_range("pe", chosen, 0, config.pes // config.lanes - 1)
    _check_range("row", rows, 0, config.acc_rows - 1)
    bits = max([1, *(int(b if b >= 0 else ~b).bit_length() + 1 for b in (bias.min(), bias.max()))])
    values = np.stack([bias, chosen, rows], axis=1).ravel()
    sizes = np.tile([bits, config.pe_bits, config.row_bits], len(bias))
    head = pack_bits([base, len(bias), bits], [16, 16, 8])
    return Section(Kind.CHANNELS, head + pack_bits(values, sizes))


def records(
    base: int, multipliers: npt.ArrayLike, shifts: npt.ArrayLike, config: Config
) -> Section:
    """Requantization: multipliers of 31 bits with the top one set, and right shifts."""
    multiplier, shift = (np.asarray(column, dtype=np.int64) for column in (multipliers, shifts))
    _check_words("base", base, len(multiplier), config.record_depth, config)
    _check_range("multipliers", multiplier, MULTIPLIER_OFFSET, 2 * MULTIPLIER_OFFSET - 1)
    _check_range("shifts", shift, -(1 << (SHIFT_BITS - 1)), (1 << (SHIFT_BITS - 1)) - 1)
    values = np.stack([multiplier - MULTIPLIER_OFFSET, shift], axis=1).ravel()
    head = pack_bits([base, len(multiplier)], [16, 16])
    sizes = np.tile([MULTIPLIER_BITS, SHIFT_BITS], len(multiplier))
    return Section(Kind.RECORDS, head + pack_bits(values, sizes))


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
    """What a WEIGHTS section spends its bits on."""

    places: int
    entries: int
    symbols: int
    run_width: int  # bits of a run before Huffman coding; 0: dense
    code_bits: int
    run_bits: int
    table_bits: int
    entropy_bits: float  # no code of single symbols takes fewer, tables aside


def weights(layer: WeightLayout, config: Config) -> tuple[Section, WeightStats]:
    """A layer's weights, Huffman-coded; the run width is the one that gives the fewest bits."""
    _check_layout(layer, config)
    pes, columns, rows = layer.codes.shape
    places = columns * rows
    if layer.present is None:
        codes = layer.codes.reshape(-1)
    else:
        pe, place = np.nonzero(layer.present.reshape(pes, places))
        codes = layer.codes.reshape(pes, places)[pe, place]
        gaps, tails = _gaps(pe, place, pes, places)
    codes = codes.astype(np.int64)

    # A table names the codes that occur where that is shorter than a length for every code.
    used, symbols = np.unique(codes, return_inverse=True)
    distinct = len(used)
    mapped = distinct > 0 and 12 * distinct < 4 * (int(used[-1]) + 1)
    count = distinct if mapped else int(used[-1]) + 1 if distinct else 1
    if not mapped:
        symbols = codes
    counts = np.bincount(symbols, minlength=count)
    lengths = code_lengths(counts, config.huffman_bits).astype(np.int64)
    words = canonical_codes(lengths)[symbols], lengths[symbols]

    run_counts, run_lengths, width = np.zeros(0, np.int64), np.zeros(0, np.int64), 0
    if layer.present is not None:
        run_counts, run_lengths, width = _choose_runs(gaps, tails, config)
        words = _interleave(words, gaps, pe, tails, run_lengths)
    names = used if mapped else used[:0]
    fields = [
        ([layer.weight_base, layer.pointer_base], 24),
        ([columns, rows], 16),
        ([width, count - 1, int(mapped), *names.tolist()], 8),
        ([*lengths.tolist(), *run_lengths.tolist()], 4),
    ]
    values = np.concatenate([np.array(v, dtype=np.int64) for v, _ in fields] + [words[0]])
    sizes = np.concatenate([np.full(len(v), size) for v, size in fields] + [words[1]])
    stats = WeightStats(
        places=pes * places,
        entries=len(codes),
        symbols=distinct,
        run_width=width,
        code_bits=int(counts @ lengths),
        run_bits=int(run_counts @ run_lengths),
        table_bits=8 * len(names) + 4 * (count + len(run_lengths)),
        entropy_bits=entropy(counts) + entropy(run_counts),
    )
    return Section(Kind.WEIGHTS, pack_bits(values, sizes)), stats


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
    _check_range("codes", layer.codes, 0, (1 << config.code_bits) - 1)
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


def _check_range(name: str, values: Array, low: int, high: int) -> None:
    if values.size and not low <= values.min() <= values.max() <= high:
        wrong = values.min() if values.min() < low else values.max()
        raise ValueError(f"{name} must be {low} to {high}, not {int(wrong)!r}")


def _check_words(name: str, base: int, count: int, depth: int, config: Config) -> None:
    """`count` entries, `lanes` of them in a word, fit from word `base` on."""
    words = -(-count // config.lanes)
    if not (0 < count < 1 << 16 and 0 <= base <= depth - words):
        raise ValueError(f"{name} must leave {words} of {depth} words, not {base!r}")
