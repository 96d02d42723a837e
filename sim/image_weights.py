"""Reads the weights of an image: the sections WEIGHTS and TILES."""

from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw.config import Config
from prunus.hw.image import ImageError

from .fields import Fields
from .huffman import Reader
from .memories import Memories

__all__ = ["read_tiles", "read_weights"]

Array = npt.NDArray[Any]
HEADER = (24, 24, 16, 16, 8, 8, 8)
RAW = 2  # in the field `mapped`


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
    if mapped > (RAW if config.code_bits == 8 and not width else 1):
        raise ImageError(f"mapped {mapped}, with run width {width}")
    if weight_base > config.weight_depth:
        raise ImageError(f"weight base {weight_base}, of {config.weight_depth}")
    if pointer_base >= 2 << config.pointer_address_bits:  # what the loader's register holds
        raise ImageError(f"pointer base {pointer_base}, of {config.pointer_depth}")
    places = columns * rows
    if not width:
        _check_room(weight_base, places, config.weight_depth)
        codes = _dense(fields, last, mapped, config.pes * places, config.code_bits, config)
        row = np.arange(places) % rows if config.sparse else 0
        entries = codes.reshape(config.pes, places) | row << config.code_bits
        memories.weights[:, weight_base : weight_base + places] = entries
        return
    if pointer_base + columns > config.pointer_depth:
        raise ImageError(f"{columns} columns from {pointer_base} on, of {config.pointer_depth}")
    names, lengths = _table(fields, last, mapped, config.code_bits, config)
    run_lengths = fields.take(4, count=1 << width)[:, 0]
    _check_lengths(run_lengths, config)
    runs, symbols, _ = Reader(fields.rest(), lengths, run_lengths).read()
    ends = np.cumsum(runs + (symbols >= 0))
    done, passed = 0, 0
    for pe in range(config.pes):
        stop = int(np.searchsorted(ends, passed + places)) + 1
        if stop > len(ends):
            raise ImageError(f"the stream of PE {pe} ends before its {places} places")
        put = np.flatnonzero(symbols[done:stop] >= 0) + done
        place = ends[put] - passed - 1
        if len(put) and place[-1] >= places:
            raise ImageError(f"PE {pe} has a weight behind its {places} places")
        _check_room(weight_base, len(put), config.weight_depth)
        entries = names[symbols[put]] | place % rows << config.code_bits
        memories.weights[pe, weight_base : weight_base + len(put)] = entries
        count = np.bincount(place // rows, minlength=columns)
        start = weight_base + np.cumsum(count) - count
        span = slice(pointer_base, pointer_base + columns)
        memories.pointers[pe, span, 0] = start & ((1 << config.weight_address_bits) - 1)
        memories.pointers[pe, span, 1] = count
        done, passed = stop, int(ends[stop - 1])


def read_tiles(memories: Memories, payload: bytes) -> None:
    """Weights of the systolic array, unit after unit."""
    config = memories.config
    if not config.columns:
        raise ImageError("there is no systolic array")
    fields = Fields(payload)
    base, units, words, one, width, last, mapped = fields.take(*HEADER)[0].tolist()
    if not words or one != 1 or width or mapped > RAW:
        raise ImageError(f"{words} words, rows {one}, run width {width}, mapped {mapped}")
    if not 1 <= units <= config.tile_outputs:
        raise ImageError(f"{units} units, of {config.tile_outputs}")
    _check_room(base, words, config.tile_depth)
    codes = _dense(fields, last, mapped, units * words, 8, config)
    values = codes.astype(np.uint8).view(np.int8).reshape(units, words)
    memories.tiles[base : base + words, :units] = values.T


def _dense(
    fields: Fields, last: int, mapped: int, count: int, code_bits: int, config: Config
) -> Array:
    """The stored codes of every place."""
    if mapped == RAW:
        return fields.take(8, count=count)[:, 0]
    names, lengths = _table(fields, last, mapped, code_bits, config)
    _, symbols, _ = Reader(fields.rest(), lengths).read(count)
    if len(symbols) < count:
        raise ImageError(f"{len(symbols)} of {count} weights")
    return np.asarray(names[symbols])


def _table(
    fields: Fields, last: int, mapped: int, code_bits: int, config: Config
) -> tuple[Array, Array]:
    """Stored code and code length of each symbol."""
    names = fields.take(8, count=last + 1)[:, 0] if mapped else np.arange(last + 1)
    lengths = fields.take(4, count=last + 1)[:, 0]
    _check_lengths(lengths, config)
    if (names[lengths > 0] >> code_bits).any():
        raise ImageError(f"codes of more than {code_bits} bits")
    return names, lengths


def _check_lengths(lengths: Array, config: Config) -> None:
    if lengths.max() > config.huffman_bits:
        raise ImageError(f"code words of more than {config.huffman_bits} bits")


def _check_room(base: int, count: int, depth: int) -> None:
    if base + count > depth:
        raise ImageError(f"{count} entries from {base} on, of {depth}")
