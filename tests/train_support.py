"""What the tests of training share: scikit-learn's digits, and small networks for them.

A test that imports this is skipped where PyTorch is missing.
"""

import functools

import numpy as np
import pytest
from sklearn.datasets import load_digits

from prunus.compiler.ir import Graph, Node, Tensor, verify

torch = pytest.importorskip("torch", reason="the extra prunus[train] is not installed")


def chain(shape, *steps, seed=0):
    """A float graph of ``("dense", outputs)``, ``("convolution", outputs, size)``, other names."""
    rng = np.random.default_rng(seed)
    tensors, nodes, last = {"x": Tensor("x", shape)}, [], "x"
    for number, (op, *sizes) in enumerate(steps):
        before, attrs, consts = tensors[last].shape, {}, {}
        after = before
        if op == "dense":
            after = (sizes[0],)
            weight = rng.normal(0, np.sqrt(2 / before[0]), (sizes[0], before[0]))
        elif op == "convolution":
            outputs, size = sizes
            after = (before[0] - size + 1, before[1] - size + 1, outputs)
            attrs = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
            scale = np.sqrt(2 / (size * size * before[2]))
            weight = rng.normal(0, scale, (outputs, size, size, before[2]))
        elif op == "max_pool_2d":
            after = (before[0] // 2, before[1] // 2, before[2])
            attrs = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}
        elif op == "reshape":
            after = (int(np.prod(before)),)
        if op in ("dense", "convolution"):
            zeros = np.zeros(sizes[0], np.float32)
            consts = {"weight": weight.astype(np.float32), "bias": zeros}
        name = f"{op}{number}"
        nodes.append(Node(name, op, (last,), f"{name}:y", attrs, consts))
        last = f"{name}:y"
        tensors[last] = Tensor(last, after)
    return verify(Graph("small", ("x",), (last,), tensors, tuple(nodes)))


def mlp(*hidden, close="softmax", seed=0):
    """64 pixels to 10 digits."""
    steps = [step for size in hidden for step in (("dense", size), ("relu",))]
    return chain((64,), *steps, ("dense", 10), *([(close,)] if close else []), seed=seed)


@functools.cache
def digits():
    """Images (n, 64), 0..1, and their labels, in a fixed random order."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return (x[order] / 16).astype(np.float32), y[order]
