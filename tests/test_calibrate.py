import dataclasses

import numpy as np
import pytest
from graphs import float_mlp, samples

from prunus.compiler.evaluate import output, quantize_input, run, split_host
from prunus.compiler.ir import Graph, GraphError, Node, Tensor, verify
from prunus.compiler.passes.calibrate import calibrate
from prunus.sim.ops import dequantize


def error_steps(graph, quantized, x):
    """The largest difference to the float graph, in steps of the int8 output."""
    tensor = quantized.tensors[quantized.outputs[0]]
    result = output(quantized, quantize_input(quantized, x))
    real = dequantize(result, tensor.scale, tensor.zero_point)
    return np.abs(real - output(graph, x)).max() / tensor.scale


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("close", [None, "softmax", "logistic"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_result_is_near(per_channel, close, dtype):
    graph = float_mlp((20, 30, 10), close=close, dtype=dtype)
    x = samples(graph, 200)
    quantized = verify(calibrate(graph, x, per_channel=per_channel))
    assert [node.op for node in quantized.nodes][:2] == ["fully_connected"] * 2
    assert len(quantized.nodes[0].consts["shift"]) == (30 if per_channel else 1)
    assert error_steps(graph, quantized, x) < 6
    assert split_host(quantized)[1].nodes == quantized.nodes[:2]


def test_weights_are_symmetric_and_zeros_stay():
    graph = float_mlp()
    weight = graph.nodes[0].consts["weight"].copy()
    weight[::2, 1:] = 0
    graph = graph.with_nodes([graph.nodes[0].with_consts(weight=weight), *graph.nodes[1:]])
    result = calibrate(graph, samples(graph)).nodes[0].consts["weight"]
    assert np.abs(result.astype(int)).max() == 127
    assert not result[weight == 0].any()


def test_relu_is_a_clamp():
    graph = float_mlp()
    quantized = calibrate(graph, samples(graph))
    first, last = quantized.nodes
    hidden = quantized.tensors[first.output]
    assert hidden.name == "relu0:y"
    assert hidden.zero_point == -128
    assert first.attrs["clamp"] == (-128, 127)
    assert last.attrs["clamp"] == (-128, 127)


def small(*ops, shape=(4,)):
    """dense from x, then the given (op, shape, attrs)."""
    tensors = [Tensor("x", (6,)), Tensor("d", (4,))]
    rng = np.random.default_rng(3)
    consts = {"weight": rng.normal(size=(4, 6)), "bias": rng.normal(size=4)}
    nodes, last = [Node("fc", "dense", ("x",), "d", consts=consts)], "d"
    for n, (op, shape, attrs) in enumerate(ops):
        tensors.append(Tensor(f"t{n}", shape))
        nodes.append(Node(f"{op}{n}", op, (last,), f"t{n}", attrs))
        last = f"t{n}"
    return verify(Graph("g", ("x",), (last,), {t.name: t for t in tensors}, tuple(nodes)))


def test_clamps_are_composed():
    graph = small(("relu", (4,), {}), ("clip", (4,), {"lo": -1.0, "hi": 2.5}))
    x = samples(graph, 300)
    quantized = calibrate(graph, x)
    (node,) = quantized.nodes
    tensor = quantized.tensors[node.output]
    low, high = ((bound - tensor.zero_point) * tensor.scale for bound in node.attrs["clamp"])
    assert low == 0 and abs(high - 2.5) < tensor.scale
    assert error_steps(graph, quantized, x) < 12  # half a step of inputs and weights, times 6


def test_relu_behind_a_reshape_is_fused():
    graph = small(("reshape", (2, 2), {}), ("reshape", (1, 4), {}), ("relu", (1, 4), {}))
    x = samples(graph, 100)
    quantized = calibrate(graph, x)
    assert [node.op for node in quantized.nodes] == ["fully_connected", "reshape", "reshape"]
    assert quantized.tensors[quantized.outputs[0]].shape == (1, 4)
    assert error_steps(graph, quantized, x) < 4


def test_activation_functions_without_a_layer_are_refused():
    tensors = {name: Tensor(name, (4,)) for name in ("x", "y")}
    graph = Graph("g", ("x",), ("y",), tensors, (Node("r", "relu", ("x",), "y"),))
    with pytest.raises(GraphError, match="^r: relu must follow a dense layer"):
        calibrate(graph, np.zeros((3, 4)))
    graph = small(("relu", (4,), {}))
    both = dataclasses.replace(graph, outputs=("d", "t0"))
    with pytest.raises(GraphError, match="^relu0: relu must follow a dense layer that nothing"):
        calibrate(both, samples(graph))


def test_constant_zero_activations():
    graph = float_mlp()
    consts = {"weight": np.zeros((9, 6)), "bias": np.full(9, -1.0)}
    graph = graph.with_nodes([graph.nodes[0].with_consts(**consts), *graph.nodes[1:]])
    x = np.zeros((4, 6))
    quantized = calibrate(graph, x)
    values = run(quantized, quantize_input(quantized, x))
    assert (values["relu0:y"] == quantized.tensors["relu0:y"].zero_point).all()
    assert error_steps(graph, quantized, x) < 2


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_large_bias_beside_small_weights(per_channel):
    graph = small()
    consts = {"weight": graph.nodes[0].consts["weight"] * 1e-12, "bias": np.arange(4) * 1e3}
    graph = graph.with_nodes([graph.nodes[0].with_consts(**consts)])
    x = samples(graph)
    quantized = calibrate(graph, x, per_channel=per_channel)
    assert error_steps(graph, quantized, x) <= 1


@pytest.mark.parametrize(
    "batch, message",
    [
        (np.zeros((0, 6)), "^batch must have at least one sample, not 0$"),
        (np.zeros((3, 5)), r"^x: x must have shape \(samples, 6\), not \(3, 5\)$"),
        (np.zeros(6), r"^x: x must have shape \(samples, 6\), not \(6,\)$"),
        (np.float64(1), r"^x: x must have shape \(samples, 6\), not \(\)$"),
        (np.zeros((3, 6), np.uint8), "^batch must be float, not uint8$"),
        (np.full((3, 6), np.nan), "^batch must be finite, and it holds NaN or infinity$"),
        (np.full((3, 6), np.inf), "^batch must be finite, and it holds NaN or infinity$"),
        (np.full((3, 6), 1e300), "^batch must keep every layer within float32"),
    ],
)
def test_the_batch_is_checked(batch, message):
    with pytest.raises(ValueError, match=message):
        calibrate(float_mlp(), batch)


def test_int8_graphs_are_refused():
    graph = float_mlp()
    x = samples(graph)
    with pytest.raises(GraphError, match="^mlp: the graph is int8 already"):
        calibrate(calibrate(graph, x), x)
