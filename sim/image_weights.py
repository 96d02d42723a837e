"""Reads the weights of an image: the sections WEIGHTS and TILES."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw.config import Config
from prunus.hw.image import MEMBER_BITS, RAW, SYMBOL_BITS, ImageError

from .fields import Fields
from .huffman import Reader
from .memories import Memories

__all__ = ["read_tiles", "read_weights"]

Array = npt.NDArray[Any]
HEADER = (24, 24, 16, 16, 8, 8, 8)
FIRST_UNIT = 12  # bit of the field "units"


@dataclass(frozen=True, slots=True)
class _Tables:
    """What a section's symbols mean; see :mod:`prunus.hw.image`."""

    members: int  # bits of each; 0: a symbol is one code
    names: Array  # stored codes
    runs: Array  # the runs that members are
    largest: int  # run; 0: there are none
    lengths: Array
    run_lengths: Array | None


def read_weights(memories: Memories, payload: bytes) -> None:
    """Weights of one layer into the PEs' memories."""
    config = memories.config
    if not config.pes:
        raise ImageError("there are no PEs")
    fields = Fields(payload)
    weight_base, pointer_base, columns, rows, width, last, mapped = fields.take(*HEADER)[0].tolist()
    if not columns or not 1 <= rows <= config.acc_rows:
        raise ImageError(f"{columns} columns of {rows} rows")
    if width > (8 if config.sparse else 0):
        raise ImageError(f"run width {width}")
    if weight_base > config.weight_depth:
        raise ImageError(f"weight base {weight_base}, of {config.weight_depth}")
    if pointer_base >= 2 << config.pointer_address_bits:  # what the loader's register holds
        raise ImageError(f"pointer base {pointer_base}, of {config.pointer_depth}")
    places = columns * rows
    raw = config.code_bits == 8 and not width
    if not width:
        _check_room(weight_base, places, config.weight_depth)
        codes = _dense(fields, last, mapped, config.pes * places, config.code_bits, config, raw)
        row = np.arange(places) % rows if config.sparse else 0
        entries = codes.reshape(config.pes, places) | row << config.code_bits
        memories.weights[:, weight_base : weight_base + places] = entries
        return
    tables = _tables(fields, last, mapped, width, config.code_bits, config)
    if pointer_base + columns > config.pointer_depth:
        raise ImageError(f"{columns} columns from {pointer_base} on, of {config.pointer_depth}")
    runs, codes = _sparse(fields, tables)
    for pe, place, found in _streams(runs, codes, config.pes, places, "PE"):
        _check_room(weight_base, len(found), config.weight_depth)
        entries = found | place % rows << config.code_bits
        memories.weights[pe, weight_base : weight_base + len(found)] = entries
        count = np.bincount(place // rows, minlength=columns)
        start = weight_base + np.cumsum(count) - count
        span = slice(pointer_base, pointer_base + columns)
        memories.pointers[pe, span, 0] = start & ((1 << config.weight_address_bits) - 1)
        memories.pointers[pe, span, 1] = count


def read_tiles(memories: Memories, payload: bytes) -> None:
    """Weights of the systolic array, unit after unit."""
    config = memories.config
    if not config.columns:
        raise ImageError("there is no systolic array")
    fields = Fields(payload)
    base, units, words, one, width, last, mapped = fields.take(*HEADER)[0].tolist()
    if not words or one != 1 or width > 8:
        raise ImageError(f"{words} words, rows {one}, run width {width}")
    first, end = divmod(units, 1 << FIRST_UNIT)
    filters = config.winograd > 0 and first > 0
    depth, most = config.tile_depth, config.tile_outputs
    if filters:
        depth, most = config.winograd_depth, config.tile_units
    if first not in (0, config.tile_outputs if filters else 0) or not first < end <= most:
        raise ImageError(f"{end - first} units from {first} on, of {most}")
    _check_room(base, words, depth)
    units = end - first
    if width and not (config.code_groups if mapped >> 4 else config.tile_runs):
        raise ImageError(f"run width {width} for tiles, with mapped {mapped}")
    if not width:
        codes = _dense(fields, last, mapped, units * words, 8, config, True).reshape(units, words)
    else:
        tables = _tables(fields, last, mapped, width, 8, config)
        codes = np.zeros((units, words), np.int64)
        for unit, word, found in _streams(*_sparse(fields, tables), units, words, "unit"):
            codes[unit, word] = found
    target = memories.filters if filters else memories.tiles
    target[base : base + words, :units] = codes.astype(np.uint8).view(np.int8).T


def _dense(
    fields: Fields, last: int, mapped: int, count: int, code_bits: int, config: Config, raw: bool
) -> Array:
    """The stored codes of every place."""
    if mapped == RAW and raw:
        return fields.take(8, count=count)[:, 0]
    tables = _tables(fields, last, mapped, 0, code_bits, config)
    each = SYMBOL_BITS // tables.members if tables.members else 1
    _, symbols, _ = Reader(fields.rest(), tables.lengths).read(-(-count // each))
    if len(symbols) * each < count:
        raise ImageError(f"{len(symbols) * each} of {count} weights")
    return np.asarray(tables.names[_split(symbols, tables.members).ravel()[:count]])


def _sparse(fields: Fields, tables: _Tables) -> tuple[Array, Array]:
    """Runs, and the code behind each, -1 for none."""
    if not tables.members:
        runs, symbols, _ = Reader(fields.rest(), tables.lengths, tables.run_lengths).read()
        return runs, np.where(symbols < 0, -1, tables.names[symbols])
    _, symbols, _ = Reader(fields.rest(), tables.lengths).read()
    pairs = _split(symbols, tables.members)
    pairs = pairs.reshape(len(pairs), pairs.shape[1] // 2, 2)
    runs, codes = tables.runs[pairs[..., 0]], tables.names[pairs[..., 1]]
    alone = runs == tables.largest
    # What lies behind a largest run in its symbol does not count.
    kept = np.cumsum(alone, axis=1) - alone == 0
    return runs[kept], np.where(alone, -1, codes)[kept]


def _streams(
    runs: Array, codes: Array, count: int, places: int, what: str
) -> Iterator[tuple[int, Array, Array]]:
    """The places and codes of the weights of each PE, or unit."""
    ends = np.cumsum(runs + (codes >= 0))
    done, passed = 0, 0
    for number in range(count):
        stop = int(np.searchsorted(ends, passed + places)) + 1
        if stop > len(ends):
            raise ImageError(f"the stream of {what} {number} ends before its {places} places")
        put = np.flatnonzero(codes[done:stop] >= 0) + done
        place = ends[put] - passed - 1
        if len(put) and place[-1] >= places:
            raise ImageError(f"{what} {number} has a weight behind its {places} places")
        yield number, place, codes[put]
        done, passed = stop, int(ends[stop - 1])


def _split(symbols: Array, members: int) -> Array:
    """The members of symbols, a row for each."""
    if not members:
        return symbols[:, None]
    shifts = members * np.arange(SYMBOL_BITS // members)
    return (symbols[:, None] >> shifts) & ((1 << members) - 1)


def _tables(
    fields: Fields, last: int, mapped: int, width: int, code_bits: int, config: Config
) -> _Tables:
    """Stored code and code length of each symbol or member."""
    members, form = mapped >> 4, mapped & 15
    if form > 1 or (
        members and (form != 1 or members not in MEMBER_BITS or not config.code_groups)
    ):
        raise ImageError(f"mapped {mapped}, with run width {width}")
    runs = np.zeros(0, np.int64)
    if members:
        names = fields.take(8, count=1 << members)[:, 0]
        runs = fields.take(8, count=1 << members)[:, 0] if width else runs
    else:
        names = fields.take(8, count=last + 1)[:, 0] if form else np.arange(last + 1)
    lengths = fields.take(4, count=last + 1)[:, 0]
    _check_lengths(lengths, config)
    used = names if members else names[lengths > 0]
    if (used >> code_bits).any():
        raise ImageError(f"codes of more than {code_bits} bits")
    run_lengths = None
    if width and not members:
        run_lengths = fields.take(4, count=1 << width)[:, 0]
        _check_lengths(run_lengths, config)
    return _Tables(members, names, runs, (1 << width) - 1, lengths, run_lengths)


def _check_lengths(lengths: Array, config: Config) -> None:
    if lengths.max() > config.huffman_bits:
        raise ImageError(f"code words of more than {config.huffman_bits} bits")


def _check_room(base: int, count: int, depth: int) -> None:
    if base + count > depth:
        raise ImageError(f"{count} entries from {base} on, of {depth}")
