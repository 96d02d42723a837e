"""Fully-connected layers as the EIE array takes them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunus.sim import ops

from .ir import Graph, GraphError, Node

__all__ = ["Layer", "matrix"]


@dataclass(frozen=True, slots=True)
class Layer:
    """A fully-connected layer in the hardware's terms.

    ``weight`` is int8 (outputs, columns), ``bias`` int64 (outputs,); ``multiplier`` and ``shift``
    (right, negative is left) have one entry, or one for each output. There is a column for each
    byte of the input; bytes between the elements have zeros.
    """

    name: str
    weight: NDArray[np.int8]
    bias: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    double_round: bool
    in_zero: int
    out_zero: int
    clamp: tuple[int, int]

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[0])

    @property
    def columns(self) -> int:
        return int(self.weight.shape[1])

    @property
    def per_channel(self) -> bool:
        return len(self.multiplier) > 1

    def accumulator_bits(self) -> int:
        """Bits that hold every partial sum, in any order, of any input, bias included or not."""
        return ops.accumulator_bits(self.weight, self.bias, self.in_zero)


def matrix(core: Graph, node: Node, positions: NDArray[np.int64]) -> Layer:
    """A fully-connected node; its input's elements are the bytes ``positions``.

    Raises
    ------
    GraphError
        The array cannot do it exactly.
    """
    in_tensor, out_tensor = core.tensors[node.inputs[0]], core.tensors[node.output]
    assert in_tensor.zero_point is not None and out_tensor.zero_point is not None
    multiplier = np.asarray(node.consts["multiplier"], np.int64).reshape(-1)
    shift = -np.asarray(node.consts["shift"], np.int64).reshape(-1)
    if shift.min() < -15:
        raise GraphError(f"{node.name}: scales its sums up by more than 2**15")
    weight = np.asarray(node.consts["weight"], np.int8)
    spread = weight
    if not np.array_equal(positions.ravel(), np.arange(weight.shape[1])):
        spread = np.zeros((len(weight), int(positions.max()) + 1), np.int8)
        spread[:, positions.ravel()] = weight
    layer = Layer(
        name=node.name,
        weight=spread,
        bias=np.asarray(node.consts["bias"], np.int64).reshape(-1),
        multiplier=multiplier,
        shift=shift,
        double_round=node.attrs["rounding"] == "double",
        in_zero=int(in_tensor.zero_point),
        out_zero=int(out_tensor.zero_point),
        clamp=(int(node.attrs["clamp"][0]), int(node.attrs["clamp"][1])),
    )
    if layer.columns > 0xFFFF or layer.outputs > 0xFFFF:
        raise GraphError(
            f"{node.name}: {layer.outputs} outputs of {layer.columns} inputs, at most 65535 each"
        )
    bits = layer.accumulator_bits()
    left = max(0, -int(shift.min())) if layer.double_round else 0
    if bits + left > 32:
        raise GraphError(f"{node.name}: sums need {bits + left} bits, int32 would overflow")
    return layer
