"""Addresses and sizes for the layers of a lowered network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.hw import isa
from prunus.hw.config import COMPACT_PIXELS, Config
from prunus.hw.isa import Mode, Op

from .allocate import Span, allocate
from .layers import Layer
from .lower import Lowered
from .options import Options
from .place_matrices import place_matrices
from .place_steps import place_steps
from .plan_matrices import Storage, store
from .plan_memory import Biases, LayerPlan, SharedMemory
from .steps import Place, Step
from .weight_codes import worth_it

__all__ = ["Plan", "place"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration, and every layer placed on it.

    ``constants`` are biases, and ``tables`` int8 functions, that layers share. Byte b of the
    input, from ``input_base`` on, is element ``input_index[b]`` of the core's (-1: its zero point);
    element e of the output is byte ``output_index[e]`` from ``output_base`` on.
    """

    config: Config
    layers: tuple[LayerPlan, ...]
    constants: tuple[Biases, ...]
    tables: tuple[bytes, ...]
    input_base: int
    input_index: NDArray[np.int64]
    output_base: int
    output_index: NDArray[np.int64]

    @property
    def cycles(self) -> int:
        """Predicted cycles of an inference, if every activation were non-zero."""
        return sum(layer.cycles for layer in self.layers)

    @property
    def program(self) -> list[isa.Descriptor]:
        """The descriptors of all layers, without the end."""
        return [descriptor for layer in self.layers for descriptor in layer.descriptors]


def place(lowered: Lowered, options: Options) -> Plan:
    """Addresses for everything, and the configuration that holds it.

    Raises
    ------
    ValueError
        An option is out of range.
    """
    lanes, word = lowered.sizes.lanes, lowered.sizes.word
    bases, act_words = allocate(_spans(lowered))
    compact = lowered.sizes.compact
    memory = SharedMemory(lanes, lowered.sizes.tile_outputs // lanes if compact else 1)
    layers = [LayerPlan(work, _address(bases, work.target)) for work in lowered.works]
    matrices = [work.matrix for work in lowered.works if work.matrix is not None]
    storage = None
    if matrices:
        storage = store(
            matrices, pes=options.pes, lanes=lanes, act_word=word,
            acc_rows=options.acc_rows, sparse=options.sparse, code_bits=options.code_bits,
        )  # fmt: skip
        place_matrices(layers, storage, bases, memory, word)
    tables = place_steps(layers, bases, memory, compact=compact)
    steps = [step for work in lowered.works for step in work.steps]
    bits = [step.bits for step in steps] + [matrix.accumulator_bits() for matrix in matrices]
    left = [step.scaling.left for step in steps]
    left += [-int(matrix.shift.min()) for matrix in matrices]
    config = Config(
        **_dense_sizes(lowered, steps, options),
        **_codes(lowered, matrices, steps, storage, options),
        **_winograd_sizes(lowered, steps, memory, options),
        **_matrix_sizes(layers, storage, options),
        lanes=lanes,
        acc_width=max(17, *bits),
        act_word=word,
        act_depth=max(2, act_words),
        channel_depth=max(2, memory.channel_words),
        record_depth=max(2, memory.record_words),
        tile_depth=max(2, memory.tile_words),
        tables=len(tables),
        program_depth=1 + sum(len(layer.descriptors) for layer in layers),
        left_shift_bits=max(0, *left).bit_length(),
        frame_bytes=options.frame_bytes,
        trace=options.trace,
    )
    size, first = lowered.input.end, int(lowered.output.positions.min()) // word
    index = np.arange(size) if lowered.arrangement is None else lowered.arrangement
    return Plan(
        config=config,
        layers=tuple(layers),
        constants=memory.constants,
        tables=tables,
        input_base=bases[lowered.input.buffer],
        input_index=index,
        output_base=bases[lowered.output.buffer] + first,
        output_index=lowered.output.positions.ravel() - first * word,
    )


def _address(bases: Mapping[str, int], where: Place) -> int:
    return bases[where.buffer] + where.word


def _spans(lowered: Lowered) -> list[Span]:
    """Buffers live from the layer that first writes them to the last that reads them."""
    first: dict[str, int] = {lowered.input.buffer: 0}
    last: dict[str, int] = {lowered.input.buffer: 0}
    for number, work in enumerate(lowered.works):
        first.setdefault(work.target.buffer, number)
        for buffer in (work.target.buffer, *work.sources):
            last[buffer] = number
    last[lowered.output.buffer] = len(lowered.works)
    return [Span(name, lowered.buffers[name], first[name], last[name]) for name in first]


def _dense_sizes(lowered: Lowered, steps: Sequence[Step], options: Options) -> dict[str, Any]:
    """What the systolic array and the window engine need; neither where no layer runs on it."""
    engines = {work.engine for work in lowered.works}
    window = any(step.fields["op"] == Op.WINDOW for step in steps)
    sizes: dict[str, Any] = {
        "window": window,
        "adder": any(step.fields.get("mode") == Mode.ADD for step in steps),
    }
    if lowered.sizes.compact:
        return {"compact": True, "columns": lowered.sizes.columns, "tile_pixels": COMPACT_PIXELS,
                "lane_blocks": 2}  # fmt: skip
    if {"systolic", "winograd"} & engines or "eie" not in engines:
        streams = [step.fields["segments"] for step in steps
                   if step.fields["op"] == Op.DEPTHWISE]  # fmt: skip
        sizes |= {
            "columns": lowered.sizes.columns,
            "tile_pixels": options.tile_pixels,
            "tile_width": _width(steps, Op.CONV),
            "line_depth": max(streams) + lowered.sizes.line_taps if streams else 0,
            "lane_blocks": 2,
        }
    return sizes


def _codes(
    lowered: Lowered,
    matrices: Sequence[Layer],
    steps: Sequence[Step],
    storage: Storage | None,
    options: Options,
) -> dict[str, Any]:
    """Which codes of weights the loader knows."""
    tiles = [step.weights for step in steps if step.weights is not None]
    dense = storage.dense if storage else ()
    stored = [(layer.weight, flat) for layer, flat in zip(matrices, dense, strict=True)]
    # The compact engine is for parts in which logic is scarcer than memory for the image.
    plain = lowered.sizes.compact
    asked = (
        options.tile_runs if tiles and not (plain and options.tile_runs is None) else False,
        False if plain and options.code_groups is None else options.code_groups,
    )
    runs, groups = worth_it(tiles, stored, options.huffman_bits, *asked)
    return {"tile_runs": runs, "code_groups": groups}


def _width(steps: Sequence[Step], op: Op) -> int:
    """Bits that hold the sums of all layers of a kind."""
    return max((8, *(step.bits for step in steps if step.fields["op"] == op)))


def _winograd_sizes(
    lowered: Lowered, steps: Sequence[Step], memory: SharedMemory, options: Options
) -> dict[str, Any]:
    """What the Winograd unit needs; nothing where no layer runs on it."""
    channels = [step.fields["rows"] for step in steps if step.fields["op"] == Op.WINOGRAD]
    unit = lowered.sizes.winograd
    if unit is None or not channels:
        return {}
    most = max(2, lowered.sizes.word, *channels)
    return {
        "winograd": unit.outputs,
        "winograd_filters": unit.filters,
        "winograd_channels": 1 << (most - 1).bit_length(),
        "winograd_depth": max(2, memory.filter_words),
        "winograd_width": _width(steps, Op.WINOGRAD),
        "winograd_blocks": options.winograd_blocks,
    }


def _matrix_sizes(
    layers: Sequence[LayerPlan], storage: Storage | None, options: Options
) -> dict[str, Any]:
    """What the EIE array needs, and the code length that everything is written with."""
    if storage is None:
        return {"pes": 0, "sparse": False, "weight_depth": 2, "pointer_depth": 2, "acc_rows": 2,
                "queue_depth": options.queue_depth, "huffman_bits": max(options.huffman_bits, 8),
                }  # fmt: skip
    matrices = [layer.matrix for layer in layers if layer.matrix is not None]
    entries = sum(step.entries for matrix in matrices for step in matrix.passes)
    pointers = sum(len(m.passes) * m.layer.columns for m in matrices if not m.dense)
    return {
        "pes": options.pes,
        "queue_depth": options.queue_depth,
        "code_bits": storage.code_bits,
        "sparse": storage.sparse,
        "weight_depth": max(2, entries),
        "pointer_depth": max(2, pointers),
        "acc_rows": max(2, options.acc_rows or storage.rows),
        "codebooks": 1 + max(matrix.codebook for matrix in matrices),
        "huffman_bits": max(options.huffman_bits, storage.code_bits),
    }
