"""From an int8 core graph to the layers of the hardware."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import lower_ops, lower_pointwise
from .ir import Graph, GraphError, Node
from .layout import Layout
from .lower_input import arranged, spread
from .lower_join import concatenation, plan_joins
from .lowering import Lowering
from .steps import Sizes, Work

__all__ = ["Lowered", "lower"]

MOST_LAYERS = 255


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """The layers of a network, in order, and where its tensors are in its buffers.

    ``buffers`` has the words of each. The host writes ``input``: byte b of it is element
    ``arrangement[b]`` of the network's input (in natural order), -1 its zero point; None: byte b
    is element b.
    """

    sizes: Sizes
    works: tuple[Work, ...]
    buffers: dict[str, int]
    input: Layout
    output: Layout
    arrangement: NDArray[np.int64] | None


def _reshape(low: Lowering, node: Node) -> None:
    shape = low.core.tensors[node.output].shape
    low.layouts[node.output] = low.layouts[node.inputs[0]].reshaped(shape)


LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    "fully_connected": lower_ops.fully_connected,
    "conv_2d": lower_ops.convolution,
    "depthwise_conv_2d": lower_ops.depthwise,
    "average_pool_2d": lower_ops.average_pool,
    "max_pool_2d": lower_ops.max_pool,
    "mean": lower_ops.mean,
    "pad": lower_ops.pad,
    "add": lower_pointwise.add,
    "lut": lower_pointwise.table,
    "rescale": lower_pointwise.table,
    "concatenation": concatenation,
    "reshape": _reshape,
}


def lower(core: Graph, sizes: Sizes) -> Lowered:
    """The layers that the gates run for ``core``, for accelerators of these sizes.

    Raises
    ------
    GraphError
        A node that the hardware cannot do exactly, named.
    """
    core, arrangement = arranged(core, sizes)
    low = Lowering(core, sizes)
    if sizes.compact and arrangement is None:
        arrangement = spread(low)
    plan_joins(low)
    for node in core.nodes:
        if node.op not in LOWER:
            raise GraphError(
                f"{node.name}: {node.op} is not an operator of the hardware, which has "
                f"{', '.join(LOWER)}"
            )
        for name in (*node.inputs, node.output):
            low.zero(name)  # refuses floats
        try:
            LOWER[node.op](low, node)
        except GraphError as error:
            if str(error).startswith(f"{node.name}: "):
                raise
            raise GraphError(f"{node.name}: {error}") from error
    if not low.works:
        raise GraphError(f"{core.name}: no layer for the hardware")
    if len(low.works) > MOST_LAYERS:
        raise GraphError(f"{core.name}: {len(low.works)} layers, at most {MOST_LAYERS}")
    return Lowered(
        sizes=sizes,
        works=tuple(low.works),
        buffers=low.buffers,
        input=low.layouts[core.inputs[0]],
        output=low.layouts[core.outputs[0]],
        arrangement=arrangement,
    )
