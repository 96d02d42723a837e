"""The operators that treat every element alike, as layers of the window engine."""

import numpy as np

from prunus.hw.isa import Mode
from prunus.sim import ops

from .ir import GraphError, Node
from .layout import Layout, Runs, common_runs
from .lower_copy import aligned
from .lower_window import EXACT, window
from .lowering import Lowering
from .operators import RUN
from .steps import Scaling, Table, signed_bits

__all__ = ["add", "table"]

LEFT_SHIFT = 20  # of what is added, in front of its scale


def table(low: Lowering, node: Node) -> None:
    """lut and rescale: a look-up in a table of all 256 values."""
    (name,) = node.inputs
    every = np.arange(-128, 128).astype(np.int8)[None]
    tensors = (low.core.tensors[name],), low.core.tensors[node.output]
    values = RUN[node.op](node, *tensors, every)[0].astype(np.int8)
    target, (source, made) = _places(low, node)
    step = window(
        low.sizes, source.image(), made.image(), EXACT, 8,
        mode=Mode.LUT, tables=(Table(values=values.tobytes()),),
    )  # fmt: skip
    low.emit("window", node, target, [step])


def add(low: Lowering, node: Node) -> None:
    """Both inputs scaled by a table each; their sum is scaled to the output."""
    attrs = node.attrs
    target, (first, second, made) = _places(low, node)
    tables, lowest, highest = [], 0, 0
    for name, multiplier, shift in zip(
        node.inputs, attrs["multipliers"], attrs["shifts"], strict=True
    ):
        tables.append(Table(zero=low.zero(name), multiplier=multiplier, shift=-shift))
        ends = (np.array([-128, 127]) - low.zero(name)) << LEFT_SHIFT
        least, most = ops.scale(ends, multiplier, shift, "double").tolist()
        lowest, highest = lowest + least, highest + most
    scaling = Scaling(
        bias=np.zeros(1, np.int64),
        multiplier=np.array([attrs["multiplier"]]),
        shift=np.array([-attrs["shift"]]),
        zero=low.zero(node.output),
    ).clamped(attrs["clamp"])
    step = window(
        low.sizes, first.image(), made.image(), scaling, signed_bits(lowest, highest),
        mode=Mode.ADD, second=second.image(), tables=tuple(tables),
    )  # fmt: skip
    low.emit("window", node, target, [step])


def _places(low: Lowering, node: Node) -> tuple[Layout, list[Runs]]:
    """Where the output goes, and runs of the inputs and of the output that go together.

    The output is stored as the first input is, unless it is a part of another tensor.
    """
    word = low.sizes.word
    part = low.parts.get(node.output)
    inputs = [low.layouts[name] for name in node.inputs]
    target = inputs[0].moved(node.output) if part is None else part
    found = common_runs([*inputs, target], word)
    if found is None:
        images = [aligned(low, low.image(node, name), name) for name in node.inputs]
        inputs = [
            image.layout(low.core.tensors[name].shape)
            for image, name in zip(images, node.inputs, strict=True)
        ]
        target = low.target(node.output)
        found = common_runs([*inputs, target], word)
    if found is None:
        raise GraphError(f"{node.name}: its inputs are stored in different ways; reshape them")
    return low.reserve(target), found
