"""From a plan to the bytes of a ROM image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunus.hw import image as container
from prunus.hw.config import Config
from prunus.hw.image import Section

from . import image as sections
from .assemble_tiles import tile_sections
from .image import WeightLayout
from .place import Plan
from .plan_matrices import MatrixPlan, Pass
from .plan_memory import LayerPlan

__all__ = ["Assembly", "LayerStatistics", "assemble"]

FRAME = 8  # bytes of a section beside its payload
WORD_BITS = 32


@dataclass(slots=True)
class LayerStatistics:
    """What a layer costs in the image.

    ``rom_bits`` counts everything that is stored for it: codes, runs, tables, codebook, biases,
    records, descriptors and section frames. ``code_bits``, ``run_bits`` and ``table_bits`` are the
    parts of its weight sections, ``entropy_bits`` what no code of single weights and runs can go
    below.
    Of a section that holds several layers' weights, each has the share of its weights.
    """

    rom_bits: int = 0
    code_bits: int = 0
    run_bits: int = 0
    table_bits: int = 0
    entropy_bits: float = 0.0


@dataclass(frozen=True, slots=True)
class Assembly:
    """An image, and what each layer costs in it."""

    image: bytes
    layers: tuple[LayerStatistics, ...]


def assemble(plan: Plan) -> Assembly:
    """Write the ROM image of a plan."""
    config = plan.config
    statistics = [LayerStatistics() for _ in plan.layers]
    body: list[Section] = []
    slots: set[int] = set()
    for layer, found in zip(plan.layers, statistics, strict=True):
        if layer.matrix is not None:
            made = _matrix(layer.matrix, slots, config, found)
        else:
            made = _parameters(layer, config)
        found.rom_bits += sum(map(_bits, made))
        found.rom_bits += WORD_BITS * config.descriptor_words * len(layer.descriptors)
        body += made
    of_array = tile_sections([layer.tiles for layer in plan.layers], config)
    of_unit = tile_sections([layer.filters for layer in plan.layers], config, winograd=True)
    for section, stats, shares in (*of_array, *of_unit):
        for number, share in shares.items():
            found = statistics[number]
            found.rom_bits += round(share * _bits(section))
            found.code_bits += round(share * stats.code_bits)
            found.run_bits += round(share * stats.run_bits)
            found.table_bits += round(share * stats.table_bits)
            found.entropy_bits += share * stats.entropy_bits
        body.append(section)
    for biases in plan.constants:
        body.append(sections.channels(biases.base, biases.values, None, None, config))
    for slot, table in enumerate(plan.tables):
        body.append(sections.tables(slot, np.frombuffer(table, np.int8), config))
    input_bytes, output_bytes = len(plan.input_index), int(plan.output_index.max()) + 1
    head = [
        sections.network(plan.input_base, input_bytes, plan.output_base, output_bytes, config),
        sections.program(plan.program, config),
    ]
    return Assembly(container.pack(head + body, config.hash), tuple(statistics))


def _bits(section: Section) -> int:
    return 8 * (len(section.payload) + FRAME)


def _parameters(layer: LayerPlan, config: Config) -> list[Section]:
    """Biases and records of a layer on the systolic array or the window engine."""
    made = [
        sections.records(r.base, r.multiplier, r.shift, config, small=r.small)
        for r in layer.records
    ]
    made += [sections.channels(b.base, b.values, None, None, config) for b in layer.biases]
    return made


def _matrix(
    planned: MatrixPlan, slots: set[int], config: Config, found: LayerStatistics
) -> list[Section]:
    """Everything that is stored for a layer on the EIE array, its descriptors left out."""
    layer, direct = planned.layer, config.code_bits == 8
    made: list[Section] = []
    if not direct and planned.codebook not in slots:
        slots.add(planned.codebook)
        made.append(sections.codebook(planned.codebook, planned.values, config))
    if not layer.per_channel:
        # One word for all, the same record in every lane.
        base = planned.passes[0].record_base
        multiplier, shift = (np.repeat(v, config.lanes) for v in (layer.multiplier, layer.shift))
        made.append(sections.records(base, multiplier, shift, config))
    for step in planned.passes:
        part = slice(step.first, step.first + step.count)
        if layer.per_channel:
            multiplier, shift = layer.multiplier[part], layer.shift[part]
            made.append(sections.records(step.record_base, multiplier, shift, config))
        lane_pe = step.pe // config.lanes
        made.append(
            sections.channels(step.channel_base, layer.bias[part], lane_pe, step.row, config)
        )
        codes, present = _spread(planned, step, config.pes)
        if direct:
            codes = planned.values.view(np.uint8)[codes]
        section, weights = sections.weights(
            WeightLayout(codes, present, step.weight_base, step.pointer_base), config
        )
        made.append(section)
        found.code_bits += weights.code_bits
        found.run_bits += weights.run_bits
        found.table_bits += weights.table_bits
        found.entropy_bits += weights.entropy_bits
    return made


def _spread(
    planned: MatrixPlan, step: Pass, pes: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """A pass' weights as the PEs hold them: stored codes and presence, (pes, columns, rows).

    Presence is ``None`` for dense columns. PEs with fewer rows than others store zero weights
    there.
    """
    weight = planned.layer.weight[step.first : step.first + step.count]
    lookup = np.zeros(256, np.uint8)
    if planned.values.size:
        lookup[planned.values.view(np.uint8)] = np.arange(planned.values.size, dtype=np.uint8)
    codes = np.full((pes, planned.layer.columns, step.rows), lookup[0])
    codes[step.pe, :, step.row] = lookup[weight.view(np.uint8)]
    if planned.dense:
        return codes, None
    present = np.zeros(codes.shape, np.bool_)
    present[step.pe, :, step.row] = weight != 0
    return codes, present
