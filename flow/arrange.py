"""The bytes that the gates take as input: the compiler may want them in another order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.compiler.evaluate import split_host

from .build import Build

__all__ = ["arrange_input"]


def arrange_input(build: Build, vectors: NDArray[Any]) -> NDArray[np.int8]:
    """Inputs of the core (samples, ...) int8 as the host sends them, (samples, bytes)."""
    flat = np.ascontiguousarray(vectors.reshape(len(vectors), -1))
    if not build.input_index:
        return flat
    _, core, _ = split_host(build.graph)
    zero = core.tensors[core.inputs[0]].zero_point
    index = np.array(build.input_index)
    return np.where(index >= 0, flat[:, index], np.int8(zero or 0)).astype(np.int8)
