"""Descriptors of the EIE array."""

from collections.abc import Mapping, Sequence

from prunus.hw.isa import Op

from .plan_matrices import MatrixPlan, Pass, Storage
from .plan_memory import LayerPlan, SharedMemory

__all__ = ["place_matrices"]


def place_matrices(
    layers: Sequence[LayerPlan],
    storage: Storage,
    bases: Mapping[str, int],
    memory: SharedMemory,
    word: int,
) -> None:
    """Passes of the EIE array, their entries one behind the other in every PE."""
    weight_base = pointer_base = 0
    slots: dict[bytes, int] = {}
    chosen = zip(storage.dense, storage.drafts, storage.values, strict=True)
    for number, layer in enumerate(layers):
        matrix, source = layer.work.matrix, layer.work.source
        if matrix is None or source is None:
            continue
        dense, drafts, values = next(chosen)
        slot = slots.setdefault(values.tobytes(), len(slots)) if storage.code_bits < 8 else 0
        shared = None if matrix.per_channel else memory.records(1)
        passes = []
        for draft in drafts:
            record = memory.records(draft.count) if shared is None else shared
            passes.append(
                Pass(
                    draft.first, draft.count, draft.pe, draft.row, draft.rows, draft.entries,
                    weight_base, pointer_base, memory.channels(draft.count), record,
                )
            )  # fmt: skip
            weight_base += draft.entries
            pointer_base += 0 if dense else matrix.columns
        layer.matrix = MatrixPlan(matrix, dense, slot, values, tuple(passes))
        layer.cycles = layer.matrix.cycles(memory.lanes)
        for step in passes:
            layer.descriptors.append({
                "op": Op.EIE,
                "layer": number,
                "dense": int(dense),
                "double_round": int(matrix.double_round),
                "per_channel": int(matrix.per_channel),
                "in_base": bases[source.buffer] + source.word,
                "in_zero": matrix.in_zero,
                "columns": matrix.columns,
                "out_base": layer.base_word + step.first // word,
                "outputs": step.count,
                "out_zero": matrix.out_zero,
                "clamp_min": matrix.clamp[0],
                "clamp_max": matrix.clamp[1],
                "rows": step.rows,
                "weight_base": step.weight_base,
                "pointer_base": step.pointer_base,
                "codebook": slot,
                "channel_base": step.channel_base,
                "record_base": step.record_base,
            })  # fmt: skip
