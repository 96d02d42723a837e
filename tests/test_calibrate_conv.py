"""Calibration of convolutional graphs: near the float graph, and refused in one line."""

import dataclasses

import numpy as np
import pytest
from image_graphs import POOL, Chain, residual_network, samples
from tflite_builder import OpSpec, TensorSpec, build, reference

from prunus.compiler.evaluate import output, quantize_input, run, split_host
from prunus.compiler.ir import GraphError, equal
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.observe import fit
from prunus.compiler.passes.quantizer import grid
from prunus.compiler.store import load, save
from prunus.sim.ops import dequantize, quantize
from prunus.sim.ops_join import tabulate


def error_steps(graph, quantized, x, name=None):
    """The largest difference to the float graph, in steps of an int8 tensor."""
    name = name or quantized.outputs[0]
    tensor = quantized.tensors[name]
    values = run(quantized, quantize_input(quantized, x))[name]
    real = dequantize(values, tensor.scale, tensor.zero_point)
    return np.abs(real - run(graph, x)[name]).max() / tensor.scale


def test_a_residual_network(tmp_path):
    graph = residual_network()
    x = samples(graph, 100)
    quantized = calibrate(graph, x, ranges="full")
    assert [node.op for node in quantized.nodes] == [
        "conv_2d", "depthwise_conv_2d", "conv_2d", "add", "max_pool_2d", "mean", "reshape",
        "fully_connected",
    ]  # fmt: skip
    for node in quantized.nodes[:3]:
        assert node.attrs["rounding"] == "double"
        assert node.consts["multiplier"].shape == (8,)
        axis = (1, 2, 3) if node.op == "conv_2d" else (0, 1, 2)
        assert (np.abs(node.consts["weight"].astype(int)).max(axis=axis) == 127).all()
    for name in ("r", "dr", "p", "sr", "m", "f", "l"):
        assert error_steps(graph, quantized, x, name) < 6, name
    assert split_host(quantized)[1].nodes == quantized.nodes
    save(quantized, tmp_path / "graph.npz")
    stored = load(tmp_path / "graph.npz")
    entering = quantize_input(quantized, x)
    assert np.array_equal(output(stored, entering), output(quantized, entering))


def test_a_clamp_of_an_addition():
    graph = Chain((4, 4, 3)).conv("x", "c", 3).add("add", "c x", "s").add("relu", "s", "y").graph()
    quantized = calibrate(graph, samples(graph))
    add = quantized.nodes[-1]
    assert (add.op, add.output) == ("add", "y")
    assert add.attrs["clamp"] == (-128, 127)
    assert quantized.tensors["y"].zero_point == -128


def test_a_relu_that_is_not_alone_is_a_rescale():
    chain = Chain((4, 4, 3)).conv("x", "c", 3).add("relu", "c", "r").conv("r", "d", 3)
    graph = chain.add("add", "c d", "y").graph()
    x = samples(graph)
    quantized = calibrate(graph, x, ranges="full")
    assert [node.op for node in quantized.nodes] == ["conv_2d", "rescale", "conv_2d", "add"]
    assert quantized.tensors["c"].zero_point > -100
    assert quantized.tensors["r"].zero_point == -128
    assert error_steps(graph, quantized, x) < 4


def test_concatenations_take_or_rescale():
    chain = Chain((4, 4, 3)).conv("x", "a", 3).conv("x", "b", 5).add("relu", "b", "br")
    chain.add("max_pool_2d", "br", "m", attrs=POOL | {"kernel": (1, 1), "stride": (1, 1)})
    graph = chain.add("concatenation", "a m x", "y", (4, 4, 11), {"axis": 2}).graph()
    x = samples(graph)
    quantized = calibrate(graph, x, ranges="full")
    assert [node.op for node in quantized.nodes] == [
        "conv_2d", "conv_2d", "max_pool_2d", "rescale", "concatenation",
    ]  # fmt: skip
    scales = {quantized.tensors[name].scale for name in ("a", "br", "m", "y")}
    assert len(scales) == 1
    assert quantized.nodes[3].inputs == ("x",)
    assert error_steps(graph, quantized, x) < 4


@pytest.mark.parametrize("seed", range(5))
def test_tanh_is_a_table(seed):
    pytest.importorskip("ai_edge_litert.interpreter")
    rng = np.random.default_rng(seed)
    scale, zero = float(np.float32(10 ** rng.uniform(-3, 0.3))), int(rng.integers(-128, 128))
    every = np.arange(-128, 128, dtype=np.int8)[None]
    tensors = [TensorSpec("x", (1, 256), scale=scale, zero_point=zero),
               TensorSpec("y", (1, 256), scale=1 / 128, zero_point=0)]  # fmt: skip
    raw = build(tensors, [OpSpec("TANH", [0], [1], {}, 2)], [0], [1])
    assert np.array_equal(tabulate(np.tanh, scale, zero, 1 / 128, 0)[None], reference(raw, every))


def test_tanh_in_a_network():
    graph = Chain((4, 4, 3)).conv("x", "c", 4).add("tanh", "c", "t").conv("t", "y", 2).graph()
    x = samples(graph)
    quantized = calibrate(graph, x, ranges="full")
    assert [node.op for node in quantized.nodes] == ["conv_2d", "lut", "conv_2d"]
    assert error_steps(graph, quantized, x) < 5


def test_samples_go_through_in_parts(monkeypatch):
    graph = residual_network()
    x = samples(graph, 20)
    whole = calibrate(graph, x, ranges="full")
    monkeypatch.setattr("prunus.compiler.passes.observe._CHUNK", 3000)
    parts = calibrate(graph, x, ranges="full")
    assert parts.tensors == whole.tensors


def rounding_error(values, low, high):
    scale, zero = grid(low, high)
    return np.square(dequantize(quantize(values, scale, zero), scale, zero) - values).mean()


def test_ranges_are_fitted_to_what_is_frequent():
    rng = np.random.default_rng(0)
    flat, tailed = rng.uniform(-1, 1, 50000), rng.laplace(size=50000)
    for values in (flat.astype(np.float32), np.maximum(tailed, 0).astype(np.float32)):
        whole = (float(values.min()), float(values.max()))
        fitted = fit(values, *whole)
        if values.min() < 0:
            assert fitted == whole
        else:
            assert fitted[1] < whole[1]
            assert rounding_error(values, *fitted) < rounding_error(values, *whole)


def test_graphs_with_convolutions_are_fitted():
    graph = residual_network()
    x = samples(graph, 100)
    fitted = calibrate(graph, x, ranges="fitted")
    assert equal(calibrate(graph, x), fitted)
    assert not equal(calibrate(graph, x, ranges="full"), fitted)
    with pytest.raises(ValueError, match="^ranges must be 'full' or 'fitted', not 'wide'$"):
        calibrate(graph, x, ranges="wide")


@pytest.mark.parametrize(
    "batch, message",
    [
        (np.zeros((2, 3, 6, 5)), r"^x: x must have .* not \(2, 3, 6, 5\); channels come last, as"),
        (np.zeros((2, 6, 5, 4)), r"^x: x must have shape .*, not \(2, 6, 5, 4\)$"),
        (np.full((2, 6, 5, 3), np.nan), "^batch must be finite, and it holds NaN or infinity$"),
    ],
)  # fmt: skip
def test_the_batch_is_checked(batch, message):
    graph = Chain((6, 5, 3)).conv("x", "y", 2).graph()
    with pytest.raises(ValueError, match=message):
        calibrate(graph, batch)


def test_int8_input_with_channels_first_is_named():
    graph = Chain((6, 5, 3)).conv("x", "y", 2).graph()
    quantized = calibrate(graph, samples(graph))
    with pytest.raises(ValueError, match="channels come last"):
        output(quantized, np.zeros((1, 3, 6, 5), np.int8))


def test_weights_that_are_not_finite():
    graph = Chain().conv("x", "y", 2).graph()
    (node,) = graph.nodes
    graph = dataclasses.replace(graph, nodes=(node.with_consts(bias=np.array([1.0, np.nan])),))
    with pytest.raises((GraphError, ValueError), match="^y_node: a weight or a bias is not finite"):
        calibrate(graph, samples(graph))
