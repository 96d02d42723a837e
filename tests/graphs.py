"""Small graphs for the tests of the passes."""

import numpy as np

from prunus.compiler.ir import Graph, Node, Tensor, verify


def float_mlp(sizes=(6, 9, 4), seed=0, close=None, dtype=np.float32):
    """dense, relu, dense, ..., and maybe a closing softmax or logistic."""
    rng = np.random.default_rng(seed)
    tensors, nodes, last = [Tensor("x", (sizes[0],))], [], "x"

    def add(op, name, size, **more):
        nonlocal last
        nodes.append(Node(name, op, (last,), f"{name}:y", **more))
        tensors.append(Tensor(f"{name}:y", (size,)))
        last = f"{name}:y"

    for n, (k, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        weight = rng.normal(size=(m, k)).astype(dtype) / np.sqrt(k).astype(dtype)
        bias = rng.normal(size=m).astype(dtype)
        add("dense", f"fc{n}", m, consts={"weight": weight, "bias": bias})
        if n + 2 < len(sizes):
            add("relu", f"relu{n}", m)
    if close:
        add(close, close, sizes[-1])
    graph = Graph("mlp", ("x",), (last,), {t.name: t for t in tensors}, tuple(nodes))
    return verify(graph)


def samples(graph, count=50, seed=1):
    shape = graph.tensors[graph.inputs[0]].shape
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)
