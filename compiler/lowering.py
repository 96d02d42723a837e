"""A core graph on its way to layers: where its tensors are, and what has been asked for so far."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .ir import Graph, GraphError, Node
from .layers import Layer
from .layout import Image, Layout, packed, standard
from .lower_compact import parts
from .steps import Place, Sizes, Step, Work, check_fields

__all__ = ["Lowering"]


class Lowering:
    """Collects the layers of one graph for accelerators of one size.

    ``layouts`` has every tensor that has been made, ``buffers`` the words of each buffer; ``parts``
    says which tensors are to be made inside of others.
    """

    def __init__(self, core: Graph, sizes: Sizes):
        self.core = core
        self.sizes = sizes
        self.layouts: dict[str, Layout] = {}
        self.buffers: dict[str, int] = {}
        self.parts: dict[str, Layout] = {}
        self.copies: dict[str, Layout] = {}  # of tensors, with pixels of whole words
        self.works: list[Work] = []
        for name in core.inputs:
            self.layouts[name] = self.reserve(packed(name, core.tensors[name].shape))

    def reserve(self, layout: Layout) -> Layout:
        """The layout, with room for it in its buffer."""
        words = -(-layout.end // self.sizes.word)
        self.buffers[layout.buffer] = max(words, self.buffers.get(layout.buffer, 0))
        return layout

    def zero(self, name: str) -> int:
        """The zero point of a tensor."""
        zero = self.core.tensors[name].zero_point
        if zero is None:
            raise GraphError(f"{name}: not quantized; calibrate the model first")
        return zero

    def image(self, node: Node, name: str) -> Image:
        """A tensor as pixels at equal distances."""
        image = self.layouts[name].image(self.sizes.word)
        if image is None or image.start % self.sizes.word:
            raise GraphError(
                f"{node.name}: the channels of its input do not fill whole words, so that its "
                f"shape {self.core.tensors[name].shape} is not how the input is stored; reshape "
                f"images of a multiple of {self.sizes.word} channels"
            )
        return image

    def target(self, name: str) -> Layout:
        """Where a node's output is to be made."""
        layout = self.parts.get(name)
        if layout is None:
            layout = standard(name, self.core.tensors[name].shape, self.sizes.word)
        return self.reserve(layout)

    def made(self, layout: Layout) -> Image:
        """A tensor that is being made, as an image."""
        image = layout.image(self.sizes.word)
        assert image is not None and image.aligned(self.sizes.word)
        return image

    def emit(
        self,
        engine: str,
        node: Node,
        layout: Layout,
        steps: Sequence[Step] = (),
        *,
        matrix: tuple[Layer, Place] | None = None,
        macs: int = 0,
        costs: dict[str, int] | None = None,
    ) -> None:
        """Add the layer that makes a node's output as ``layout`` says."""
        self.layouts[node.output] = layout
        self.add(
            engine, node.op, node.name, node.output, layout, steps,
            matrix=matrix, weight=node.consts.get("weight"), macs=macs, costs=costs,
        )  # fmt: skip

    def add(
        self,
        engine: str,
        op: str,
        name: str,
        tensor: str,
        layout: Layout,
        steps: Sequence[Step] = (),
        *,
        matrix: tuple[Layer, Place] | None = None,
        weight: NDArray[np.int8] | None = None,
        macs: int = 0,
        costs: dict[str, int] | None = None,
    ) -> None:
        """Add a layer called ``name`` that makes ``tensor`` as ``layout`` says."""
        if self.sizes.compact:
            costs = None  # it runs everything
            engine, steps = "compact", [part for step in steps for part in parts(name, step)]
        for step in steps:
            check_fields(name, step.fields | step.scaling.fields())
        word = self.sizes.word
        runs = layout.runs(word)
        assert runs is not None
        gapless = layout.end - runs.start == layout.positions.size
        sources = dict.fromkeys(place.buffer for step in steps for place in step.sources)
        if matrix is not None:
            sources[matrix[1].buffer] = None
        self.works.append(
            Work(
                name=name,
                op=op,
                engine=engine,
                tensor=tensor,
                target=Place(layout.buffer, runs.start // word),
                pixels=1 if gapless else runs.count,
                pitch=0 if gapless else runs.pitch // word,
                outputs=layout.positions.size if gapless else runs.size,
                sources=tuple(sources),
                steps=tuple(steps),
                matrix=None if matrix is None else matrix[0],
                source=None if matrix is None else matrix[1],
                weight=weight,
                macs=macs,
                costs=costs or {engine: sum(step.cycles for step in steps)},
            )
        )
