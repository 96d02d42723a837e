import numpy as np
import pytest
from support import data_dir, needs_data

from prunus.compiler.importers import deep_compression
from prunus.compiler.importers.deep_compression import import_squeezenet, read_squeezenet
from prunus.compiler.ir import ModelError
from prunus.compiler.passes.layers import layers

FILE = "deep_compression/compressed_SqueezeNet.net"


def made(rng):
    """A file of the format, and the weights that it holds."""
    weights, codebooks, parts = [], [], [b"", b""]
    for _, shape in deep_compression._layers():
        codebook = rng.normal(size=256).astype("<f4")
        codebook[0] = 0
        size = int(np.prod(shape))
        codes = np.where(rng.random(size) < 0.04, rng.integers(1, 256, size), 0)
        entries, gaps, zeros = [], [], 0
        for code in codes.tolist():
            if code or zeros == 15:
                entries.append(code)
                gaps.append(zeros)
                zeros = 0
            else:
                zeros += 1
        bias = rng.normal(size=shape[0]).astype("<f4")
        halves = np.array(gaps + [0] * (len(gaps) % 2), np.uint8).reshape(-1, 2)
        parts[0] += np.array([len(entries)], "<u4").tobytes()
        parts[1] += codebook.tobytes() + bias.tobytes() + bytes(entries)
        parts[1] += (halves[:, 0] | halves[:, 1] << 4).tobytes()
        weights.append(codebook[codes].reshape(shape))
        codebooks.append(codebook)
    return parts[0] + parts[1], weights


@pytest.fixture(scope="module")
def file():
    return made(np.random.default_rng(0))


def test_reads_what_was_written(file, tmp_path):
    raw, weights = file
    path = tmp_path / "net"
    path.write_bytes(raw)
    found = read_squeezenet(path)
    assert len(found) == 26
    for layer, weight in zip(found, weights, strict=True):
        assert np.array_equal(layer.weight(), weight)
    assert sum(layer.stored_bytes for layer in found) == len(raw)


def test_graph(file, tmp_path):
    raw, weights = file
    path = tmp_path / "net"
    path.write_bytes(raw)
    graph = import_squeezenet(path)
    assert graph.tensors["pool8"].shape == (13, 13, 512)
    assert graph.tensors["conv_final"].shape == (15, 15, 1000)
    for node, weight in zip(layers(graph), weights, strict=True):
        assert np.array_equal(node.consts["weight"], weight.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-1], "ends after [0-9]+ bytes, inside a layer"),
        (lambda raw: raw[:50], "ends after 50 bytes, inside a layer"),
        (lambda raw: raw + b"x", "has 1 bytes behind the last layer"),
        (lambda raw: raw[:107] + b"\1" + raw[108:], "layer conv1 has no codebook that begins"),
        (lambda raw: raw[:1512] + b"\xff" * 9000 + raw[10512:], "layer conv1 has more than its"),
    ],
)
def test_damage_is_one_line(file, tmp_path, damage, message):
    path = tmp_path / "net"
    path.write_bytes(damage(file[0]))
    with pytest.raises(ModelError, match=f"^{path}: {message}"):
        read_squeezenet(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelError, match="No such file or directory$"):
        read_squeezenet(tmp_path / "none")


@needs_data
def test_the_authors_file():
    found = read_squeezenet(data_dir() / FILE)
    assert sum(np.count_nonzero(layer.dense_codes()) for layer in found) == 415_921
    assert sum(np.prod(layer.shape) for layer in found) == 1_244_448
    assert sum(layer.stored_bytes for layer in found) == 675_763
