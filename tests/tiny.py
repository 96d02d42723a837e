"""The MLPerf Tiny models and data sets, where they are at hand."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support import data_dir

TINY = (data_dir() or Path()) / "mlperf_tiny"
INT8 = {
    "kws": "kws/kws_ref_model",
    "ic": "ic/pretrainedResnet_quant",
    "vww": "vww/vww_96_int8",
    "ad": "ad/ad01_int8",
}


def model(name):
    """The file of an int8 model."""
    return TINY / "models" / f"{INT8[name]}.tflite"


def golden(name):
    """The reference kernels' outputs, and every layer's of two samples."""
    with np.load(TINY / "golden" / f"{name}_int8_golden.npz") as archive:
        return dict(archive)


def dataset(name, count):
    """The first samples, int8 as the model takes them, and their labels (ad: none)."""
    if name == "kws":
        with np.load(TINY / "datasets/kws01_1000.npz") as archive:
            return archive["x"][:count], archive["y"][:count]
    if name == "ic":
        with np.load(TINY / "datasets/cifar10_test_exact_1625.npz") as archive:
            return as_int8(archive["x"][:count]), archive["y"][:count].ravel()
    if name == "vww":
        return faces(count)
    return golden("ad")["in"][:count], None


def as_int8(pixels):
    return (pixels.astype(np.int16) - 128).astype(np.int8)


def faces(count):
    """Visual wake words: JPEG files with red and blue exchanged."""
    image = pytest.importorskip("PIL.Image")
    samples, labels = [], []
    with zipfile.ZipFile(TINY / "datasets/vww01_1000_jpg_RBswapped.zip") as archive:
        rows = archive.read("y_labels.csv").decode().split()
        for row in rows[:count]:
            name, _, label = row.split(",")
            with image.open(io.BytesIO(archive.read(name.replace(".bin", ".jpg")))) as picture:
                samples.append(as_int8(np.asarray(picture.convert("RGB"))[:, :, ::-1]))
            labels.append(int(label))
    return np.array(samples), np.array(labels)
