import dataclasses

import numpy as np
import pytest
from graphs import float_mlp, samples

from prunus.compiler.ir import GraphError, Node, Tensor, equal, live, verify
from prunus.compiler.passes.calibrate import calibrate


def int8_mlp():
    graph = float_mlp(close="softmax")
    return calibrate(graph, samples(graph))


def altered(graph, number, **changes):
    nodes = list(graph.nodes)
    consts = changes.pop("consts", {})
    attrs = changes.pop("attrs", {})
    node = nodes[number]
    nodes[number] = dataclasses.replace(
        node, **changes, consts={**node.consts, **consts}, attrs={**node.attrs, **attrs}
    )
    return dataclasses.replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"op": "conv"}, "^fc0: unknown operator 'conv'$"),
        ({"inputs": ("nobody",)}, "^fc0: input 'nobody' is not defined before it$"),
        ({"inputs": ("x", "x")}, "^fc0: fully_connected takes 1 input, not 2$"),
        ({"output": "x"}, "^fc0: output 'x' is defined twice$"),
        ({"output": "new"}, "^fc0: output 'new' is not a tensor of the graph$"),
        ({"name": "fc1"}, "^fc1: two nodes have this name$"),
        ({"consts": {"more": np.zeros(1)}}, "^fc0: constants must be "),
        ({"consts": {"weight": np.zeros((9, 6))}}, "^fc0: weight must be int8, not float64$"),
        (
            {"consts": {"weight": np.zeros((6, 9), np.int8)}},
            r"^fc0: weight must have shape \(9, 6\), not \(6, 9\)$",
        ),
        ({"consts": {"bias": np.zeros(1, np.int32)}}, r"^fc0: bias must have shape \(9,\)"),
        ({"consts": {"shift": np.array([31])}}, "^fc0: shift must be -31 to 30$"),
        ({"consts": {"multiplier": np.array([0])}}, "^fc0: multiplier must be "),
        ({"consts": {"multiplier": np.zeros(2, np.int64)}}, "^fc0: multiplier must have shape"),
        ({"attrs": {"rounding": "up"}}, "^fc0: rounding must be 'single' or 'double', not 'up'$"),
        ({"attrs": {"clamp": (0, 128)}}, "^fc0: clamp must be two ordered int8 values"),
    ],
)
def test_verify_names_the_node(change, message):
    with pytest.raises(GraphError, match=message):
        verify(altered(int8_mlp(), 0, **change))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"shape": (0,)}, "^x: shape must be positive integers"),
        ({"zero_point": None}, "^x: scale and zero_point go together$"),
        ({"zero_point": 128}, "^x: zero_point must be -128 to 127, not 128$"),
        ({"scale": 0.0}, "^x: scale must be positive and finite, not 0.0$"),
        ({"name": "z"}, "^x: its tensor is called 'z'$"),
    ],
)
def test_verify_names_the_tensor(change, message):
    graph = int8_mlp()
    tensors = {**graph.tensors, "x": dataclasses.replace(graph.tensors["x"], **change)}
    with pytest.raises(GraphError, match=message):
        verify(dataclasses.replace(graph, tensors=tensors))


def test_verify_names_a_missing_output():
    graph = int8_mlp()
    with pytest.raises(GraphError, match="^gone: no such tensor$"):
        verify(dataclasses.replace(graph, outputs=("gone",)))
    tensors = {**graph.tensors, "late": Tensor("late", (1,))}
    with pytest.raises(GraphError, match="^late: the output is never computed$"):
        verify(dataclasses.replace(graph, outputs=("late",), tensors=tensors))


def test_constants_cannot_be_written():
    weight = np.zeros((2, 2))
    node = Node("n", "dense", ("x",), "y", consts={"weight": weight})
    with pytest.raises(ValueError, match="read-only"):
        node.consts["weight"][0, 0] = 1
    weight[0, 0] = 1  # the caller's own array stays as it was


def test_equal_compares_constants():
    graph = int8_mlp()
    assert equal(graph, int8_mlp())
    bias = graph.nodes[0].consts["bias"] + np.int32(1)
    assert not equal(graph, altered(graph, 0, consts={"bias": bias}))


def test_live_drops_what_no_output_needs():
    graph = int8_mlp()
    assert live(graph.nodes, (graph.nodes[1].output,)) == graph.nodes[:2]
    assert set(graph.with_nodes(graph.nodes[:1]).tensors) == {"x", "relu0:y", *graph.outputs}
