"""Which engines run a network, and everything that follows from it."""

from dataclasses import replace

from prunus.hw.config import COMPACT_PIXELS

from .ir import Graph, GraphError
from .lower import lower
from .lower_winograd import choices
from .options import ENGINES, Options, default_lanes, dense_lanes
from .place import Plan, place
from .plan_memory import LayerPlan
from .steps import Sizes

__all__ = ["GAIN", "LayerPlan", "Options", "Plan", "default_lanes", "plan"]

COMPACT_WORD, COMPACT_LANES = 4, 2
GAIN = 0.9  # of the cycles: what is left when one more engine is worth being built


def plan(core: Graph, options: Options) -> Plan:
    """Choose engines, storage, passes, addresses and the configuration that holds them.

    Where no layer needs the systolic array, fully-connected layers go to the EIE array. Beside a
    systolic array they do so only if that takes away a tenth of the network's cycles. So it is with
    a Winograd unit, of the tile size that takes fewer cycles; where it is asked for, any gain does.

    Raises
    ------
    GraphError
        A node that the hardware cannot do exactly, named.
    ValueError
        An option is out of range.
    """
    engine = options.engine
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    if engine == "compact":
        sizes = Sizes(word=COMPACT_WORD, lanes=COMPACT_LANES, columns=COMPACT_LANES,
                      tile_pixels=COMPACT_PIXELS, matrices=False, compact=True)  # fmt: skip
        return place(lower(core, sizes), options)
    direct = _direct(core, options)
    if engine not in ("auto", "winograd") or not any(map(_may_gain, direct.layers)):
        return direct
    pes = direct.config.pes
    sizes = _sizes(options, dense_lanes(pes, options.act_word), matrices=pes > 0)
    plans = [place(lower(core, replace(sizes, winograd=unit)), options) for unit in choices(sizes)]
    best = min(plans, key=lambda found: found.cycles)
    return best if best.cycles < (GAIN if engine == "auto" else 1) * direct.cycles else direct


def _may_gain(layer: LayerPlan) -> bool:
    """Whether a layer would take fewer cycles on a Winograd unit."""
    costs = layer.work.costs
    return any(n < layer.cycles for name, n in costs.items() if name.startswith("winograd"))


def _direct(core: Graph, options: Options) -> Plan:
    """A plan without a Winograd unit."""
    engine, word = options.engine, options.act_word
    matrices = any(node.op == "fully_connected" for node in core.nodes)
    if engine in ("systolic", "winograd") or not matrices:
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
        pes=max(1, options.pes),
    )
