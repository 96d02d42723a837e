import dataclasses

import numpy as np
import pytest
from graphs import float_mlp, samples
from image_graphs import Chain
from image_graphs import samples as images

from prunus.compiler.evaluate import output, quantize_input, run, split_host
from prunus.compiler.ir import Graph, GraphError, Node, Tensor, verify
from prunus.compiler.passes.calibrate import calibrate


def chain(graph, *nodes, tensors=(), front=()):
    """A graph with nodes put in front of it and behind it."""
    every = {**graph.tensors, **{t.name: t for t in tensors}}
    inputs = front[0].inputs if front else graph.inputs
    outputs = (nodes[-1].output,) if nodes else graph.outputs
    return verify(Graph("chain", inputs, outputs, every, (*front, *graph.nodes, *nodes)))


def int8_mlp(close=None):
    graph = float_mlp(close=close)
    return calibrate(graph, samples(graph))


def test_parts_equal_the_whole():
    graph = int8_mlp("softmax")
    last = Tensor("probabilities", (4,))
    front = (Node("q", "quantize", ("real",), "x"),)
    back = Node("d", "dequantize", graph.outputs, "probabilities")
    whole = chain(graph, back, tensors=(last, Tensor("real", (6,))), front=front)
    pre, core, post = split_host(whole)
    assert [node.op for node in pre.nodes] == ["quantize"]
    assert [node.op for node in core.nodes] == ["fully_connected", "fully_connected"]
    assert [node.op for node in post.nodes] == ["softmax", "dequantize"]
    x = samples(float_mlp())
    values = output(core, output(pre, x))
    assert values.dtype == np.int8
    assert np.array_equal(output(post, values), output(whole, x))


def test_empty_parts_pass_on():
    graph = int8_mlp()
    pre, core, post = split_host(graph)
    assert (pre.nodes, post.nodes) == ((), ())
    assert (pre.inputs, pre.outputs) == (("x",), ("x",))
    assert (post.inputs, post.outputs) == (core.outputs, core.outputs)
    x = quantize_input(graph, samples(float_mlp()))
    assert np.array_equal(output(post, output(core, output(pre, x))), output(graph, x))


def test_reshapes_belong_to_the_core():
    graph = int8_mlp("logistic")
    x = graph.tensors["x"]
    image = dataclasses.replace(x, name="image", shape=(2, 3))
    whole = chain(graph, tensors=(image,), front=(Node("r", "reshape", ("image",), "x"),))
    pre, core, post = split_host(whole)
    assert [node.op for node in core.nodes] == ["reshape", "fully_connected", "fully_connected"]
    assert [len(pre.nodes), len(post.nodes)] == [0, 1]


def test_host_operator_between_layers_is_refused():
    graph = int8_mlp()
    middle = graph.nodes[0].output
    shape = graph.tensors[middle].shape
    soft = Tensor("soft", shape, 1 / 256, -128)
    nodes = (
        graph.nodes[0],
        Node("s", "softmax", (middle,), "soft"),
        dataclasses.replace(graph.nodes[1], inputs=("soft",)),
    )
    bad = dataclasses.replace(graph, nodes=nodes, tensors={**graph.tensors, "soft": soft})
    with pytest.raises(GraphError, match="^s: softmax runs on the host and must not stand between"):
        split_host(bad)


def test_float_and_empty_graphs_are_refused():
    with pytest.raises(GraphError, match="^fc0: dense is float; calibrate the graph first$"):
        split_host(float_mlp())
    x, y = Tensor("x", (4,), 0.1, 0), Tensor("y", (4,), 1 / 256, -128)
    only = Graph("soft", ("x",), ("y",), {"x": x, "y": y}, (Node("s", "softmax", ("x",), "y"),))
    with pytest.raises(GraphError, match="^soft: the graph has no layer with weights$"):
        split_host(only)


def test_two_results_are_refused():
    graph = int8_mlp()
    with pytest.raises(GraphError, match="one tensor must enter and one must leave the core part"):
        split_host(dataclasses.replace(graph, outputs=(graph.nodes[0].output, *graph.outputs)))


def test_an_early_output_is_refused():
    graph = int8_mlp("softmax")
    both = dataclasses.replace(graph, outputs=("x", *graph.outputs))
    with pytest.raises(GraphError, match="every output must come from the last layer"):
        split_host(both)


def test_run_gives_every_tensor():
    graph = int8_mlp("softmax")
    values = run(graph, quantize_input(graph, samples(float_mlp(), 3)))
    assert values.keys() == graph.tensors.keys()
    for name, value in values.items():
        assert (value.shape, value.dtype) == ((3, *graph.tensors[name].shape), np.int8)


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros((2, 5), np.int8), r"^x: x must have shape \(samples, 6\), not \(2, 5\)$"),
        (np.zeros(6, np.int8), r"^x: x must have shape \(samples, 6\), not \(6,\)$"),
        (np.zeros((2, 5)), r"^x: x must have shape \(samples, 6\), not \(2, 5\)$"),
        (np.zeros((2, 6), np.uint8), "^x: x must be int8, not uint8$"),
        (np.full((2, 6), np.nan), "^x: x must be free of NaN and infinity$"),
        (np.full((2, 6), 1e300), "^x: x must be free of NaN and infinity$"),
    ],
)
def test_input_is_checked(x, message):
    with pytest.raises(ValueError, match=message):
        quantize_input(int8_mlp(), x)


def test_float_run_refuses_integers():
    with pytest.raises(ValueError, match="^x: x must be float, not int64$"):
        run(float_mlp(), np.zeros((1, 6), np.int64))


def test_float_operators():
    graph = float_mlp(close="softmax")
    x = samples(graph, 4)
    value = output(graph, x)
    assert np.allclose(value.sum(axis=1), 1, rtol=1e-12, atol=0)
    w = [node.consts for node in graph.nodes if node.op == "dense"]
    hidden = np.maximum(x.astype(float) @ w[0]["weight"].T.astype(float) + w[0]["bias"], 0)
    logits = hidden @ w[1]["weight"].T.astype(float) + w[1]["bias"]
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert np.array_equal(value, e / e.sum(axis=1, keepdims=True))


def test_a_rescale_is_the_hosts_at_the_edges_and_the_gates_between_layers():
    graph = int8_mlp()
    tensors = dict(graph.tensors)
    attrs = {"multiplier": 1 << 30, "shift": 1, "clamp": (-128, 127)}

    def rescale(name, source, target):
        tensors[target] = dataclasses.replace(tensors[source], name=target)
        return Node(name, "rescale", (source,), target, attrs)

    first, second = graph.nodes
    tensors["early"] = dataclasses.replace(tensors["x"], name="early")
    nodes = (
        rescale("front", "early", "x"),
        first,
        rescale("middle", first.output, "between"),
        dataclasses.replace(second, inputs=("between",)),
        rescale("back", second.output, "late"),
    )
    whole = verify(Graph("edges", ("early",), ("late",), tensors, nodes))
    pre, core, post = split_host(whole)
    assert [node.name for node in pre.nodes] == ["front"]
    assert [node.name for node in core.nodes] == [first.name, "middle", second.name]
    assert [node.name for node in post.nodes] == ["back"]
    x = quantize_input(graph, samples(float_mlp()))
    assert np.array_equal(output(post, output(core, output(pre, x))), output(whole, x))


def test_a_residual_stays_in_the_core():
    chain = Chain((4, 4, 3)).conv("x", "a", 3).add("add", "a x", "y")
    graph = chain.graph()
    graph = calibrate(graph, images(graph))
    pre, core, post = split_host(graph)
    assert (pre.nodes, core.nodes, post.nodes) == ((), graph.nodes, ())
    assert core.inputs == ("x",)
