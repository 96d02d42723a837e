"""The network's output among the bytes that the host reads: pixels may have gaps between them."""

import numpy as np
from numpy.typing import NDArray

from prunus.compiler.evaluate import split_host
from prunus.compiler.ir import Graph
from prunus.sim.image import Network, read_network

from .build import Build, BuildError, LayerReport

__all__ = ["OutputMap", "output_map"]

Int = NDArray[np.int64]
Int8 = NDArray[np.int8]


class OutputMap:
    """Takes the tensor's elements out of the bytes that the host reads.

    Members
    -------
    size : int
        Bytes that the host reads.
    positions : array, shaped as the tensor
        Which of them each element is.
    """

    def __init__(self, size: int, positions: Int):
        self.size = size
        self.positions = positions

    def __call__(self, raw: Int8) -> Int8:
        """The tensor (samples, *shape) in bytes (samples, size)."""
        if raw.shape[1:] != (self.size,):
            raise ValueError(f"raw must be (samples, {self.size}), not {raw.shape!r}")
        return raw[:, self.positions]


def output_map(build: Build) -> OutputMap:
    """Where the output of a build is: what its layers have made, joined and reshaped.

    Raises
    ------
    BuildError
        The image does not have the output where the layers put it.
    """
    network = read_network(build.image, build.config)
    _, core, _ = split_host(build.graph)
    return OutputMap(network.output_bytes, _positions(build, core, core.outputs[0], network))


def _positions(build: Build, core: Graph, name: str, network: Network) -> Int:
    """The byte of each element of a tensor, counted from the network's output on."""
    shape = core.tensors[name].shape
    # A tensor may have been copied: there are several layers that make it, the last counts.
    for layer in reversed(build.layers):
        if layer.tensor == name:
            found = _spread(layer, network.output_base, build.config.act_word)
            if found.min() >= 0 and found.max() < network.output_bytes:
                return found.reshape(shape)
    node = core.producer(name)
    if node is not None and node.op == "reshape":
        return _positions(build, core, node.inputs[0], network).reshape(shape)
    if node is not None and node.op == "concatenation":
        parts = [_positions(build, core, part, network) for part in node.inputs]
        return np.concatenate(parts, axis=node.attrs["axis"])
    raise BuildError(f"{build.graph.name}: no layer makes {name} where the image has the output")


def _spread(layer: LayerReport, origin: int, act_word: int) -> Int:
    """The activation byte of each output of a layer, counted from word ``origin`` on."""
    pitch = layer.pitch or -(-layer.outputs // act_word)
    pixel = layer.base_word - origin + np.arange(layer.pixels) * pitch
    places: Int = pixel[:, None] * act_word + np.arange(layer.outputs)
    return places.ravel()
