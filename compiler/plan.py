"""From layers to an accelerator's configuration and the passes that run on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunus.hw.config import Config, bits_for

from .allocate import Span, allocate
from .assign import assign_rows
from .layers import Layer

__all__ = ["LayerPlan", "Options", "Pass", "Plan", "plan"]

MAX_ROWS = 256  # accumulators of a PE, unless the caller says otherwise


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the user may fix; ``None`` leaves the choice to the plan."""

    pes: int = 64
    lanes: int | None = None
    act_word: int = 16
    queue_depth: int = 8
    code_bits: int | None = None
    acc_rows: int | None = None
    sparse: bool | None = None
    huffman_bits: int = 12
    frame_bytes: int = 256
    trace: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """Outputs ``first .. first + count - 1`` of a layer, one trip through its inputs.

    ``pe`` and ``row`` (count,) place the accumulators; ``entries`` is the most that any PE stores.
    """

    first: int
    count: int
    pe: NDArray[np.int64]
    row: NDArray[np.int64]
    rows: int
    entries: int
    weight_base: int
    pointer_base: int
    channel_base: int
    record_base: int


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A layer with its storage and its passes."""

    layer: Layer
    dense: bool
    codebook: int
    values: NDArray[np.int8]
    in_base: int
    out_base: int
    passes: tuple[Pass, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration, and every layer placed on it."""

    config: Config
    layers: tuple[LayerPlan, ...]


def default_lanes(pes: int, act_word: int) -> int:
    """The widest vector unit, to eight lanes, whose lanes divide PEs and activation word.

    >>> default_lanes(64, 16), default_lanes(6, 16), default_lanes(1, 8)
    (8, 2, 1)
    """
    lanes = 8
    while pes % lanes or act_word % lanes:
        lanes //= 2
    return lanes


def plan(layers: Sequence[Layer], options: Options) -> Plan:
    """Choose storage, passes, addresses and the configuration that holds them.

    Raises
    ------
    ValueError
        An option is out of range.
    """
    pes, act_word = options.pes, options.act_word
    if not 1 <= pes <= 256:
        raise ValueError(f"pes must be 1 to 256, not {pes!r}")
    lanes = options.lanes or default_lanes(pes, act_word)
    max_rows = options.acc_rows or MAX_ROWS

    # Activations live from the layer that writes them to the last that reads them.
    last_use = {layers[0].source: 0}
    for step, layer in enumerate(layers):
        last_use[layer.source] = step
        last_use[layer.target] = step
    last_use[layers[-1].target] = len(layers)
    first_use = {layers[0].source: 0} | {layer.target: n for n, layer in enumerate(layers)}
    sizes = {layers[0].source: layers[0].columns} | {la.target: la.outputs for la in layers}
    spans = [
        Span(name, -(-size // act_word), first_use[name], last_use[name])
        for name, size in sizes.items()
    ]
    bases, act_words = allocate(spans)

    drafts = _storage(layers, pes, lanes, act_word, max_rows, options.sparse)
    sparse = any(not dense for dense, _ in drafts)
    distinct = [
        _values(layer, dense, pes) for layer, (dense, _) in zip(layers, drafts, strict=True)
    ]
    needed = max(bits_for(len(values) - 1) for values in distinct)
    code_bits = options.code_bits or (needed if needed <= 6 else 8)
    if code_bits < 8 and needed > code_bits:
        raise ValueError(f"code_bits must be at least {needed} for these weights, not {code_bits}")

    weight_base = pointer_base = channel_base = record_base = 0
    planned = []
    rows_used = 1
    slots: dict[bytes, int] = {}
    for layer, (dense, raw_passes), values in zip(layers, drafts, distinct, strict=True):
        passes = []
        shared_record = record_base
        for first, count, pe, row, rows, entries in raw_passes:
            if layer.per_channel:
                shared_record = record_base
            passes.append(
                Pass(
                    first, count, pe, row, rows, entries,
                    weight_base, pointer_base, channel_base, shared_record,
                )
            )  # fmt: skip
            weight_base += entries
            pointer_base += 0 if dense else layer.columns
            channel_base += -(-count // lanes)
            record_base += -(-count // lanes) if layer.per_channel else 0
            rows_used = max(rows_used, rows)
        record_base += 0 if layer.per_channel else 1
        slot = slots.setdefault(values.tobytes(), len(slots)) if code_bits < 8 else 0
        planned.append(
            LayerPlan(
                layer, dense, slot, values,
                bases[layer.source], bases[layer.target], tuple(passes),
            )
        )  # fmt: skip

    left = max(0, *(-int(layer.shift.min()) for layer in layers), 0)
    config = Config(
        pes=pes,
        lanes=lanes,
        queue_depth=options.queue_depth,
        code_bits=code_bits,
        sparse=sparse,
        weight_depth=max(2, weight_base),
        pointer_depth=max(2, pointer_base),
        acc_rows=max(2, options.acc_rows or rows_used),
        acc_width=max(17, *(layer.accumulator_bits() for layer in layers)),
        codebooks=max(1, len(slots)),
        act_word=act_word,
        act_depth=max(2, act_words),
        channel_depth=max(2, channel_base),
        record_depth=max(2, record_base),
        program_depth=1 + sum(len(p.passes) for p in planned),
        huffman_bits=max(options.huffman_bits, code_bits),
        left_shift_bits=left.bit_length(),
        frame_bytes=options.frame_bytes,
        trace=options.trace,
    )
    return Plan(config, tuple(planned))


def _values(layer: Layer, dense: bool, pes: int) -> NDArray[np.int8]:
    """Distinct weights that are stored, ascending; never empty.

    Where outputs do not divide by the PEs, dense columns end in places without an output. They
    must hold zeros: the accumulators behind them are not read, and so not cleared, in this layer.
    """
    values = np.unique(layer.weight)
    if not dense:
        values = values[values != 0]
    elif layer.outputs % pes:
        values = np.union1d(values, np.zeros(1, np.int8))
    return values if len(values) else np.zeros(1, np.int8)


_RawPass = tuple[int, int, NDArray[np.int64], NDArray[np.int64], int, int]


def _storage(
    layers: Sequence[Layer],
    pes: int,
    lanes: int,
    act_word: int,
    max_rows: int,
    sparse: bool | None,
) -> list[tuple[bool, list[_RawPass]]]:
    """Dense or sparse columns and the passes of each layer, whichever takes fewer cycles.

    Pointers and row numbers are memory in every PE: unless ``sparse`` says so, no layer is sparse
    when that gains less than a fifth of the whole network's cycles.
    """
    if pes * max_rows < act_word:
        raise ValueError(f"acc_rows must be at least {-(-act_word // pes)}, not {max_rows!r}")
    dense = [_dense_passes(layer, pes, act_word, max_rows) for layer in layers]
    if sparse is False:
        return [(True, passes) for passes in dense]
    # A column costs a cycle even where it holds nothing.
    dense_cycles = [sum(entries for *_, entries in passes) for passes in dense]
    scattered = [_sparse_passes(layer, pes, lanes, act_word, max_rows) for layer in layers]
    sparse_cycles = [
        sum(max(entries, layer.columns) for *_, entries in passes)
        for layer, passes in zip(layers, scattered, strict=True)
    ]
    best = sum(min(pair) for pair in zip(dense_cycles, sparse_cycles, strict=True))
    if sparse is None and best > 0.8 * sum(dense_cycles):
        return [(True, passes) for passes in dense]
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


def _dense_passes(layer: Layer, pes: int, act_word: int, max_rows: int) -> list[_RawPass]:
    passes: list[_RawPass] = []
    for first, count in _slices(layer, pes, act_word, max_rows):
        index, rows = np.arange(count), -(-count // pes)
        passes.append((first, count, index % pes, index // pes, rows, rows * layer.columns))
    return passes


def _sparse_passes(
    layer: Layer, pes: int, lanes: int, act_word: int, max_rows: int
) -> list[_RawPass]:
    passes: list[_RawPass] = []
    for first, count in _slices(layer, pes, act_word, max_rows):
        work = np.count_nonzero(layer.weight[first : first + count], axis=1)
        # Two rows of slack are enough to balance; more would only widen the row numbers.
        pe, row = assign_rows(work, pes, lanes, min(max_rows, -(-count // pes) + 2))
        load = np.bincount(pe, weights=work, minlength=pes)
        passes.append((first, count, pe, row, int(row.max()) + 1, int(load.max())))
    return passes
