"""What the networks get right: published int8 files, and float files that are calibrated here.

Whole data sets are behind the slow marker, but for what takes a few seconds.
"""

import functools
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from support import data_dir, needs_data
from tflite_builder import reference
from tiny import TINY, dataset, golden, model

from prunus.boards.registry import find_board
from prunus.compiler.evaluate import output, quantize_input
from prunus.compiler.load import load_model
from prunus.flow.compile import compile_model
from prunus.flow.simulate import simulate
from prunus.sim.ops import dequantize

pytestmark = needs_data
slow = pytest.mark.slow


def results(graph, x, step=100):
    """The outputs of all samples, (samples, classes)."""
    parts = []
    for start in range(0, len(x), step):
        part = output(graph, quantize_input(graph, x[start : start + step]))
        parts.append(part.reshape(len(part), -1))
    return np.concatenate(parts)


def percent(found, labels):
    return round(100 * float((found.argmax(axis=1) == labels).mean()), 2)


# With the arithmetic of the reference kernels, and as published, with that of the optimised
# kernels, which round otherwise now and then.
INT8 = {"kws": (90.1, 90.1), "ic": (87.75, 87.45), "vww": (85.3, 85.3)}


@pytest.mark.parametrize(
    "name", ["kws", pytest.param("ic", marks=slow), pytest.param("vww", marks=slow)]
)
def test_int8_models(name):
    samples, labels = dataset(name, None)
    exact, published = INT8[name]
    assert percent(golden(name)["out"].reshape(len(labels), -1), labels) == published
    found = results(load_model(model(name)), samples)
    assert percent(found, labels) == exact
    if name != "kws":  # where a difference could hide behind the labels
        pytest.importorskip("ai_edge_litert.interpreter")
        assert np.array_equal(found, reference(model(name).read_bytes(), samples))


def windows():
    """The anomaly detector's windows of 5 frames, (files, windows, values), and the labels."""
    with np.load(TINY / "datasets/ad01_248_int8in.npz") as archive:
        files, labels = archive["x"], archive["y"]
    frames = [np.lib.stride_tricks.sliding_window_view(file, (5, 128)) for file in files]
    return np.array(frames).reshape(len(files), -1, 640), labels


def separation(graph, samples, labels):
    """Area under the curve; a file's score is the mean squared error in real units."""
    source, target = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    scores = []
    for file in samples:
        entering = quantize_input(graph, file)
        real = (
            dequantize(entering, source.scale, source.zero_point)
            if file.dtype.kind == "i"
            else file
        )
        result = dequantize(output(graph, entering), target.scale, target.zero_point)
        scores.append(np.square(result - real).mean())
    return round(roc_auc_score(labels, scores), 4)


@slow
def test_the_int8_anomaly_detector():
    """0.862 is what the optimised kernels give."""
    graph = load_model(model("ad"))
    samples, labels = windows()
    assert separation(graph, samples, labels) == 0.8597
    pytest.importorskip("ai_edge_litert.interpreter")
    x = samples[::10].reshape(-1, 640)
    assert np.array_equal(output(graph, x), reference(model("ad").read_bytes(), x))


@dataclass(frozen=True)
class Case:
    """A float file, samples to calibrate it with and others to judge it by."""

    path: Path
    calibration: np.ndarray
    x: np.ndarray
    labels: np.ndarray
    published: float | None = None  # percent that the int8 file gets of the same samples


def mnist(part):
    with gzip.open(data_dir() / f"mnist/{part}-images-idx3-ubyte.gz") as file:
        x = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(data_dir() / f"mnist/{part}-labels-idx1-ubyte.gz") as file:
        return x.astype(np.float32), np.frombuffer(file.read(), np.uint8, offset=8)


def cifar(part):
    with np.load(TINY / f"datasets/cifar10_{part}.npz") as archive:
        return archive["x"].astype(np.float32), archive["y"].ravel()


def twin(name, path, scale):
    """There is only one data set: what calibrates is left out when the rest is judged."""
    samples, labels = dataset(name, None)
    x = scale(samples.astype(np.float32))
    published = percent(golden(name)["out"][100:].reshape(len(labels) - 100, -1), labels[100:])
    return Case(TINY / path, x[:100], x[100:], labels[100:], published)


def on_mnist(path, scale):
    (train, _), (x, labels) = mnist("train"), mnist("t10k")
    return Case(data_dir() / path, train[:100] / scale, x / scale, labels)


def on_cifar(path, mean, deviation, published=None):
    def normal(x):
        return ((x - np.float32(mean)) / np.float32(deviation)).astype(np.float32)

    (train, _), (x, labels) = cifar("train_first1000"), cifar("test_exact_1625")
    return Case(data_dir() / path, normal(train[:100]), normal(x), labels, published)


MEAN, DEVIATION = 255 * np.array([0.485, 0.456, 0.406]), 255 * np.array([0.229, 0.224, 0.225])
CASES = {
    "kws": lambda: twin(
        "kws", "models/kws/qualcomm_kws_saved_model_float32.tflite", lambda x: (x - 83) * 0.58470291
    ),
    "ic": lambda: on_cifar("mlperf_tiny/onnx_float/ic_pretrainedResnet.onnx", 0, 1, INT8["ic"][0]),
    "vww": lambda: twin("vww", "onnx_float/vww_96_float.onnx", lambda x: (x + 128) / 255),
    "mnist-8": lambda: on_mnist("onnx/mnist-8/model.onnx", np.float32(1)),
    "lenet5": lambda: on_mnist("lenet/lenet5_mnist.onnx", np.float32(255)),
    "resnet20": lambda: on_cifar("cifar10_resnet/resnet20_cifar10.onnx", MEAN, DEVIATION),
}


@functools.cache
def compiled(name):
    case = CASES[name]()
    board = find_board("ulx3s-85f")
    return case, compile_model(case.path, calibration=case.calibration, board=board)


@pytest.mark.parametrize("name", CASES)
def test_calibrated_models_in_the_image(name):
    case, build = compiled(name)
    ran = simulate(build, case.x[:2], golden=True)
    assert ran.bit_exact, ran.first_mismatches[0]


@slow
@pytest.mark.parametrize("name", CASES)
def test_calibrated_models_through_the_gates(name):
    case, build = compiled(name)
    ran = simulate(build, case.x[:2])
    assert ran.bit_exact, ran.first_mismatches[0]
    print(f"{name}: {build.hardware}, {max(ran.cycles)} cycles")


@slow
@pytest.mark.parametrize("name", CASES)
def test_calibrated_models_are_accurate(name):
    case, build = compiled(name)
    found = percent(results(build.graph, case.x), case.labels)
    if case.published is not None:
        assert found >= case.published
        print(f"{name}: {found} %, published {case.published} %")
        return
    exact = percent(results(load_model(case.path), case.x), case.labels)
    assert found >= exact - 1
    print(f"{name}: {found} %, float {exact} %")


@functools.cache
def float_detector():
    """Calibrated with two windows of each of 50 files, which are not judged."""
    samples, labels = windows()
    source = load_model(model("ad"))
    source = source.tensors[source.inputs[0]]
    x = dequantize(samples, source.scale, source.zero_point).astype(np.float32)
    batch = x[:50, ::98].reshape(100, 640)
    path = TINY / "models/ad/ad01_fp32.tflite"
    return compile_model(path, calibration=batch, board=find_board("ulx3s-85f")), x[50:]


def test_the_float_anomaly_detector_in_the_image():
    build, x = float_detector()
    ran = simulate(build, x[0, :2], golden=True)
    assert ran.bit_exact, ran.first_mismatches[0]


@slow
def test_the_float_anomaly_detector():
    build, x = float_detector()
    ran = simulate(build, x[0, :2])
    assert ran.bit_exact, ran.first_mismatches[0]
    samples, labels = windows()
    published = separation(load_model(model("ad")), samples[50:], labels[50:])
    found = separation(build.graph, x, labels[50:])
    assert found >= max(published, 0.862)
    print(f"ad: {found}, published {published}, {max(ran.cycles)} cycles")
