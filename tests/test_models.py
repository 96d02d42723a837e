"""Published models, where they are at hand: every layer's bits."""

import re

import numpy as np
import onnx
import pytest
import tflite
from onnx.reference import ReferenceEvaluator
from support import needs_data
from tiny import TINY, golden, model

from prunus.compiler.evaluate import output, quantize_input, run, split_host
from prunus.compiler.importers.tflite import import_tflite
from prunus.compiler.ir import ModelError
from prunus.compiler.load import load_model
from prunus.compiler.passes.calibrate import calibrate
from prunus.sim.ops import (
    accumulator_bits,
    dequantize,
    fully_connected,
    quantize_multiplier,
    requantize,
    softmax_int8,
)

pytestmark = needs_data


@pytest.mark.parametrize("name", ["kws", "ic", "vww", "ad"])
def test_every_layer_is_bit_exact(name):
    graph = import_tflite(model(name))
    wanted = golden(name)
    shape = graph.tensors[graph.inputs[0]].shape
    values = run(graph, np.stack([wanted[f"s{n}_in"].reshape(shape) for n in range(2)]))
    layers = {}
    for node in graph.nodes:  # a file's operator may be several nodes; the last is its result
        layers[int(re.search(r"_(\d+)(_unflatten)?$", node.name)[1])] = values[node.output]
    compared = 0
    for key, layer in wanted.items():
        match = re.fullmatch(r"s(\d)_op(\d+)_\w+", key)
        if match:
            result = layers[int(match[2])][int(match[1])]
            assert np.array_equal(result.ravel(), layer.ravel()), key
            compared += 1
    assert compared == 2 * len(layers)


def test_anomaly_detection_fits_the_gates():
    graph = import_tflite(model("ad"))
    pre, core, post = split_host(graph)
    assert (len(pre.nodes), len(core.nodes), len(post.nodes)) == (0, 10, 0)
    for node in core.nodes:
        zero = core.tensors[node.inputs[0]].zero_point
        assert accumulator_bits(node.consts["weight"], node.consts["bias"], zero) <= 24


@pytest.mark.parametrize("name", ["kws", "ic", "vww"])
def test_the_softmax_is_the_hosts(name):
    pre, core, post = split_host(import_tflite(model(name)))
    assert not pre.nodes
    assert [node.op for node in post.nodes] == ["softmax"]
    assert {node.op for node in core.nodes} <= {
        "conv_2d", "depthwise_conv_2d", "add", "average_pool_2d", "reshape", "fully_connected"
    }  # fmt: skip


def test_anomaly_detection_from_float():
    exact = import_tflite(TINY / "models/ad/ad01_int8.tflite")
    source = exact.tensors[exact.inputs[0]]
    inputs = golden("ad")["in"]
    x = dequantize(inputs, source.scale, source.zero_point)
    graph = import_tflite(TINY / "models/ad/ad01_fp32.tflite")
    quantized = calibrate(graph, x[:100])
    assert len(quantized.nodes) == 10
    target = quantized.tensors[quantized.outputs[0]]
    assert 0.2 < target.scale < 0.6
    values = run(graph, x[100:])[graph.outputs[0]]
    entering = quantize_input(quantized, x[100:])
    result = dequantize(output(quantized, entering), target.scale, target.zero_point)
    assert np.sqrt(np.mean((result - values) ** 2)) < 6 * target.scale


@pytest.mark.parametrize(
    "name, file, number", [("kws", "kws_ref_model", 11), ("ic", "pretrainedResnet_quant", 14)]
)
def test_softmax_of_real_logits(name, file, number):
    raw = (TINY / f"models/{name}/{file}.tflite").read_bytes()
    table = tflite.Model.GetRootAs(raw, 0)
    (logits,) = table.Subgraphs(0).Operators(number).OutputsAsNumpy()
    scale = float(table.Subgraphs(0).Tensors(logits).Quantization().Scale(0))
    wanted = golden(name)
    for sample in ("s0", "s1"):
        layer = wanted[f"{sample}_op{number:02d}_FULLY_CONNECTED"]
        soft = wanted[f"{sample}_op{number + 1:02d}_SOFTMAX"]
        assert np.array_equal(softmax_int8(layer, scale), soft)


def test_dynamic_range_is_refused():
    message = "operator 0, .*: float activations with int8 weights: dynamic-range quantization"
    with pytest.raises(ModelError, match=message):
        import_tflite(TINY / "models/kws/kws_ref_model_float32.tflite")


def test_double_rounding_is_what_convolutions_use():
    """A 1x1 convolution is a fully-connected layer on every pixel, with the other rounding."""
    raw = (TINY / "models/kws/kws_ref_model.tflite").read_bytes()
    table = tflite.Model.GetRootAs(raw, 0)
    graph = table.Subgraphs(0)
    op = graph.Operators(2)
    x, w, b, y = (graph.Tensors(n) for n in (*op.InputsAsNumpy(), op.Outputs(0)))
    weight = table.Buffers(w.Buffer()).DataAsNumpy().view(np.int8).reshape(64, 64)
    bias = table.Buffers(b.Buffer()).DataAsNumpy().view(np.int32)
    scales = w.Quantization().ScaleAsNumpy().astype(float) * float(x.Quantization().Scale(0))
    pairs = [quantize_multiplier(s / float(y.Quantization().Scale(0))) for s in scales]
    multiplier, shift = np.array(pairs).T
    wanted = golden("kws")
    entering = wanted["s0_op01_DEPTHWISE_CONV_2D"]
    acc = fully_connected(entering, weight, int(x.Quantization().ZeroPoint(0))) + bias
    zero = int(y.Quantization().ZeroPoint(0))
    result = requantize(acc, multiplier, shift, "double", zero, zero, 127)
    assert np.array_equal(result, wanted["s0_op02_CONV_2D"])


@pytest.mark.parametrize(
    "file",
    ["mlperf_tiny/onnx_float/ic_pretrainedResnet", "mlperf_tiny/onnx_float/vww_96_float",
     "onnx/mnist-8/model", "lenet/lenet5_mnist", "cifar10_resnet/resnet20_cifar10"],
)  # fmt: skip
def test_onnx_files_are_evaluated_as_onnx_does(file):
    path = TINY.parent / f"{file}.onnx"
    graph = load_model(path)
    h, w, c = graph.tensors[graph.inputs[0]].shape
    x = np.random.default_rng(0).normal(size=(1, c, h, w)).astype(np.float32)
    proto = onnx.load(path)
    (wanted,) = ReferenceEvaluator(proto).run(None, {proto.graph.input[0].name: x})
    result = output(graph, x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)
