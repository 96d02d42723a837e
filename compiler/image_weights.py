"""The payloads of weights: WEIGHTS and TILES; :mod:`prunus.hw.image` has the format."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw.config import Config
from prunus.hw.image import Kind, Section

from .huffman import pack_bits
from .weight_codes import (
    Coded,
    Sparse,
    dense_code,
    dense_entropy,
    sparse_code,
    sparse_entropy,
)

__all__ = ["WeightLayout", "WeightStats", "check_range", "tiles", "weights"]

Array = npt.NDArray[Any]
FIRST_UNIT = 12  # bit of the field "units"


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
    """What a WEIGHTS or TILES section spends its bits on.

    ``form``: "raw", "single" (a word for each code), "groups of 2, 4 or 8" codes, "separate"
    (words for runs and for codes) or "joint", where ``code_bits`` are of runs as well.
    """

    form: str
    places: int
    entries: int
    symbols: int
    run_width: int  # bits of a run before Huffman coding; 0: dense
    code_bits: int
    run_bits: int
    table_bits: int
    entropy_bits: float  # no code of single weights and runs takes fewer, tables aside


def weights(layer: WeightLayout, config: Config) -> tuple[Section, WeightStats]:
    """A layer's weights in the fewest bits; :mod:`.weight_codes` has what there is to choose."""
    _check_layout(layer, config)
    pes, columns, rows = layer.codes.shape
    longest = config.huffman_bits
    if layer.present is None:
        codes = layer.codes.reshape(-1)
        coded = dense_code(codes, longest, raw=config.code_bits == 8, groups=config.code_groups)
        bound = dense_entropy(codes)
    else:
        pe, place = np.nonzero(layer.present.reshape(pes, columns * rows))
        codes = layer.codes.reshape(pes, columns * rows)[pe, place]
        sparse = _sparse(codes, pe, place, pes, columns * rows)
        found = sparse_code(sparse, longest, groups=config.code_groups)
        bound = sparse_entropy(sparse)
        if found is None:
            raise ValueError(f"huffman_bits must hold every code, not {longest!r}")
        coded = found
    bases = layer.weight_base, layer.pointer_base
    section = Section(Kind.WEIGHTS, _payload(bases, (columns, rows), coded))
    return section, _stats(coded, bound, places=layer.codes.size, entries=len(codes))


def tiles(
    base: int, values: npt.ArrayLike, config: Config, *, winograd: bool = False
) -> tuple[Section, WeightStats]:
    """Weights (words, units) of the systolic array, from word ``base`` on, in the fewest bits.

    Unit u is output u of every tile. A weight is -127..127; -128 is possible in the first
    ``config.columns`` units alone, because two weights share a multiplier. Or those of the
    ``winograd`` unit: units are the bytes of its words, of any value.
    """
    array = np.asarray(values)
    first = config.tile_outputs if winograd else 0
    most = config.tile_units - first if winograd else config.tile_outputs
    depth = config.winograd_depth if winograd else config.tile_depth
    if array.ndim != 2 or 0 in array.shape or array.shape[1] > most:
        raise ValueError(f"values must be (words, at most {most} units), not {array.shape!r}")
    words, units = array.shape
    if words >= 1 << 16:
        raise ValueError(f"words must be at most {(1 << 16) - 1} in a section, not {words!r}")
    if not 0 <= base <= depth - words:
        raise ValueError(f"base must leave {words} of {depth} words, not {base!r}")
    symmetric = units if winograd else config.columns
    check_range("values", array[:, :symmetric], -128, 127)
    check_range("values of second weights", array[:, symmetric:], -127, 127)
    codes = array.T.astype(np.int64) & 0xFF
    longest, groups = config.huffman_bits, config.code_groups
    coded = dense_code(codes.reshape(-1), longest, raw=True, groups=groups)
    bound, entries = dense_entropy(codes.reshape(-1)), array.size
    unit, word = np.nonzero(codes)
    sparse = _sparse(codes[unit, word], unit, word, units, words)
    shorter = sparse_code(sparse, longest, separate=config.tile_runs, groups=groups)
    if shorter is not None and shorter.bits < coded.bits:
        coded, entries = shorter, len(sparse.codes)
    bound = min(bound, sparse_entropy(sparse))
    place = first << FIRST_UNIT | first + units
    section = Section(Kind.TILES, _payload((base, place), (words, 1), coded))
    return section, _stats(coded, bound, places=array.size, entries=entries)


def _stats(coded: Coded, bound: float, *, places: int, entries: int) -> WeightStats:
    return WeightStats(
        form=coded.form,
        places=places,
        entries=entries,
        symbols=int(np.count_nonzero(coded.lengths)),
        run_width=coded.run_width,
        code_bits=coded.code_bits,
        run_bits=coded.run_bits,
        table_bits=coded.table_bits,
        entropy_bits=bound,
    )


def _sparse(codes: Array, pe: Array, place: Array, pes: int, places: int) -> Sparse:
    """Weights at places of PEs (or of units), both rising."""
    first = np.ones(len(pe), dtype=bool)
    first[1:] = pe[1:] != pe[:-1]
    before = np.concatenate([[-1], place[:-1]])[: len(place)]
    before[first] = -1
    last = np.full(pes, -1)
    np.maximum.at(last, pe, place)
    return Sparse(codes, place - before - 1, pe, places - 1 - last)


def _payload(bases: tuple[int, int], sizes: tuple[int, int], coded: Coded) -> bytes:
    """The header and the tables of weights, then the stream."""
    last = max(0, len(coded.lengths) - 1)
    fields = [
        (bases, 24),
        (sizes, 16),
        ([coded.run_width, last, coded.mapped, *coded.names.tolist()], 8),
        ([*coded.lengths.tolist(), *coded.run_lengths.tolist()], 4),
    ]
    words, bits = coded.words()
    values = np.concatenate([np.array(v, dtype=np.int64) for v, _ in fields] + [words])
    widths = np.concatenate([np.full(len(v), width) for v, width in fields] + [bits])
    return pack_bits(values, widths)


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
