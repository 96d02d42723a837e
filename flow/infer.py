"""Inputs through a board: the host's part on both ends of the link."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.compiler.evaluate import output, quantize_input, split_host

from .arrange import arrange_input
from .build import Build
from .link import Batch, Link, Transport
from .outputs import output_map

__all__ = ["Inference", "infer"]

Progress = Callable[[str, int, int], None]  # what, done, of


@dataclass(frozen=True, slots=True)
class Inference:
    """Outputs (samples, ...), cycles of each sample, and times as in :class:`.link.Batch`."""

    outputs: NDArray[Any]
    cycles: tuple[int, ...]
    latency: float
    throughput: float

    @classmethod
    def of(cls, batch: Batch, outputs: NDArray[Any]) -> "Inference":
        """The host's outputs of a batch."""
        return cls(outputs, tuple(map(int, batch.cycles)), batch.latency, batch.throughput)


def infer(
    transport: Transport,
    inputs: NDArray[Any],
    *,
    build: Build | None = None,
    progress: Progress | None = None,
) -> Inference:
    """Run samples on the board behind a transport.

    With ``build`` its image is loaded, and what its graph has before and after the gates is
    computed here. Without one the board holds an image; inputs and outputs are its int8 vectors.

    Raises
    ------
    ValueError
        The inputs have the wrong shape or type.
    LinkError
        The board does not answer, or refuses.
    """
    notify = progress or (lambda what, done, of: None)
    link = Link(transport)
    if build is None:
        if inputs.dtype != np.int8 or inputs.ndim < 2:
            raise ValueError(
                f"inputs must be int8, samples first, not {inputs.dtype} of shape {inputs.shape}; "
                "a build would say how floats are quantized"
            )
        batch = link.infer(inputs, lambda n, of: notify("running", n, of))
        return Inference.of(batch, batch.outputs)
    pre, _, post = split_host(build.graph)
    x = quantize_input(build.graph, inputs)
    vectors = output(pre, x) if pre.nodes else x
    notify("loading the image", 0, len(build.image))
    link.load(build.image, lambda n, of: notify("loading the image", n, of))
    sent = arrange_input(build, vectors)
    batch = link.infer(sent, lambda n, of: notify("running", n, of))
    shaped = output_map(build)(batch.outputs)
    return Inference.of(batch, output(post, shaped) if post.nodes else shaped)
