"""Small convolutional graphs for the tests of the passes."""

import numpy as np

from prunus.compiler.ir import Graph, Node, Tensor, verify

PLACE = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1)}
POOL = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}


class Chain:
    """A float graph of images, node by node."""

    def __init__(self, shape=(6, 6, 3)):
        self.rng = np.random.default_rng(1)
        self.tensors = {"x": Tensor("x", shape)}
        self.nodes = []

    def add(self, op, sources, target, shape=None, attrs=None, **consts):
        names = tuple(sources.split())
        shape = shape or self.tensors[names[0]].shape
        self.tensors[target] = Tensor(target, shape)
        self.nodes.append(Node(target + "_node", op, names, target, attrs or {}, consts))
        return self

    def conv(self, source, target, outputs, depthwise=False, size=3):
        h, w, channels = self.tensors[source].shape
        shape = (1, size, size, outputs) if depthwise else (outputs, size, size, channels)
        attrs = PLACE if size == 3 else PLACE | {"padding": (0, 0, 0, 0)}
        scale = 1 / np.sqrt(size * size * (1 if depthwise else channels))
        weight = (
            self.rng.normal(size=shape)
            * scale
            * self.rng.uniform(0.1, 2, outputs)[
                (slice(None), None, None, None) if not depthwise else ...
            ]
        )
        op = "depthwise_convolution" if depthwise else "convolution"
        bias = self.rng.normal(size=outputs)
        return self.add(op, source, target, (h, w, outputs), attrs, weight=weight, bias=bias)

    def graph(self, *outputs):
        outputs = outputs or (self.nodes[-1].output,)
        return verify(Graph("chain", ("x",), outputs, self.tensors, tuple(self.nodes)))


def samples(graph, count=40, seed=2):
    shape = graph.tensors[graph.inputs[0]].shape
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def residual_network():
    """Everything that a small residual network has."""
    chain = Chain().conv("x", "c", 8).add("relu", "c", "r").conv("r", "d", 8, depthwise=True)
    chain.add("relu", "d", "dr").conv("dr", "p", 8, size=1).add("add", "p r", "s")
    chain.add("relu", "s", "sr").add("max_pool_2d", "sr", "m", (3, 3, 8), POOL)
    chain.add("mean", "m", "g", (1, 1, 8)).add("reshape", "g", "f", (8,))
    weight, bias = chain.rng.normal(size=(4, 8)), chain.rng.normal(size=4)
    return chain.add("dense", "f", "l", (4,), weight=weight, bias=bias).graph()
