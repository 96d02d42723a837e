"""The rules of the operators on images: every broken one is named."""

import dataclasses

import numpy as np
import pytest

from prunus.compiler.evaluate import output, run
from prunus.compiler.ir import Graph, GraphError, Node, Tensor, equal, verify
from prunus.compiler.store import load, save

PLACE = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1)}
POOL = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "clamp": (-128, 127)}
ADD = {"left_shift": 20, "multipliers": (1 << 30, 1 << 30), "shifts": (0, 0),
       "multiplier": 1 << 30, "shift": -18, "clamp": (-128, 127)}  # fmt: skip


def layer(name, source, target, shape, channels):
    rng = np.random.default_rng(channels)
    consts = {
        "weight": rng.integers(-128, 128, shape).astype(np.int8),
        "bias": rng.integers(-99, 99, channels).astype(np.int32),
        "multiplier": np.full(channels, 1 << 30),
        "shift": np.full(channels, -9),
    }
    attrs = {**PLACE, "rounding": "double", "clamp": (-128, 127)}
    op = "depthwise_conv_2d" if shape[0] == 1 else "conv_2d"
    return Node(name, op, (source,), target, attrs, consts)


def every_operator():
    """A graph with each of the int8 operators on images."""
    shapes = {"x": (6, 6, 2), "c": (6, 6, 4), "d": (6, 6, 4), "s": (6, 6, 4), "p": (8, 6, 5),
              "a": (4, 3, 5), "m": (4, 3, 5), "j": (4, 3, 10), "r": (4, 3, 10), "l": (4, 3, 10),
              "y": (10,)}  # fmt: skip
    clamp = {"clamp": (-128, 127)}
    nodes = (
        layer("conv", "x", "c", (4, 3, 3, 2), 4),
        layer("depth", "c", "d", (1, 3, 3, 4), 4),
        Node("add", "add", ("c", "d"), "s", ADD),
        Node("pad", "pad", ("s",), "p", {"padding": (1, 1, 0, 0), "channels": (1, 0)}),
        Node("avg", "average_pool_2d", ("p",), "a", POOL),
        Node("max", "max_pool_2d", ("p",), "m", POOL),
        Node("join", "concatenation", ("a", "m"), "j", {"axis": 2}),
        Node("rescale", "rescale", ("j",), "r", {"multiplier": 1 << 30, "shift": 1, **clamp}),
        Node("lut", "lut", ("r",), "l", consts={"table": np.arange(256).astype(np.int8)}),
        Node("mean", "mean", ("l",), "y", {"multiplier": 1 << 29, "shift": 1}),
    )
    tensors = {name: Tensor(name, shape, 0.5, 3) for name, shape in shapes.items()}
    return Graph("all", ("x",), ("y",), tensors, nodes)


def changed(name, *, attrs=None, consts=None, tensor=None, shape=None, grid=None, inputs=None):
    graph = every_operator()
    nodes = []
    for node in graph.nodes:
        if node.name == name:
            node = dataclasses.replace(
                node,
                attrs={**node.attrs, **(attrs or {})},
                consts={**node.consts, **(consts or {})},
                inputs=node.inputs if inputs is None else inputs,
            )
        nodes.append(node)
    tensors = dict(graph.tensors)
    if tensor:
        scale, zero = grid or (0.5, 3)
        tensors[tensor] = Tensor(tensor, shape or tensors[tensor].shape, scale, zero)
    return dataclasses.replace(graph, nodes=tuple(nodes), tensors=tensors)


def test_every_operator_runs_and_is_stored(tmp_path):
    graph = verify(every_operator())
    x = np.random.default_rng(0).integers(-128, 128, (3, 6, 6, 2)).astype(np.int8)
    values = run(graph, x)
    for name, value in values.items():
        assert (value.shape, value.dtype) == ((3, *graph.tensors[name].shape), np.int8)
    save(graph, tmp_path / "graph.npz")
    again = load(tmp_path / "graph.npz")
    assert equal(again, graph)
    assert np.array_equal(output(again, x), output(graph, x))


WEIGHT = np.zeros((4, 3, 3, 3), np.int8)


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("conv", {"attrs": {"stride": (0, 1)}}, r"stride must be 2 integers of at least 1, not"),
        ("conv", {"attrs": {"stride": [1, 1]}}, r"stride must be 2 integers of at least 1, not"),
        ("conv", {"attrs": {"stride": (7, 1)}}, r"stride \(7, 1\) is larger than the input \(6, 6"),
        ("conv", {"attrs": {"padding": (3, 0, 0, 0)}}, r"padding \(3, 0, 0, 0\) must be smaller t"),
        ("conv", {"attrs": {"padding": (-1, 0, 0, 0)}}, "padding must be 4 integers of at least 0"),
        ("conv", {"attrs": {"dilation": (1, 0)}}, "dilation must be 2 integers of at least 1"),
        ("conv", {"attrs": {"dilation": (4, 1)}}, r"kernel \(9, 3\) does not fit|output shape"),
        ("conv", {"consts": {"weight": WEIGHT}}, r"weight must have shape \(4, 3, 3, 2\), not"),
        ("conv", {"consts": {"weight": WEIGHT[0]}}, r"weight must have 4 axes, not shape"),
        ("conv", {"consts": {"weight": WEIGHT[:, :0, :, :2]}}, "kernel must have a positive size"),
        ("conv", {"consts": {"bias": np.zeros(3, np.int32)}}, r"bias must have shape \(4,\)"),
        ("conv", {"consts": {"shift": np.full(3, 0)}}, r"shift must have shape \(1,\) or \(4,\)"),
        ("conv", {"attrs": {"rounding": "up"}}, "rounding must be 'single' or 'double'"),
        ("depth", {"tensor": "c", "shape": (6, 6, 3)}, None),
        ("pad", {"tensor": "p", "grid": (0.5, 4)}, "pad must keep the scale and the zero point"),
        ("pad", {"attrs": {"channels": (0, 0)}}, r"output shape must be \(8, 6, 4\), not"),
        ("add", {"inputs": ("c",)}, "add takes 2 inputs, not 1"),
        ("add", {"inputs": ("c", "x")}, "the shapes of what is added must be equal, not"),
        ("add", {"attrs": {"shift": 1}}, "shift must be at most 0, not 1"),
        ("add", {"attrs": {"left_shift": 3}}, "left_shift must be 20, not 3"),
        ("add", {"attrs": {"multipliers": (1, 2)}}, "multipliers must be 2 integers of at least"),
        ("add", {"attrs": {"clamp": (3, 2)}}, "clamp must be two ordered int8 values"),
        ("avg", {"attrs": {"kernel": (0, 2)}}, "kernel must be 2 integers of at least 1"),
        ("avg", {"attrs": {"kernel": (9, 2)}}, r"kernel \(9, 2\) does not fit the input \(8, 6\)"),
        ("avg", {"attrs": {"padding": (0, 0, 2, 0)}}, "must be smaller than the kernel"),
        ("avg", {"tensor": "a", "grid": (0.4, 3)}, "must keep the scale and the zero point"),
        ("join", {"attrs": {"axis": 3}}, "axis must be 0 to 2, not 3"),
        ("join", {"attrs": {"axis": 1}}, "a has shape .* which does not fit"),
        ("join", {"inputs": ("a",)}, "the inputs have 5 along axis 2, not 10"),
        ("join", {"inputs": ()}, "concatenation takes 1 to 1024 inputs, not 0"),
        ("rescale", {"attrs": {"multiplier": 5}}, "multiplier must be 1073741824 to 2..31 - 1"),
        ("rescale", {"attrs": {"shift": 31}}, "shift must be -31 to 30, not 31"),
        ("lut", {"consts": {"table": np.zeros(255, np.int8)}}, "table must be 256 int8 values"),
        ("mean", {"attrs": {"multiplier": 1 << 28}}, "multiplier must be 536870912 to 2..31"),
        ("mean", {"tensor": "y", "shape": (1, 10)}, r"output shape must be \(10,\) or \(1, 1, 10"),
    ],
)  # fmt: skip
def test_verify_names_the_node(name, change, message):
    graph = changed(name, **change)
    with pytest.raises(GraphError, match=f"^{name}: .*{message}" if message else "shape"):
        verify(graph)


def test_graphs_with_unknown_kinds_of_tensors():
    graph = every_operator()
    for name, node in (("c", "conv"), ("s", "add"), ("y", "mean"), ("r", "rescale")):
        shape = graph.tensors[name].shape
        tensors = {**graph.tensors, name: Tensor(name, shape)}
        with pytest.raises(GraphError, match=f"^{node}: "):
            verify(dataclasses.replace(graph, tensors=tensors))
