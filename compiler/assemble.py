"""From a plan to the bytes of a ROM image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunus.hw import image as container
from prunus.hw import isa
from prunus.hw.image import Section

from . import image as sections
from .image import WeightLayout
from .plan import LayerPlan, Pass, Plan

__all__ = ["Assembly", "LayerStatistics", "assemble"]


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """What a layer costs in the image.

    ``rom_bits`` counts everything that is stored for it: codes, runs, tables, codebook, biases,
    records, descriptors and section frames. ``code_bits``, ``run_bits`` and ``table_bits`` are the
    parts of its weight sections, ``entropy_bits`` what no code for single symbols can go below.
    """

    rom_bits: int
    code_bits: int
    run_bits: int
    table_bits: int
    entropy_bits: float


@dataclass(frozen=True, slots=True)
class Assembly:
    """An image, and what each layer costs in it."""

    image: bytes
    layers: tuple[LayerStatistics, ...]


def place(
    layer: LayerPlan, step: Pass, pes: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """A pass' weights as the PEs hold them: stored codes and presence, (pes, columns, rows).

    Presence is ``None`` for dense columns. PEs with fewer rows than others store zero weights
    there.
    """
    weight = layer.layer.weight[step.first : step.first + step.count]
    lookup = np.zeros(256, np.uint8)
    if layer.values.size:
        lookup[layer.values.view(np.uint8)] = np.arange(layer.values.size, dtype=np.uint8)
    codes = np.full((pes, layer.layer.columns, step.rows), lookup[0])
    codes[step.pe, :, step.row] = lookup[weight.view(np.uint8)]
    if layer.dense:
        return codes, None
    present = np.zeros(codes.shape, np.bool_)
    present[step.pe, :, step.row] = weight != 0
    return codes, present


def descriptor(number: int, plan: LayerPlan, step: Pass, act_word: int) -> isa.Descriptor:
    """The descriptor of one pass."""
    layer = plan.layer
    return {
        "op": isa.Op.EIE,
        "layer": number,
        "dense": int(plan.dense),
        "double_round": int(layer.double_round),
        "per_channel": int(layer.per_channel),
        "in_base": plan.in_base,
        "in_zero": layer.in_zero,
        "columns": layer.columns,
        "out_base": plan.out_base + step.first // act_word,
        "outputs": step.count,
        "out_zero": layer.out_zero,
        "clamp_min": layer.clamp[0],
        "clamp_max": layer.clamp[1],
        "rows": step.rows,
        "weight_base": step.weight_base,
        "pointer_base": step.pointer_base,
        "codebook": plan.codebook,
        "channel_base": step.channel_base,
        "record_base": step.record_base,
    }


def assemble(plan: Plan) -> Assembly:
    """Write the ROM image of a plan."""
    config = plan.config
    direct = config.code_bits == 8
    program: list[isa.Descriptor] = []
    body: list[Section] = []
    statistics = []
    slots: set[int] = set()
    for number, layer_plan in enumerate(plan.layers):
        layer = layer_plan.layer
        mark, described = len(body), len(program)
        code_bits = run_bits = table_bits = 0
        entropy = 0.0
        if not direct and layer_plan.codebook not in slots:
            slots.add(layer_plan.codebook)
            body.append(sections.codebook(layer_plan.codebook, layer_plan.values, config))
        if not layer.per_channel:
            # One word for all, the same record in every lane.
            base = layer_plan.passes[0].record_base
            multiplier, shift = (
                np.repeat(v, config.lanes) for v in (layer.multiplier, layer.shift)
            )
            body.append(sections.records(base, multiplier, shift, config))
        for step in layer_plan.passes:
            part = slice(step.first, step.first + step.count)
            if layer.per_channel:
                multiplier, shift = layer.multiplier[part], layer.shift[part]
                body.append(sections.records(step.record_base, multiplier, shift, config))
            lane_pe = step.pe // config.lanes
            body.append(
                sections.channels(step.channel_base, layer.bias[part], lane_pe, step.row, config)
            )
            codes, present = place(layer_plan, step, config.pes)
            if direct:
                codes = layer_plan.values.view(np.uint8)[codes]
            section, weights = sections.weights(
                WeightLayout(codes, present, step.weight_base, step.pointer_base), config
            )
            body.append(section)
            code_bits += weights.code_bits
            run_bits += weights.run_bits
            table_bits += weights.table_bits
            entropy += weights.entropy_bits
            program.append(descriptor(number, layer_plan, step, config.act_word))
        stored = sum(8 * (len(section.payload) + 8) for section in body[mark:])
        stored += 8 * isa.DESCRIPTOR_BYTES * (len(program) - described)
        statistics.append(LayerStatistics(stored, code_bits, run_bits, table_bits, entropy))
    first, last = plan.layers[0], plan.layers[-1]
    head = [
        sections.network(
            first.in_base, first.layer.columns, last.out_base, last.layer.outputs, config
        ),
        sections.program(program, config),
    ]
    return Assembly(container.pack(head + body, config.hash), tuple(statistics))
