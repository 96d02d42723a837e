"""Descriptors of the systolic array and of the window engine."""

from collections.abc import Mapping, Sequence

from prunus.hw import isa
from prunus.hw.isa import Mode, Op

from .compact_time import Timeline
from .lower_compact import reads_last, steps_of
from .plan_memory import LayerPlan, SharedMemory
from .plan_tables import Fill, schedule
from .steps import Place

__all__ = ["place_steps"]


def place_steps(
    layers: Sequence[LayerPlan],
    bases: Mapping[str, int],
    memory: SharedMemory,
    *,
    compact: bool = False,
) -> tuple[bytes, ...]:
    """Descriptors of all steps, with their share of the memories; the int8 tables in their slots.

    Fills of tables are numbered as the layer behind them.
    """
    tables: dict[bytes, int] = {}
    constants: list[tuple[isa.Descriptor, int]] = []
    every = [(number, step) for number, layer in enumerate(layers) for step in layer.work.steps]
    timeline = Timeline()
    before_it: tuple[str, isa.Descriptor] | None = None  # where the one before writes
    fills, halves = schedule([step for _, step in every])
    for (number, step), before, half in zip(every, fills, halves, strict=True):
        layer = layers[number]
        layer.descriptors += [_fill(fill, tables) | {"layer": number} for fill in before]
        # Modulo 2**16: a Winograd layer's is that of a corner in front of the image.
        sources = [_address(bases, where) % (1 << 16) for where in step.sources]
        descriptor: isa.Descriptor = {
            **step.fields,
            **step.scaling.fields(),
            **dict(zip(("in_base", "in2_base"), sources, strict=False)),
            "layer": number,
            "out_base": _address(bases, step.target),
        }
        if step.fields.get("mode") == Mode.LUT:
            descriptor["half"] = half
        biases, new = memory.biases(step)
        if biases is None:
            constants.append((descriptor, int(step.scaling.bias[0])))
        else:
            descriptor["channel_base"] = biases.base
            layer.biases += [biases] if new else []
        descriptor["record_base"], records = memory.scale(step.scaling)
        if records is not None:
            layer.records.append(records)
        if step.weights is not None:
            if step.fields["op"] == Op.WINOGRAD:
                tiles = memory.filters(step.weights)
                layer.filters.append(tiles)
            else:
                tiles, new = memory.tiles(step.weights)
                layer.tiles += [tiles] if new else []
            descriptor["weight_base"] = tiles.base
        cycles = step.cycles
        if compact:
            descriptor |= steps_of(descriptor)
            early = False
            if before_it is not None:
                written, last = before_it
                early = step.sources[0].buffer != written or reads_last(last, descriptor)
                descriptor["early"] = int(early)
            before_it = step.target.buffer, descriptor
            cycles = timeline.add(descriptor, early=early)
        layer.descriptors.append(descriptor)
        layer.cycles += cycles
    memory.close()
    for descriptor, value in constants:
        descriptor["channel_base"] = memory.constant(value)
    return tuple(tables)


def _address(bases: Mapping[str, int], where: Place) -> int:
    return bases[where.buffer] + where.word


def _fill(fill: Fill, slots: dict[bytes, int]) -> isa.Descriptor:
    """The descriptor that fills half of the tables."""
    table = fill.table
    what: isa.Descriptor = {"op": Op.TABLE, "half": fill.half}
    if table.values:
        return what | {"slot": slots.setdefault(table.values, len(slots))}
    scale = {"in_zero": table.zero, "multiplier": table.multiplier, "shift": table.shift}
    return what | scale
