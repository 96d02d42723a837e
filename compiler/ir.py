"""The graph: nodes in order, and the rules that every pass may rely on.

Everything is immutable; a pass returns a new graph. Shapes leave the batch axis out; images are
(rows, columns, channels).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import rules, rules_spatial
from .nodes import Array, GraphError, ModelError, Node, Tensor
from .rules import OpInfo

__all__ = [
    "OPS",
    "Array",
    "Graph",
    "GraphError",
    "ModelError",
    "Node",
    "OpInfo",
    "Tensor",
    "equal",
    "live",
    "verify",
]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in an order in which every input is defined before it is used."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    nodes: tuple[Node, ...]

    @property
    def quantized(self) -> bool:
        """Whether the layers are int8 (rather than float, to be calibrated)."""
        return any(OPS[node.op].quantized for node in self.nodes if node.op in OPS)

    def producer(self, tensor: str) -> Node | None:
        """The node that makes a tensor; None for an input."""
        return next((node for node in self.nodes if node.output == tensor), None)

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if tensor in node.inputs)

    def with_nodes(
        self, nodes: Iterable[Node], tensors: Mapping[str, Tensor] | None = None
    ) -> "Graph":
        """The same inputs and outputs with other nodes; tensors that nobody uses are dropped."""
        kept = tuple(nodes)
        used = {*self.inputs, *self.outputs}
        used.update(name for node in kept for name in (*node.inputs, node.output))
        every = {**self.tensors, **(tensors or {})}
        return replace(
            self, nodes=kept, tensors={name: every[name] for name in every if name in used}
        )


# int8 with weights: fully_connected, conv_2d, depthwise_conv_2d (attrs rounding, clamp; of the
#        convolutions also stride, padding as (top, bottom, left, right), dilation); weights are
#        (outputs, inputs), (outputs, height, width, channels), (1, height, width, outputs)
# int8:  rescale (multiplier, shift, clamp), add (left_shift, multipliers, shifts, multiplier,
#        shift, clamp), lut, softmax (beta), logistic, quantize (float or int8 to int8), dequantize
# both:  reshape, average_pool_2d and max_pool_2d (kernel, stride, padding; int8: clamp), mean over
#        space (int8: multiplier, shift), pad (padding, channels), concatenation (axis), add
# float: dense, convolution, depthwise_convolution (as above), affine (x * scale + offset), relu,
#        clip (lo, hi), tanh, fake_quantize (scale, zero_point, lo, hi), binarize (scale)
_LAYER = ("weight", "bias", "multiplier", "shift")
_MOST_INPUTS = 1 << 10
OPS: dict[str, OpInfo] = {
    "fully_connected": OpInfo(rules.fully_connected, consts=_LAYER, quantized=True),
    "conv_2d": OpInfo(rules_spatial.conv_2d, consts=_LAYER, quantized=True),
    "depthwise_conv_2d": OpInfo(rules_spatial.depthwise_conv_2d, consts=_LAYER, quantized=True),
    "average_pool_2d": OpInfo(rules_spatial.pool),
    "max_pool_2d": OpInfo(rules_spatial.pool),
    "mean": OpInfo(rules_spatial.mean),
    "pad": OpInfo(rules_spatial.pad),
    "add": OpInfo(rules_spatial.add, inputs=(2, 2)),
    "concatenation": OpInfo(rules_spatial.concatenation, inputs=(1, _MOST_INPUTS)),
    "reshape": OpInfo(rules.reshape),
    "rescale": OpInfo(rules.rescale),
    "lut": OpInfo(rules.lut, consts=("table",)),
    "softmax": OpInfo(rules.closing, host=True),
    "logistic": OpInfo(rules.closing, host=True),
    "quantize": OpInfo(rules.quantize, host=True),
    "dequantize": OpInfo(rules.dequantize, host=True),
    "dense": OpInfo(rules.dense, consts=("weight", "bias"), floating=True),
    "convolution": OpInfo(rules_spatial.convolution, consts=("weight", "bias"), floating=True),
    "depthwise_convolution": OpInfo(
        rules_spatial.depthwise_convolution, consts=("weight", "bias"), floating=True
    ),
    "affine": OpInfo(rules.affine, consts=("scale", "offset"), floating=True),
    "relu": OpInfo(rules.float_pointwise, floating=True),
    "clip": OpInfo(rules.clip, floating=True),
    "tanh": OpInfo(rules.float_pointwise, floating=True),
    "fake_quantize": OpInfo(rules.fake_quantize, floating=True),
    "binarize": OpInfo(rules.binarize, floating=True),
}


def verify(graph: Graph) -> Graph:
    """The graph itself, when it keeps every rule.

    Raises
    ------
    GraphError
        Beginning with the name of the node (or tensor) that does not.
    """
    if not graph.inputs or not graph.outputs:
        raise GraphError(f"{graph.name}: the graph must have an input and an output")
    for key, tensor in graph.tensors.items():
        _verify_tensor(key, tensor)
    for name in (*graph.inputs, *graph.outputs):
        if name not in graph.tensors:
            raise GraphError(f"{name}: no such tensor")
    defined, names = set(graph.inputs), set[str]()
    for node in graph.nodes:
        if node.op not in OPS:
            raise GraphError(f"{node.name}: unknown operator {node.op!r}")
        if node.name in names:
            raise GraphError(f"{node.name}: two nodes have this name")
        names.add(node.name)
        least, most = OPS[node.op].inputs
        if not least <= len(node.inputs) <= most:
            takes = (
                f"{least} input{'s' * (least != 1)}"
                if least == most
                else f"{least} to {most} inputs"
            )
            raise GraphError(f"{node.name}: {node.op} takes {takes}, not {len(node.inputs)}")
        for name in node.inputs:
            if name not in defined:
                raise GraphError(f"{node.name}: input {name!r} is not defined before it")
        if node.output in defined:
            raise GraphError(f"{node.name}: output {node.output!r} is defined twice")
        if node.output not in graph.tensors:
            raise GraphError(f"{node.name}: output {node.output!r} is not a tensor of the graph")
        defined.add(node.output)
        info = OPS[node.op]
        if set(node.consts) != set(info.consts):
            raise GraphError(
                f"{node.name}: constants must be {info.consts}, not {tuple(node.consts)}"
            )
        inputs = tuple(graph.tensors[name] for name in node.inputs)
        problem = info.check(node, inputs, graph.tensors[node.output])
        if problem:
            raise GraphError(f"{node.name}: {problem}")
    for name in graph.outputs:
        if name not in defined:
            raise GraphError(f"{name}: the output is never computed")
    return graph


def live(nodes: Iterable[Node], outputs: Iterable[str]) -> tuple[Node, ...]:
    """The nodes that the outputs depend on, in their order."""
    needed, kept = set(outputs), list[Node]()
    for node in reversed(tuple(nodes)):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def _verify_tensor(key: str, tensor: Tensor) -> None:
    if key != tensor.name:
        raise GraphError(f"{key}: its tensor is called {tensor.name!r}")
    if any(not isinstance(size, int) or size < 1 for size in tensor.shape):
        raise GraphError(f"{key}: shape must be positive integers, not {tensor.shape}")
    if (tensor.scale is None) != (tensor.zero_point is None):
        raise GraphError(f"{key}: scale and zero_point go together")
    if tensor.scale is not None and tensor.zero_point is not None:
        if not (np.isfinite(tensor.scale) and tensor.scale > 0):
            raise GraphError(f"{key}: scale must be positive and finite, not {tensor.scale!r}")
        if not -128 <= tensor.zero_point <= 127:
            raise GraphError(f"{key}: zero_point must be -128 to 127, not {tensor.zero_point!r}")


def equal(a: Graph, b: Graph) -> bool:
    """Whether two graphs are the same, constants included."""
    return (
        (a.name, a.inputs, a.outputs, dict(a.tensors), len(a.nodes))
        == (b.name, b.inputs, b.outputs, dict(b.tensors), len(b.nodes))
    ) and all(
        (p.name, p.op, p.inputs, p.output, p.attrs, p.consts.keys())
        == (q.name, q.op, q.inputs, q.output, q.attrs, q.consts.keys())
        and all(
            p.consts[key].dtype == q.consts[key].dtype
            and np.array_equal(p.consts[key], q.consts[key])
            for key in p.consts
        )
        for p, q in zip(a.nodes, b.nodes, strict=True)
    )
