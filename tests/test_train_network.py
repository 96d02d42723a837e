"""Graphs as PyTorch modules: the same integers as the golden operators, and back again."""

import numpy as np
import pytest
from graphs import float_mlp, samples
from networks import random_network
from train_support import chain, torch

from prunus.compiler import evaluate
from prunus.compiler.ir import Graph, GraphError, Node, Tensor, equal, verify
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.train.network import Network
from prunus.compiler.train.rounding import away, requantized, stochastic, table
from prunus.sim import ops


def residual(seed=0):
    """Every operator on images that training has: convolutions, pools, add, pad, concatenation."""
    rng = np.random.default_rng(seed)
    window = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1)}
    shapes = {"x": (7, 6, 2)}
    nodes = []

    def add(name, op, inputs, shape, attrs=None, weight=None):
        consts = {}
        if weight is not None:
            bias = rng.normal(0, 0.1, shape[-1]).astype(np.float32)
            scale = 1 / np.sqrt(np.prod(weight[1:]))
            consts = {"weight": rng.normal(0, scale, weight).astype(np.float32), "bias": bias}
        nodes.append(Node(name, op, tuple(inputs), f"{name}:y", attrs or {}, consts))
        shapes[f"{name}:y"] = shape
        return f"{name}:y"

    first = add("a", "convolution", ["x"], (7, 6, 4), window, (4, 3, 3, 2))
    first = add("ra", "relu", [first], (7, 6, 4))
    uneven = window | {"padding": (0, 1, 2, 0)}
    second = add("b", "depthwise_convolution", [first], (6, 6, 4), uneven, (1, 3, 3, 4))
    second = add("pb", "pad", [second], (7, 6, 4), {"padding": (1, 0, 0, 0), "channels": (0, 0)})
    both = add("s", "add", [first, second], (7, 6, 4))
    pool = {"kernel": (3, 2), "stride": (2, 2), "padding": (1, 1, 0, 0)}
    small = add("m", "max_pool_2d", [both], (4, 3, 4), pool)
    mean = add("p", "average_pool_2d", [both], (4, 3, 4), pool)
    joined = add("j", "concatenation", [small, mean], (4, 3, 8), {"axis": 2})
    bent = add("t", "tanh", [joined], (4, 3, 8))
    flat = add("f", "reshape", [bent], (96,))
    out = add("d", "dense", [flat], (5,), None, (5, 96))
    tensors = {name: Tensor(name, shape) for name, shape in shapes.items()}
    return verify(Graph("residual", ("x",), (out,), tensors, tuple(nodes)))


GRAPHS = {
    "mlp": float_mlp((20, 30, 10), close="softmax"),
    "conv": chain((9, 9, 2), ("convolution", 5, 3), ("relu",), ("max_pool_2d",), ("reshape",),
                  ("dense", 4)),
    "residual": residual(),
}  # fmt: skip


def inside(graph, x, dtype=torch.float32):
    """Every tensor that the module makes, as int8, and the golden one."""
    network = Network(graph, dtype)
    with torch.no_grad():
        values = network.values(torch.from_numpy(x), graph.tensors)
    golden = evaluate.run(graph, evaluate.quantize_input(graph, x))
    for name, value in values.items():
        tensor, found = graph.tensors[name], value.double().numpy()
        if name == network.result:
            found = np.rint(found / tensor.scale)
        yield name, found + tensor.zero_point, golden[name]


@pytest.mark.parametrize("name", GRAPHS)
def test_integers_are_those_of_the_golden_model(name):
    graph = GRAPHS[name]
    x = samples(graph, 40)
    quantized = calibrate(graph, x)
    compared = 0
    for tensor, found, golden in inside(quantized, x * 1.5):
        assert np.array_equal(found, golden), tensor
        compared += 1
    assert compared >= len(quantized.nodes) - 1


@pytest.mark.parametrize("seed", range(4))
def test_random_int8_networks_are_exact(seed):
    graph = random_network((40, 17, 9, 12), seed=seed, per_channel=bool(seed % 2), double=seed > 1)
    source = graph.tensors["x"]
    x8 = np.random.default_rng(seed).integers(-128, 128, (60, 40))
    x = ((x8 - source.zero_point) * source.scale).astype(np.float32)
    for tensor, found, golden in inside(graph, x, torch.float64):
        assert np.array_equal(found, golden), tensor


@pytest.mark.parametrize("name", GRAPHS)
def test_float_graphs_compute_the_same(name):
    graph = GRAPHS[name]
    x = samples(graph, 20)
    network = Network(graph, torch.float64)
    with torch.no_grad():
        found = network(torch.from_numpy(x)).numpy()
    assert np.allclose(found, evaluate.run(graph, x)[network.result], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_comes_out_as_it_went_in(name):
    graph = GRAPHS[name]
    assert equal(Network(graph).export(), graph)
    quantized = calibrate(graph, samples(graph, 40))
    assert equal(Network(quantized).export(), quantized)


def test_biases_of_32_bits_survive():
    graph = random_network((4, 3), seed=3)
    node = graph.nodes[0]
    bias = np.array([1073741760, -1073741759, 16777217], np.int32)
    graph = graph.with_nodes([node.with_consts(bias=bias)])
    assert equal(Network(graph).export(), graph)


def test_gradients_pass_straight_through():
    quantized = calibrate(GRAPHS["residual"], samples(GRAPHS["residual"], 40))
    network = Network(quantized)
    network(torch.from_numpy(samples(quantized, 8))).square().sum().backward()
    for part in network.parts:
        assert part.weight.grad.abs().sum() > 0 and part.bias.grad.abs().sum() > 0


def test_the_gradient_is_that_of_the_float_network():
    graph = float_mlp((10, 12, 3), seed=2)
    x = samples(graph, 400)
    gradients = []
    for some in (graph, calibrate(graph, x)):
        network = Network(some, torch.float64)
        network(torch.from_numpy(x)).square().mean().backward()
        gradients.append(torch.cat([part.weight.grad.ravel() for part in network.parts]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99
    assert 0.9 < gradients[1].norm() / gradients[0].norm() < 1.1


@pytest.mark.parametrize("rounding", ["single", "double"])
def test_requantized_is_scale(rounding):
    rng = np.random.default_rng(0)
    acc = rng.integers(-(1 << 24), 1 << 24, 2000)
    acc[:400] = np.arange(-200, 200)
    for shift in (-31, -9, -1, 0, 2):
        multiplier = int(rng.integers(1 << 30, 1 << 31)) if shift != -1 else 1 << 30
        found = requantized(torch.from_numpy(acc.astype(np.float64)), torch.tensor(multiplier),
                            torch.tensor(shift), rounding)  # fmt: skip
        assert np.array_equal(found.numpy(), ops.scale(acc, multiplier, shift, rounding))


def test_rounding_and_tables():
    x = torch.tensor([-1.5, -0.5, 0.4, 0.5, 2.5], requires_grad=True)
    assert away(x).tolist() == [-2, -1, 0, 1, 3]
    away(x).sum().backward()
    assert x.grad.tolist() == [1] * 5
    torch.manual_seed(0)
    drawn = stochastic(torch.full((20000,), 0.25))
    assert set(drawn.tolist()) == {0.0, 1.0} and abs(float(drawn.mean()) - 0.25) < 0.02
    values = torch.arange(256.0) ** 2
    steps = torch.tensor([-128.0, 0.0, 127.0], requires_grad=True)
    found = table(steps, values)
    assert found.tolist() == [0, 128.0**2, 255.0**2]
    found.sum().backward()
    assert steps.grad.tolist() == [1, 256, 509]


def test_what_cannot_be_trained_is_named():
    graph = float_mlp((3, 2), close="softmax")
    (dense, close) = graph.nodes
    twice = Node("again", "relu", (close.output,), "z")
    tensors = {**graph.tensors, "z": Tensor("z", (2,))}
    late = Graph("late", ("x",), ("z",), tensors, (dense, close, twice))
    with pytest.raises(GraphError, match="^softmax: softmax must close the network"):
        Network(late)(torch.zeros(1, 3))
    plain = Graph("none", ("x",), ("y",), {k: Tensor(k, (2,)) for k in "xy"},
                  (Node("r", "relu", ("x",), "y"),))  # fmt: skip
    with pytest.raises(GraphError, match="^none: no layer with weights to train$"):
        Network(plain)
