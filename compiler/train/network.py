"""A graph as a PyTorch module: the same function, with weights that can be trained.

An int8 graph runs in integers that floats hold, rounded as the golden operators round: what is
trained is what the gates compute. A graph comes out as it went in, with other weights.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from ..ir import OPS, Array, Graph, GraphError, Node, verify
from ..passes.layers import layers
from .operators import CLOSING, RUN, layer, zero_of
from .rounding import away, limited, requantized, straight
from .schemes import Scheme, make_scheme

__all__ = ["Layer", "Network"]

Tensor = Any  # torch.Tensor, which is not there to be checked


class Layer(nn.Module):
    """The weights of one layer, in real units, with a mask and a scheme.

    ``scale`` is the size of an int8 step, for each output or for all; 1 in a float graph.
    ``regrow`` lets the gradient of masked weights through, so that they can come back when the
    mask is chosen again.
    """

    def __init__(self, graph: Graph, node: Node, dtype: torch.dtype):
        super().__init__()
        self.node, self.name = node, node.name
        self.quantized = OPS[node.op].quantized
        self.macs = int(np.prod(graph.tensors[node.output].shape[:-1], dtype=np.int64))
        weight, bias = node.consts["weight"], node.consts["bias"]
        scale, self.in_scale, self.lowest = np.ones(1), 1.0, -127
        if self.quantized:
            before, after = graph.tensors[node.inputs[0]], graph.tensors[node.output]
            assert before.scale is not None and after.scale is not None
            self.in_scale = before.scale
            scale = node.consts["multiplier"] * 2.0 ** (node.consts["shift"] - 31.0)
            scale = scale * after.scale / before.scale
            self.lowest = min(-127, int(weight.min()))
            zero = zero_of(after)
            self.bounds = tuple(bound - zero for bound in node.attrs["clamp"])
            for key in ("multiplier", "shift"):
                self.register_buffer(key, torch.from_numpy(node.consts[key].astype(np.int64)))
        spread = weight * _along(node, scale)
        self.register_buffer("scale", torch.from_numpy(_along(node, scale)).to(dtype))
        self.register_buffer("bias_scale", torch.from_numpy(scale * self.in_scale).to(dtype))
        self.weight = nn.Parameter(torch.from_numpy(spread.astype(np.float64)).to(dtype))
        # An int8 layer trains what is added to its bias, which may have more bits than a float.
        added = np.zeros(bias.shape) if self.quantized else bias.astype(np.float64)
        self.bias = nn.Parameter(torch.from_numpy(added).to(dtype))
        start = bias.astype(np.float64) - added
        self.register_buffer("start", torch.from_numpy(start))
        self.register_buffer("mask", torch.ones_like(self.weight, dtype=torch.bool))
        self.register_buffer("live", torch.ones_like(self.bias, dtype=torch.bool))
        self.scheme: Scheme | None = None
        self.regrow = False

    def share(self, kind: str, bits: int = 8, *, noisy: bool = False) -> None:
        """Restrict the weights from here on; those of now are what the scheme starts with."""
        self.scheme = None
        unit = float(self.scale.mean())
        self.scheme = make_scheme(kind, self.steps().detach(), bits, noisy=noisy, unit=unit)

    def free(self) -> None:
        """Keep the weights as they are, and drop the scheme."""
        weight = (self.steps() * self.scale).detach()
        self.scheme = None
        with torch.no_grad():
            self.weight.copy_(torch.where(self.mask, weight, self.weight))

    def steps(self) -> Tensor:
        """The weights that the network is run with; integers where the graph is int8."""
        weight = self.weight / self.scale
        masked = weight * self.mask
        if self.regrow:
            masked = straight(weight, masked)
        if self.scheme is not None:
            masked = self.scheme(masked) * self.mask
        if not self.quantized:
            return masked
        return away(limited(masked, self.lowest, 127))

    def offsets(self) -> Tensor:
        """The biases, in steps of the sums; doubles, as they have up to 32 bits."""
        bias = away(self.bias / self.bias_scale) if self.quantized else self.bias
        return (self.start + bias) * self.live

    def forward(self, x: Tensor) -> Tensor:
        sums = layer(self.node, x, self.steps(), self.offsets().to(x.dtype))
        if not self.quantized:
            return sums
        rounding = self.node.attrs["rounding"]
        return limited(requantized(sums, self.multiplier, self.shift, rounding), *self.bounds)

    def constants(self) -> dict[str, Array]:
        """Weights and biases for a node of the graph."""
        consts = self.node.consts
        with torch.no_grad():
            values = {"weight": self.steps(), "bias": self.offsets()}
        return {
            key: np.ascontiguousarray(value.double().numpy()).astype(consts[key].dtype)
            for key, value in values.items()
        }


class Network(nn.Module):
    """A graph, to be trained; ``forward`` takes samples and gives what closes the network's input.

    That is the logits, in real units, where softmax or logistic is the last operator. Samples are
    float and (samples, *shape); an int8 input quantizes them.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float32):
        super().__init__()
        verify(graph)
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise GraphError(f"{graph.name}: training takes one input and one output")
        self.graph, self.dtype = graph, dtype
        nodes = list(graph.nodes)
        while nodes and nodes[-1].op in CLOSING and nodes[-1].output == graph.outputs[0]:
            closing = nodes.pop()
            graph = Graph(graph.name, graph.inputs, closing.inputs, graph.tensors, tuple(nodes))
        self.nodes, self.result = tuple(nodes), graph.outputs[0]
        for node in nodes:
            if node.op not in RUN and "weight" not in node.consts:
                raise GraphError(f"{node.name}: {node.op} cannot be trained through")
        self.parts = nn.ModuleList(Layer(graph, node, dtype) for node in layers(graph))
        if not len(self.parts):
            raise GraphError(f"{graph.name}: no layer with weights to train")
        self._by_name = {part.name: part for part in self.parts}

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers with weights, by name."""
        return dict(self._by_name)

    def forward(self, x: Tensor) -> Tensor:
        return self.values(x)[self.result]

    def values(self, x: Tensor, keep: Iterable[str] = ()) -> dict[str, Any]:
        """The result, and every tensor of ``keep`` as it is inside (in steps, where int8)."""
        wanted = {self.result, *keep}
        source = self.graph.tensors[self.graph.inputs[0]]
        value = x.to(self.dtype)
        if source.scale is not None:
            zero = zero_of(source)
            steps = away(x.float() / float(np.float32(source.scale))).to(self.dtype)
            value = limited(steps, -128 - zero, 127 - zero)
        values = {source.name: value}
        last = {name: number for number, node in enumerate(self.nodes) for name in node.inputs}
        for number, node in enumerate(self.nodes):
            inputs = [values[name] for name in node.inputs]
            if node.name in self._by_name:
                values[node.output] = self._by_name[node.name](inputs[0])
            else:
                before = tuple(self.graph.tensors[name] for name in node.inputs)
                run = RUN[node.op]
                values[node.output] = run(node, before, self.graph.tensors[node.output], *inputs)
            for name in node.inputs:
                if last[name] == number and name not in wanted:
                    values.pop(name, None)
        scale = self.graph.tensors[self.result].scale
        if scale is not None:
            values[self.result] = values[self.result] * scale
        return values

    def export(self) -> Graph:
        """The graph with the weights as they are now."""
        nodes = (
            node.with_consts(**self._by_name[node.name].constants())
            if node.name in self._by_name
            else node
            for node in self.graph.nodes
        )
        return verify(self.graph.with_nodes(nodes))

    def masks(self) -> dict[str, Array]:
        """Which weights may be other than zero, by layer."""
        return {part.name: part.mask.numpy().copy() for part in self.parts}

    def set_masks(self, masks: dict[str, Array]) -> None:
        """Masks for some layers, by name."""
        for name, mask in masks.items():
            self._by_name[name].mask.copy_(torch.from_numpy(np.ascontiguousarray(mask)))

    def density(self) -> float:
        """The share of the weights that the masks keep."""
        kept = sum(int(part.mask.sum()) for part in self.parts)
        return kept / sum(int(part.mask.numel()) for part in self.parts)


def _along(node: Node, scale: Array) -> Array:
    """A scale for each output, to be broadcast against the weights; depthwise has them last."""
    weight = node.consts["weight"]
    if scale.size == 1 or node.op.startswith("depthwise"):
        return scale
    return scale.reshape(-1, *[1] * (weight.ndim - 1))
