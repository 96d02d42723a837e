"""What the memories of an EIE array hold once a layer has been loaded."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw.config import Config

__all__ = ["Fill", "dealt", "fill"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fill:
    """The entries and column pointers of every PE, for one layer.

    Attributes
    ----------
    weights : list of int64 (entries,)
        For each PE, row << code_bits | code.
    pointers : int64 (pes, columns)
        length << weight_address_bits | start; empty for a dense layer.
    """

    weights: list[Ints]
    pointers: Ints


def fill(
    config: Config,
    codes: npt.NDArray[Any],
    kept: npt.NDArray[np.bool_] | None,
    pe_of: Ints,
    row_of: Ints,
    *,
    weight_base: int = 0,
) -> Fill:
    """Deal a matrix to the PEs.

    ``codes`` (outputs, columns) are what is stored of each weight, and ``kept`` says which are
    stored; without it the layer is dense, and every PE holds ``max(row_of) + 1`` entries of every
    column, code 0 (which must be weight 0) where it has no output. Output o lives in PE
    ``pe_of[o]``, row ``row_of[o]``.

    >>> config = Config(pes=2, lanes=1, acc_rows=2, weight_depth=16)
    >>> kept = np.array([[1, 0], [1, 1], [0, 1]], dtype=bool)
    >>> filled = fill(config, np.array([[5, 6], [7, 8], [9, 10]]), kept, *dealt(3, 2))
    >>> [w.tolist() for w in filled.weights], filled.pointers.tolist()
    ([[5, 266], [7, 8]], [[16, 17], [16, 17]])
    """
    mask = (1 << config.code_bits) - 1
    outputs, columns = codes.shape
    if kept is None:
        rows = int(row_of.max()) + 1
        dense = np.zeros((config.pes, columns, rows), dtype=np.int64)
        dense[pe_of, :, row_of] = codes & mask
        _check(config, weight_base + columns * rows)
        return Fill([pe.ravel() for pe in dense], np.zeros((config.pes, 0), dtype=np.int64))
    if not config.sparse:
        raise ValueError("config must be sparse for a layer with missing weights")
    output, column = np.nonzero(kept)
    order = np.lexsort((row_of[output], column, pe_of[output]))
    output, column = output[order], column[order]
    entries = row_of[output] << config.code_bits | codes[output, column].astype(np.int64) & mask
    lengths = np.zeros((config.pes, columns), dtype=np.int64)
    np.add.at(lengths, (pe_of[output], column), 1)
    starts = weight_base + np.cumsum(lengths, axis=1) - lengths
    _check(config, weight_base + int(lengths.sum(axis=1).max()))
    weights = np.split(entries, np.cumsum(lengths.sum(axis=1))[:-1])
    return Fill(weights, lengths << config.weight_address_bits | starts)


def dealt(outputs: int, pes: int) -> tuple[Ints, Ints]:
    """PE and row of every output of a dense layer: dealt in turn."""
    return np.arange(outputs) % pes, np.arange(outputs) // pes


def _check(config: Config, needed: int) -> None:
    if needed > config.weight_depth:
        raise ValueError(f"weight_depth must be at least {needed}, not {config.weight_depth}")
