"""Networks and calibrations at their edges, from the command line.

What is wrong ends in one line and a status, and nothing is written. What is only unusual works,
with the bits of the reference interpreter.
"""

import numpy as np
import pytest
from test_onnx_conv import array, node, shortcut
from test_onnx_conv import model as onnx_model
from test_onnx_qdq import single as qdq
from test_onnx_qdq import without_output_grid
from test_tflite_conv import SAME, VALID, residual, single, tensors_of
from tflite_builder import OpSpec, TensorSpec, build, reference

from prunus.flow import cli
from prunus.flow.build import load_build
from prunus.flow.simulate import simulate


def tflite(**changes):
    return single(np.random.default_rng(0), **changes)


def without_scale(number, **changes):
    return tflite(wrong={number: {"scale": None}}, **changes)


def unequal_terms(shape, missing=None):
    tensors, ops = residual(np.random.default_rng(0), other=shape)
    if missing is not None:
        tensors[missing].scale = None
    return build(tensors, ops, [0], [3])


def flat(size):
    """A fully-connected layer of ``size`` inputs."""
    tensors = [
        TensorSpec("x", (1, size), scale=0.1, zero_point=3),
        TensorSpec("w", (4, size), scale=0.1, data=np.zeros((4, size), np.int8)),
        TensorSpec("y", (1, 4), scale=0.2, zero_point=3),
    ]
    return build(tensors, [OpSpec("FULLY_CONNECTED", [0, 1], [2], {}, 4)], [0], [2])


TFLITE = {
    "no rows": (lambda: tflite(size=(0, 6, 4)), "sizes must be fixed and positive"),
    "no channels": (lambda: tflite(size=(6, 6, 0)), "sizes must be fixed and positive"),
    "no kernel": (lambda: tflite(w=(4, 0, 3, 4)), "w"),
    "no outputs": (lambda: tflite(w=(0, 3, 3, 4), b=(0,), result=(6, 6, 0)), "scale|sizes"),
    "no inputs": (lambda: flat(0), "sizes must be fixed and positive"),
    "no pool": (lambda: tflite(code="MAX_POOL_2D", FilterWidth=0), "kernel must be positive"),
    "no stride": (lambda: tflite(StrideW=0), "stride must be positive, not"),
    "long stride": (lambda: tflite(StrideH=7, result=(1, 6, 4)), "stride (7, 1) is larger than"),
    "long stride of a pool": (
        lambda: tflite(code="AVERAGE_POOL_2D", StrideW=9, result=(6, 1, 4)),
        "stride (1, 9) is larger than",
    ),
    "large kernel": (
        lambda: tflite(w=(4, 9, 3, 4), Padding=VALID), "kernel (9, 3) does not fit the input (6, 6)"
    ),
    "large pool": (
        lambda: tflite(code="MAX_POOL_2D", FilterHeight=7, Padding=VALID), "does not fit the input"
    ),
    "wrong result": (lambda: tflite(result=(5, 6, 4)), "output shape must be (6, 6, 4), not"),
    "terms": (lambda: unequal_terms((4, 3, 4)), "ADD: its inputs must have one shape, not"),
    "a broadcast term": (lambda: unequal_terms((1, 1, 3)), "ADD: its inputs must have one shape"),
    "a term's scale": (lambda: unequal_terms(None, 2), "'t2' is INT8 without one scale and zero"),
    "the input's scale": (lambda: without_scale(0), "'t0' is INT8 without one scale and zero"),
    "the output's scale": (lambda: without_scale(1), "'t1' is INT8 without one scale and zero"),
    "the weights' scale": (lambda: without_scale(2), "weight 'w' must have a scale"),
}  # fmt: skip


def conv(**attrs):
    shape = attrs.pop("shape", ("n", 3, 9, 8))
    kernel = attrs.pop("kernel", (3, 3))
    consts = {"w": np.ones((4, 3, *kernel), np.float32)}
    return onnx_model([node("Conv", "x w", **attrs)], consts, shape=shape)


def pool(op="MaxPool", kernel=(2, 2), **attrs):
    return onnx_model([node(op, "x", kernel_shape=kernel, **attrs)])


def wide_branch():
    nodes = [node("Conv", "x w", "c"), node("Add", "x c")]
    return onnx_model(nodes, {"w": array(4, 3, 1, 1)})


ONNX = {
    "no rows": (lambda: conv(shape=("n", 3, 0, 8)), "sizes must be fixed and positive"),
    "no channels": (lambda: conv(shape=("n", 0, 9, 8)), "sizes must be fixed and positive"),
    "no kernel": (lambda: conv(kernel=(0, 3)), "do not fit"),
    "no pool": (lambda: pool(kernel=(0, 2)), "kernel_shape must be 2 positive sizes"),
    "no stride": (lambda: conv(strides=[0, 1]), "strides and dilations must be positive"),
    "long stride": (lambda: conv(strides=[10, 1]), "strides (10, 1) are larger than the input"),
    "long stride of a pool": (lambda: pool(strides=[1, 9]), "strides (1, 9) are larger than"),
    "large kernel": (lambda: conv(kernel=(10, 3)), "the window does not fit"),
    "large padding": (lambda: conv(pads=[0, 3, 0, 0]), "must be 0 or more and smaller than the"),
    "large padding at the end": (lambda: conv(pads=[0, 0, 5, 0]), "smaller than the kernel"),
    "large padding of a pool": (lambda: pool(pads=[2, 2, 2, 2]), "smaller than the kernel"),
    "large padding of averages": (
        lambda: pool("AveragePool", pads=[0, 0, 0, 2]), "smaller than the kernel"
    ),
    "terms": (lambda: shortcut(pads=np.zeros(8, np.int64)), "what is added must have one shape"),
    "a broadcast term": (
        lambda: onnx_model([node("GlobalAveragePool", "x", "m"), node("Add", "x m")]),
        "what is added must have one shape",
    ),
    "terms of other channels": (wide_branch, "Add"),
    "the output's scale": (
        lambda: qdq(without_output_grid, result="c"), "c: the tensor has no scale and zero point"
    ),
}  # fmt: skip


@pytest.fixture
def refused(tmp_path, capsys):
    """Compiles a file; one line says why not, and nothing is left behind."""

    def compile_file(name, raw, message, *arguments, calibration=None):
        path = tmp_path / name
        path.write_bytes(raw)
        if calibration is not None:
            np.save(tmp_path / "x.npy", calibration)
            arguments = (*arguments, "--calibration", str(tmp_path / "x.npy"))
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        status = cli.main(["compile", str(path), "-o", str(tmp_path / "b"), *arguments])
        out, err = capsys.readouterr()
        # A slow machine may also have said what it was doing.
        lines = [text for text in err.splitlines() if text and not text.endswith(" ...")]
        assert status in (1, 2) and out == ""
        assert len(lines) == 1 and lines[0].startswith("prunus: error: "), lines
        assert any(part in lines[0] for part in message.split("|")), lines[0]
        assert len(lines[0]) < 300
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return compile_file


@pytest.mark.parametrize("case", TFLITE)
def test_tflite(refused, case):
    make, message = TFLITE[case]
    assert "net.tflite: " in refused("net.tflite", make(), message)


@pytest.mark.parametrize("case", ONNX)
def test_onnx(refused, case):
    make, message = ONNX[case]
    batch = np.zeros((2, 9, 8, 3), np.float32)
    line = refused("net.onnx", make().SerializeToString(), message, calibration=batch)
    assert "net.onnx: " in line


IMAGES = np.random.default_rng(0).normal(size=(4, 9, 8, 3)).astype(np.float32)


def spoilt(value):
    x = IMAGES.copy()
    x[2, 3, 4, 1] = value
    return x


@pytest.mark.parametrize(
    "batch, message",
    [
        (IMAGES.transpose(0, 3, 1, 2), "(samples, 9, 8, 3), not (4, 3, 9, 8); channels come last"),
        (IMAGES.transpose(0, 2, 1, 3), "(samples, 9, 8, 3), not (4, 8, 9, 3)"),
        (IMAGES[0], "(samples, 9, 8, 3), not (9, 8, 3)"),
        (IMAGES[..., :1], "(samples, 9, 8, 3), not (4, 9, 8, 1)"),
        (IMAGES.reshape(4, -1), "(samples, 9, 8, 3), not (4, 216)"),
        (spoilt(np.nan), "NaN"),
        (spoilt(np.inf), "infinity"),
        ((IMAGES * 50).astype(np.uint8), "float, not uint8"),
        (IMAGES > 0, "float, not bool"),
        (None, "a float model; give a batch of inputs to calibrate it"),
    ],
)
def test_calibration(refused, batch, message):
    line = refused("net.onnx", conv().SerializeToString(), message, calibration=batch)
    assert ("calibration: " if batch is not None else "net: a float model") in line


def test_calibration_of_an_int8_model(refused):
    batch = np.zeros((2, 6, 6, 4), np.float32)
    refused("net.tflite", tflite(), "already int8; calibration must be left out", calibration=batch)


def test_an_empty_calibration(refused):
    raw = conv().SerializeToString()
    assert "x.npy: " in refused("net.onnx", raw, "at least one sample", calibration=IMAGES[:0])


def test_a_network_without_layers(refused):
    raw = tflite(code="MAX_POOL_2D")
    assert "net" in refused("net.tflite", raw, "the graph has no layer with weights")


def test_calibration_near_the_limit_of_float32(tmp_path):
    (tmp_path / "net.onnx").write_bytes(conv().SerializeToString())
    np.save(tmp_path / "x.npy", spoilt(3e38))
    arguments = ["-o", str(tmp_path / "b"), "--calibration", str(tmp_path / "x.npy")]
    assert cli.main(["compile", str(tmp_path / "net.onnx"), *arguments]) == 0


def pooled(code, result=(6, 6, 4), **options):
    """A convolution of single pixels, and a pool."""
    rng = np.random.default_rng(0)
    weight, bias = rng.integers(-127, 128, (4, 1, 1, 4)), np.zeros(4, np.int32)
    tensors = [
        *tensors_of(rng, (6, 6, 4), (6, 6, 4), result, scale=0.1, zero=0),
        TensorSpec("w", weight.shape, scale=[0.004] * 4, data=weight.astype(np.int8)),
        TensorSpec("b", (4,), "int32", data=bias),
    ]
    place = {"Padding": SAME, "StrideH": 1, "StrideW": 1}
    dilation = {"DilationHFactor": 1, "DilationWFactor": 1}
    ops = [
        OpSpec("CONV_2D", [0, 3, 4], [1], place | dilation, 3),
        OpSpec(code, [1], [2], {"FilterHeight": 2, "FilterWidth": 2} | place | options, 2),
    ]
    return build(tensors, ops, [0], [2])


@pytest.mark.parametrize(
    "changes",
    [
        {"size": (6, 6, 4), "StrideH": 6, "StrideW": 6, "result": (1, 1, 4)},
        {"size": (6, 6, 4), "w": (4, 9, 11, 4)},  # SAME: wider than the image
        {"size": (6, 6, 4), "DilationHFactor": 5, "DilationWFactor": 3},
        {"size": (1, 1, 4), "result": (1, 1, 4)},
        {"size": (1, 7, 4), "result": (1, 4, 4), "StrideW": 2},
        {"size": (6, 6, 4), "w": (4, 6, 6, 4), "Padding": VALID, "result": (1, 1, 4)},
        {"size": (6, 6, 1), "w": (4, 3, 3, 1)},
        {"code": "MAX_POOL_2D", "FilterHeight": 6, "FilterWidth": 9},
        {"code": "AVERAGE_POOL_2D", "FilterHeight": 11, "FilterWidth": 1},
        {"code": "AVERAGE_POOL_2D", "StrideH": 6, "result": (1, 6, 4)},
    ],
)
def test_what_is_unusual_works(tmp_path, changes):
    pytest.importorskip("ai_edge_litert.interpreter")
    raw = pooled(**changes) if "code" in changes else tflite(**changes)
    (tmp_path / "net.tflite").write_bytes(raw)
    assert cli.main(["compile", str(tmp_path / "net.tflite"), "-o", str(tmp_path / "b")]) == 0
    compiled = load_build(tmp_path / "b")
    rng = np.random.default_rng(1)
    shape = compiled.graph.tensors[compiled.graph.inputs[0]].shape
    x = rng.integers(-128, 128, (3, *shape)).astype(np.int8)
    ran = simulate(compiled, x, golden=True)
    assert ran.bit_exact
    assert np.array_equal(ran.outputs, reference(raw, x))
