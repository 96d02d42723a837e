"""Fully-connected layers on the EIE array: dense or sparse columns, passes, codebooks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunus.hw.config import bits_for

from .assign import assign_rows
from .cost import matrix_cycles
from .layers import Layer

__all__ = ["Draft", "MatrixPlan", "Pass", "Storage", "store"]

MAX_ROWS = 256  # accumulators of a PE, unless the caller says otherwise


@dataclass(frozen=True, slots=True)
class Draft:
    """Outputs ``first .. first + count - 1`` of a layer, one trip through its inputs.

    ``pe`` and ``row`` (count,) place the accumulators; ``entries`` is the most that any PE stores.
    """

    first: int
    count: int
    pe: NDArray[np.int64]
    row: NDArray[np.int64]
    rows: int
    entries: int


@dataclass(frozen=True, slots=True)
class Pass(Draft):
    """The same with its addresses."""

    weight_base: int
    pointer_base: int
    channel_base: int
    record_base: int


@dataclass(frozen=True, slots=True)
class MatrixPlan:
    """A layer with its storage and its passes; ``values`` are the weights that its codes name."""

    layer: Layer
    dense: bool
    codebook: int
    values: NDArray[np.int8]
    passes: tuple[Pass, ...]

    def cycles(self, lanes: int) -> int:
        """Cycles if every activation were non-zero."""
        steps = [(step.entries, step.count) for step in self.passes]
        return matrix_cycles(steps, self.layer.columns, lanes)


@dataclass(frozen=True, slots=True)
class Storage:
    """How the weights of all matrices are held; an entry for each in every tuple."""

    dense: tuple[bool, ...]
    drafts: tuple[tuple[Draft, ...], ...]
    values: tuple[NDArray[np.int8], ...]
    code_bits: int

    @property
    def rows(self) -> int:
        """The most accumulators of a PE."""
        return max((draft.rows for drafts in self.drafts for draft in drafts), default=1)

    @property
    def sparse(self) -> bool:
        return not all(self.dense)


def store(
    layers: Sequence[Layer],
    *,
    pes: int,
    lanes: int,
    act_word: int,
    acc_rows: int | None = None,
    sparse: bool | None = None,
    code_bits: int | None = None,
) -> Storage:
    """Choose dense or sparse columns, and passes, for all matrices of a network.

    Raises
    ------
    ValueError
        An option is out of range.
    """
    max_rows = acc_rows or MAX_ROWS
    chosen = _storage(layers, pes, lanes, act_word, max_rows, sparse)
    values = tuple(
        _values(layer, dense, any(draft.count % pes for draft in drafts))
        for layer, (dense, drafts) in zip(layers, chosen, strict=True)
    )
    needed = max((bits_for(len(found) - 1) for found in values), default=8)
    bits = code_bits or (needed if needed <= 6 else 8)
    if bits < 8 and needed > bits:
        raise ValueError(f"code_bits must be at least {needed} for these weights, not {bits}")
    return Storage(
        dense=tuple(dense for dense, _ in chosen),
        drafts=tuple(tuple(drafts) for _, drafts in chosen),
        values=values,
        code_bits=bits,
    )


def _values(layer: Layer, dense: bool, uneven: bool) -> NDArray[np.int8]:
    """Distinct weights that are stored, ascending; never empty.

    Where the outputs of a pass do not divide by the PEs (``uneven``), dense columns end in places
    without an output. They must hold zeros: nothing drains the accumulators behind them.
    """
    values = np.unique(layer.weight)
    if not dense:
        values = values[values != 0]
    elif uneven:
        values = np.union1d(values, np.zeros(1, np.int8))
    return values if len(values) else np.zeros(1, np.int8)


def _storage(
    layers: Sequence[Layer],
    pes: int,
    lanes: int,
    act_word: int,
    max_rows: int,
    sparse: bool | None,
) -> list[tuple[bool, list[Draft]]]:
    """Dense or sparse columns and the passes of each layer, whichever takes fewer cycles.

    Pointers and row numbers are memory in every PE: unless ``sparse`` says so, no layer is sparse
    when that gains less than a fifth of the whole network's cycles.
    """
    if pes * max_rows < act_word:
        raise ValueError(f"acc_rows must be at least {-(-act_word // pes)}, not {max_rows!r}")
    dense = [_dense_passes(layer, pes, act_word, max_rows) for layer in layers]
    if sparse is False:
        return [(True, drafts) for drafts in dense]
    # A column costs a cycle even where it holds nothing.
    dense_cycles = [sum(draft.entries for draft in drafts) for drafts in dense]
    scattered = [_sparse_passes(layer, pes, lanes, act_word, max_rows) for layer in layers]
    sparse_cycles = [
        sum(max(draft.entries, layer.columns) for draft in drafts)
        for layer, drafts in zip(layers, scattered, strict=True)
    ]
    best = sum(min(pair) for pair in zip(dense_cycles, sparse_cycles, strict=True))
    if sparse is None and best > 0.8 * sum(dense_cycles):
        return [(True, drafts) for drafts in dense]
    return [
        (False, b) if few < 0.9 * many else (True, a)
        for a, many, b, few in zip(dense, dense_cycles, scattered, sparse_cycles, strict=True)
    ]


def _slices(layer: Layer, pes: int, act_word: int, max_rows: int) -> list[tuple[int, int]]:
    """First output and count of each pass; a pass ends at a whole activation word."""
    capacity = pes * max_rows // act_word * act_word
    return [
        (first, min(capacity, layer.outputs - first)) for first in range(0, layer.outputs, capacity)
    ]


def _dense_passes(layer: Layer, pes: int, act_word: int, max_rows: int) -> list[Draft]:
    passes: list[Draft] = []
    for first, count in _slices(layer, pes, act_word, max_rows):
        index, rows = np.arange(count), -(-count // pes)
        passes.append(Draft(first, count, index % pes, index // pes, rows, rows * layer.columns))
    return passes


def _sparse_passes(layer: Layer, pes: int, lanes: int, act_word: int, max_rows: int) -> list[Draft]:
    passes: list[Draft] = []
    for first, count in _slices(layer, pes, act_word, max_rows):
        work = np.count_nonzero(layer.weight[first : first + count], axis=1)
        # Two rows of slack are enough to balance; more would only widen the row numbers.
        pe, row = assign_rows(work, pes, lanes, min(max_rows, -(-count // pes) + 2))
        load = np.bincount(pe, weights=work, minlength=pes)
        passes.append(Draft(first, count, pe, row, int(row.max()) + 1, int(load.max())))
    return passes
