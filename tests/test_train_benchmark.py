"""The training benchmark on a few made-up images: every step, the cache, the tables."""

import gzip
import importlib.util
import json
import sys

import numpy as np
import pytest
from support import ROOT
from train_support import digits

sys.path.insert(0, str(ROOT / "benchmarks"))  # where a command finds what it shares with others


@pytest.fixture(scope="module")
def benchmark():
    path = ROOT / "benchmarks" / "deep_compression.py"
    spec = importlib.util.spec_from_file_location("deep_compression", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(benchmark, tmp_path_factory):
    """Scikit-learn's digits, larger, in MNIST's files."""
    path = tmp_path_factory.mktemp("data")
    (path / "mnist").mkdir()
    x, y = digits()
    images = np.pad(np.kron(x.reshape(-1, 8, 8), np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    for part, names in (
        (slice(0, 1200), benchmark.FILES[:2]),
        (slice(1200, 1500), benchmark.FILES[2:]),
    ):
        count = len(y[part])
        heads = ([2051, count, 28, 28], [2049, count])
        for name, head, values in zip(names, heads, (images[part] * 255, y[part]), strict=True):
            with gzip.open(path / "mnist" / name, "wb") as file:
                file.write(np.array(head, ">u4").tobytes() + values.astype(np.uint8).tobytes())
    return path


def test_networks_have_as_many_weights_as_caffes(benchmark):
    counts = {}
    for name in benchmark.RECIPES:
        nodes = benchmark.layers(benchmark.network(name))
        counts[name] = sum(node.consts["weight"].size for node in nodes)
        assert len(nodes) == len(benchmark.RECIPES[name].kept)
    assert counts == {"lenet-300-100": 266_200, "lenet-5": 430_500}


@pytest.mark.parametrize("name", ["lenet-300-100", pytest.param("lenet-5", marks=pytest.mark.slow)])
def test_it_runs_from_end_to_end(benchmark, folder, name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PRUNUS_DATA", str(folder))
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path))
    monkeypatch.setattr(benchmark, "HELD", 200)
    more = [] if name == "lenet-300-100" else ["--no-ablation"]
    arguments = [name, "--epochs", "0.1", "--samples", "0", *more]
    assert benchmark.main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    (result,) = json.loads(printed.out)
    assert "training 0/" in printed.err and "pruning to" in printed.err
    recipe = benchmark.RECIPES[name]
    assert len(result["models"]) == len(recipe.stages)
    for row, density in zip(result["models"], recipe.stages, strict=True):
        kept = sum(layer["kept"] for layer in row["layers"])
        weights = sum(layer["weights"] for layer in row["layers"])
        assert kept / weights <= density + 0.001 and row["ratio"] > 20
        assert 0 < row["error"] < 100
    if not more:
        rows = result["ablation"]
        assert len(rows) == 6 and rows[0]["ratio"] < rows[5]["ratio"]
        assert rows[-1] == result["models"][0] | {"model": rows[-1]["model"]}
    # the second time everything is there
    assert benchmark.main(arguments) == 0
    again = capsys.readouterr()
    assert "pruning" not in again.err
    assert f"## {name}: " in again.out and "| Deep Compression | | " in again.out
    assert not list((tmp_path / "training").iterdir())


def test_plain_runs_count_fillers(benchmark):
    weight = np.zeros((2, 100), np.int8)
    weight[0, 40] = weight[1, 0] = 1
    assert benchmark.plain_runs(weight, 2) == 3  # 40 zeros are one filler and a run of 8
    assert benchmark.plain_runs(weight, 1) == 1 + 3


@pytest.mark.parametrize("arguments, message", [
    (["alexnet"], "NETWORK must be of lenet-300-100, lenet-5, not 'alexnet'"),
    (["lenet-5"], "mnist: not found; set PRUNUS_DATA"),
])  # fmt: skip
def test_bad_calls_are_one_line(benchmark, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path))
    with pytest.raises(SystemExit):
        benchmark.main(arguments)
    assert message in capsys.readouterr().err


def test_images_are_deformed_a_little(benchmark):
    torch = pytest.importorskip("torch")
    x = torch.zeros(50, 784)
    x.reshape(-1, 28, 28)[:, 8:20, 12:16] = 1.0
    moved = benchmark.deform(x, torch.Generator().manual_seed(0))
    assert moved.shape == x.shape and 0 <= moved.min() and moved.max() <= 1.001
    share = moved.sum(dim=1) / x.sum(dim=1)
    assert 0.6 < share.min() and share.max() < 1.7 and float((moved - x).abs().mean()) > 0.01
    again = benchmark.deform(x, torch.Generator().manual_seed(0))
    assert torch.equal(moved, again)
