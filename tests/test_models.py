"""Published models, where they are at hand: every layer's bits."""

import re

import numpy as np
import onnx
import pytest
import tflite
from onnx.reference import ReferenceEvaluator
from sklearn.metrics import roc_auc_score
from support import needs_data
from tiny import TINY, dataset, golden, model

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


@pytest.mark.parametrize(
    "name, count",
    [("kws", 12), ("ic", 6), ("vww", 3), ("ad", 200)]
    + [pytest.param(name, 200, marks=pytest.mark.slow) for name in ("kws", "ic", "vww")],
)
def test_outputs_are_bit_exact(name, count):
    samples, _ = dataset(name, count)
    graph = import_tflite(model(name))
    result = output(graph, samples.reshape(-1, *graph.tensors[graph.inputs[0]].shape))
    wanted = golden(name)["out_ref_first"][:count]
    assert np.array_equal(result.reshape(wanted.shape), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name, percent", [("kws", 90.1), ("ic", 87.75), ("vww", 85.3)])
def test_accuracy_of_the_int8_models(name, percent):
    samples, labels = dataset(name, None)
    graph = import_tflite(model(name))
    right = 0
    for start in range(0, len(samples), 200):
        result = output(graph, samples[start : start + 200])
        right += int((result.argmax(axis=1) == labels[start : start + 200]).sum())
    assert round(100 * right / len(labels), 2) == percent


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


def images(name, count=None):
    with np.load(TINY / "datasets" / f"{name}.npz") as archive:
        return archive["x"][:count].astype(np.float32), archive["y"][:count].ravel()


def float_twin(name):
    """A float model with 100 samples to calibrate it, and the whole data set."""
    if name == "kws":
        samples, labels = dataset("kws", None)
        x = (samples.astype(np.float32) - 83) * np.float32(0.58470291)
        path = TINY / "models/kws/qualcomm_kws_saved_model_float32.tflite"
        return path, x[:100], x, labels
    if name == "ic":
        x, labels = images("cifar10_test_exact_1625")
        path = TINY / "onnx_float/ic_pretrainedResnet.onnx"
        return path, images("cifar10_train_first1000", 100)[0], x, labels
    samples, labels = dataset("vww", None)
    x = (samples.astype(np.float32) + 128) / 255
    return TINY / "onnx_float/vww_96_float.onnx", x[:100], x, labels


@pytest.mark.slow
@pytest.mark.parametrize("name, published", [("kws", 90.1), ("ic", 87.45), ("vww", 85.3)])
def test_float_twins_reach_the_published_accuracy(name, published):
    path, batch, x, labels = float_twin(name)
    graph = calibrate(load_model(path), batch)
    right = 0
    for start in range(0, len(x), 100):
        result = output(graph, quantize_input(graph, x[start : start + 100]))
        right += int((result.argmax(axis=1) == labels[start : start + 100]).sum())
    assert round(100 * right / len(labels), 2) >= published


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


@pytest.mark.slow
def test_the_float_twin_of_anomaly_detection():
    """With a scale for each output; its windows are 5 frames, a file's score their mean error."""
    with np.load(TINY / "datasets/ad01_248_int8in.npz") as archive:
        files, labels = archive["x"], archive["y"]
    windows = np.concatenate(
        [np.lib.stride_tricks.sliding_window_view(f, (5, 128)).reshape(196, 640) for f in files]
    )
    exact = import_tflite(model("ad"))
    source = exact.tensors[exact.inputs[0]]
    x = dequantize(windows, source.scale, source.zero_point)
    graph = import_tflite(TINY / "models/ad/ad01_fp32.tflite")
    quantized = calibrate(graph, x[:9800:98], per_channel=True)
    target = quantized.tensors[quantized.outputs[0]]
    errors = []
    for start in range(0, len(x), 4900):
        part = x[start : start + 4900]
        result = output(quantized, quantize_input(quantized, part))
        real = dequantize(result, target.scale, target.zero_point)
        errors.append(np.square(real - part).mean(axis=1))
    scores = np.concatenate(errors).reshape(len(files), -1).mean(axis=1)
    assert roc_auc_score(labels, scores) >= 0.862
