import json
import pickle

import numpy as np
import pytest
from graphs import float_mlp, samples

from prunus.compiler.ir import ModelError, equal
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.store import load, save


def int8_mlp():
    graph = float_mlp(close="softmax")
    return calibrate(graph, samples(graph))


@pytest.mark.parametrize("graph", [float_mlp(dtype=np.float64), float_mlp(), int8_mlp()])
def test_round_trip(tmp_path, graph):
    path = tmp_path / "graph.npz"
    save(graph, path)
    assert equal(load(path), graph)
    assert [item.name for item in tmp_path.iterdir()] == ["graph.npz"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "graph"
    save(int8_mlp(), path)
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        save(float_mlp(), path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["graph"]


def described(path, **changes):
    with np.load(path) as archive:
        arrays = dict(archive)
    text = json.loads(arrays["graph"].tobytes()) | changes
    arrays["graph"] = np.frombuffer(json.dumps(text).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"version": 2}, "has version 2, not 1; compile again$"),
        ({"format": "other"}, "not a saved graph$"),
        ({"outputs": ["gone"]}, "damaged: gone: no such tensor$"),
        ({"nodes": 3}, "not a saved graph, or damaged$"),
    ],
)
def test_other_contents_are_refused(tmp_path, changes, message):
    path = tmp_path / "graph"
    save(int8_mlp(), path)
    described(path, **changes)
    with pytest.raises(ModelError, match=message):
        load(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "graph"
    with pytest.raises(ModelError, match="graph: No such file or directory$"):
        load(path)
    for content in (b"", b"hello", pickle.dumps([1, 2])):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="graph: not a saved graph, or damaged$"):
            load(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ModelError, match="not a saved graph"):
        load(path)


def test_damage_is_one_line(tmp_path):
    path = tmp_path / "graph"
    save(int8_mlp(), path)
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    for size in range(0, len(raw), 50):
        path.write_bytes(raw[:size])
        with pytest.raises(ModelError):
            load(path)
    for _ in range(200):
        damaged = bytearray(raw)
        damaged[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            assert equal(load(path), int8_mlp())  # a bit that nobody reads
        except ModelError as error:
            assert "\n" not in str(error)
