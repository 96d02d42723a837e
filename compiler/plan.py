"""Which engines run a network, and everything that follows from it."""

from .ir import Graph, GraphError
from .lower import lower
from .options import ENGINES, Options, default_lanes, dense_lanes
from .place import Plan, place
from .plan_memory import LayerPlan
from .steps import Sizes

__all__ = ["LayerPlan", "Options", "Plan", "default_lanes", "plan"]

GAIN = 0.9  # of the cycles: what is left when the EIE array is worth being built as well


def plan(core: Graph, options: Options) -> Plan:
    """Choose engines, storage, passes, addresses and the configuration that holds them.

    Where no layer needs the systolic array, fully-connected layers go to the EIE array. Beside a
    systolic array they do so only if that takes away a tenth of the network's cycles.

    Raises
    ------
    GraphError
        A node that the hardware cannot do exactly, named.
    ValueError
        An option is out of range.
    """
    engine, word = options.engine, options.act_word
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    matrices = any(node.op == "fully_connected" for node in core.nodes)
    if engine == "systolic" or not matrices:
        return place(lower(core, _sizes(options, dense_lanes(0, word), matrices=False)), options)
    if not 1 <= options.pes <= 256:
        raise ValueError(f"pes must be 1 to 256, not {options.pes!r}")
    lowered = lower(core, _sizes(options, default_lanes(options.pes, word), matrices=True))
    if all(work.engine != "systolic" for work in lowered.works):
        return place(lowered, options)
    both = _sizes(options, dense_lanes(options.pes, word), matrices=True)
    if engine == "eie":
        return place(lower(core, both), options)
    try:
        single = lower(core, _sizes(options, dense_lanes(0, word), matrices=False))
    except GraphError:  # of the layers that can be matrices as well, perhaps
        return place(lower(core, both), options)
    alone = place(single, options)
    # Nothing is gained beyond what the fully-connected layers take.
    spent = sum(la.cycles for la in alone.layers if la.work.op == "fully_connected")
    if spent < (1 - GAIN) * alone.cycles:
        return alone
    together = place(lower(core, both), options)
    return together if together.cycles < GAIN * alone.cycles else alone


def _sizes(options: Options, lanes: int, *, matrices: bool) -> Sizes:
    lanes = options.lanes or lanes
    return Sizes(
        word=options.act_word,
        lanes=lanes,
        columns=lanes,
        tile_pixels=options.tile_pixels,
        matrices=matrices,
    )
