"""Published models, where they are at hand: every layer's bits."""

from pathlib import Path

import numpy as np
import pytest
import tflite
from support import data_dir, needs_data

from prunus.compiler.evaluate import output, quantize_input, run, split_host
from prunus.compiler.importers.tflite import import_tflite
from prunus.compiler.ir import ModelError
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
TINY = (data_dir() or Path()) / "mlperf_tiny"


def golden(name):
    with np.load(TINY / "golden" / f"{name}_int8_golden.npz") as archive:
        return dict(archive)


def test_anomaly_detection_is_bit_exact():
    graph = import_tflite(TINY / "models/ad/ad01_int8.tflite")
    wanted = golden("ad")
    assert np.array_equal(output(graph, wanted["in"][:200]), wanted["out_ref_first"])
    for sample in ("s0", "s1"):
        values = run(graph, wanted[f"{sample}_in"][None])
        for number, node in enumerate(graph.nodes):
            layer = wanted[f"{sample}_op{number:02d}_FULLY_CONNECTED"]
            assert np.array_equal(values[node.output], layer), node.name
    pre, core, post = split_host(graph)
    assert (len(pre.nodes), len(core.nodes), len(post.nodes)) == (0, 10, 0)
    for node in core.nodes:
        zero = core.tensors[node.inputs[0]].zero_point
        assert accumulator_bits(node.consts["weight"], node.consts["bias"], zero) <= 24


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
    model = tflite.Model.GetRootAs(raw, 0)
    (logits,) = model.Subgraphs(0).Operators(number).OutputsAsNumpy()
    scale = float(model.Subgraphs(0).Tensors(logits).Quantization().Scale(0))
    wanted = golden(name)
    for sample in ("s0", "s1"):
        layer = wanted[f"{sample}_op{number:02d}_FULLY_CONNECTED"]
        soft = wanted[f"{sample}_op{number + 1:02d}_SOFTMAX"]
        assert np.array_equal(softmax_int8(layer, scale), soft)


@pytest.mark.parametrize(
    "file, message",
    [
        ("kws/kws_ref_model", r"operator 0, CONV_2D \(tensor .*\) is not supported"),
        ("kws/kws_ref_model_float32", "operator 0, .*: float activations with int8 weights: dyn"),
        ("vww/vww_96_int8", "operator 0, CONV_2D .* is not supported"),
    ],
)
def test_refused_for_now(file, message):
    with pytest.raises(ModelError, match=message):
        import_tflite(TINY / "models" / f"{file}.tflite")


def test_double_rounding_is_what_convolutions_use():
    """A 1x1 convolution is a fully-connected layer on every pixel, with the other rounding."""
    raw = (TINY / "models/kws/kws_ref_model.tflite").read_bytes()
    model = tflite.Model.GetRootAs(raw, 0)
    graph = model.Subgraphs(0)
    op = graph.Operators(2)
    x, w, b, y = (graph.Tensors(n) for n in (*op.InputsAsNumpy(), op.Outputs(0)))
    weight = model.Buffers(w.Buffer()).DataAsNumpy().view(np.int8).reshape(64, 64)
    bias = model.Buffers(b.Buffer()).DataAsNumpy().view(np.int32)
    scales = w.Quantization().ScaleAsNumpy().astype(float) * float(x.Quantization().Scale(0))
    pairs = [quantize_multiplier(s / float(y.Quantization().Scale(0))) for s in scales]
    multiplier, shift = np.array(pairs).T
    wanted = golden("kws")
    entering = wanted["s0_op01_DEPTHWISE_CONV_2D"]
    acc = fully_connected(entering, weight, int(x.Quantization().ZeroPoint(0))) + bias
    zero = int(y.Quantization().ZeroPoint(0))
    result = requantize(acc, multiplier, shift, "double", zero, zero, 127)
    assert np.array_equal(result, wanted["s0_op02_CONV_2D"])
