"""Concatenations: whoever makes a part writes it into the joined tensor."""

from .ir import Graph, Node
from .layout import Image, Layout, joined
from .lower_copy import aligned, copy
from .lowering import Lowering

__all__ = ["concatenation", "plan_joins"]


def plan_joins(low: Lowering) -> None:
    """Choose the tensors that are made inside of a joined one.

    Another user of a part, or the network's input or output, needs it at a place of its own.
    """
    for node in low.core.nodes:
        if node.op != "concatenation":
            continue
        _, parts = _joined(low, node)
        if not all(_image(low, part) for part in parts):
            continue
        for name, part in zip(node.inputs, parts, strict=True):
            origin = _origin(low.core, name)
            if origin is not None and origin not in low.parts:
                place = part.reshaped(low.core.tensors[origin].shape)
                if _image(low, place):
                    low.parts[origin] = place


def concatenation(low: Lowering, node: Node) -> None:
    """Copies of the parts that were not made in place."""
    whole, parts = _joined(low, node)
    low.layouts[node.output] = low.reserve(whole)
    if not all(_image(low, part) for part in parts):
        # Pixels of a part are not at equal distances: line by line, and the layer is all of it.
        steps = [
            step
            for name, part in zip(node.inputs, parts, strict=True)
            for source, made in _lines(low, _source(low, node, name), part)
            for step in copy(low.sizes, node.name, source, made)
        ]
        low.add("systolic", "copy", node.name, node.output, whole, steps)
        return
    for number, (name, part) in enumerate(zip(node.inputs, parts, strict=True)):
        if low.layouts[name].buffer != whole.buffer:
            steps = copy(low.sizes, node.name, low.image(node, name), low.made(part))
            low.add("systolic", "copy", f"{node.name}.{number}", name, part, steps)


def _joined(low: Lowering, node: Node) -> tuple[Layout, tuple[Layout, ...]]:
    shapes = [low.core.tensors[name].shape for name in node.inputs]
    return joined(node.output, shapes, node.attrs["axis"], low.sizes.word)


def _image(low: Lowering, part: Layout) -> Image | None:
    """A part as an aligned image; None if it is none."""
    image = part.image(low.sizes.word)
    return image if image is not None and image.aligned(low.sizes.word) else None


def _origin(core: Graph, name: str) -> str | None:
    """The tensor that a part is, before it was reshaped, if nothing else uses it."""
    while True:
        users = core.consumers(name)
        producer = core.producer(name)
        alone = len(users) == 1 and users[0].inputs.count(name) == 1
        if producer is None or not alone or name in core.outputs:
            return None
        if producer.op != "reshape":
            return None if producer.op == "concatenation" else name
        name = producer.inputs[0]


def _source(low: Lowering, node: Node, name: str) -> Image:
    """A tensor whose lines begin at words."""
    image = low.image(node, name)
    whole = image.width * image.pitch % low.sizes.word == 0
    return image if whole else aligned(low, image, name)


def _lines(low: Lowering, source: Image, part: Layout) -> list[tuple[Image, Image]]:
    """Each line of a source, and where it goes."""
    lines = part.positions.reshape(source.height, 1, source.width, -1)
    return [
        (source.lines(number, 1), low.made(Layout(part.buffer, positions)))
        for number, positions in enumerate(lines)
    ]
