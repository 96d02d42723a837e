"""What the hardware has to do for each layer of a graph, before any size is chosen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunus.sim import ops

from .ir import Graph, GraphError, Node

__all__ = ["Layer", "core_layers"]

_ALIASES = ("reshape",)


@dataclass(frozen=True, slots=True)
class Layer:
    """A fully-connected layer in the hardware's terms.

    ``weight`` is int8 (outputs, columns), ``bias`` int64 (outputs,); ``multiplier`` and ``shift``
    (right, negative is left) have one entry, or one for each output.
    """

    name: str
    op: str
    source: str
    target: str
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


def core_layers(core: Graph) -> tuple[Layer, ...]:
    """The layers that the gates run, in order; reshapes only rename a tensor.

    Raises
    ------
    GraphError
        A node that the hardware cannot do exactly, named.
    """
    names = {name: name for name in core.inputs}
    layers: list[Layer] = []
    for node in core.nodes:
        if node.op in _ALIASES:
            names[node.output] = names[node.inputs[0]]
        elif node.op == "fully_connected":
            layers.append(_fully_connected(core, node, names[node.inputs[0]]))
            names[node.output] = node.output
        else:
            raise GraphError(
                f"{node.name}: {node.op} is not an operator of the hardware, which has "
                "fully_connected and reshape"
            )
    if not layers:
        raise GraphError(f"{core.name}: no layer for the hardware")
    return tuple(layers)


def _fully_connected(core: Graph, node: Node, source: str) -> Layer:
    in_tensor, out_tensor = core.tensors[node.inputs[0]], core.tensors[node.output]
    if in_tensor.zero_point is None or out_tensor.zero_point is None:
        raise GraphError(f"{node.name}: not quantized; calibrate the model first")
    multiplier = np.asarray(node.consts["multiplier"], np.int64).reshape(-1)
    shift = -np.asarray(node.consts["shift"], np.int64).reshape(-1)
    if shift.min() < -15:
        raise GraphError(f"{node.name}: scales its sums up by more than 2**15")
    layer = Layer(
        name=node.name,
        op=node.op,
        source=source,
        target=node.output,
        weight=np.asarray(node.consts["weight"], np.int8),
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
