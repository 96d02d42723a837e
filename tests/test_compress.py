"""``prunus compress``: budgets, what it writes, what it refuses; and that the rest takes it."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from train_support import digits, mlp

from prunus.compiler import evaluate, store
from prunus.compiler.ir import ModelError
from prunus.compiler.load import load_model
from prunus.compiler.train import fit as training
from prunus.compiler.train.data import make_data
from prunus.compiler.train.network import Network
from prunus.flow import cli
from prunus.flow import compress as flow_compress
from prunus.flow.budget import Budget, parse_budget
from prunus.flow.build import load_build
from prunus.flow.compress import Settings, compress
from prunus.flow.ladder import chosen, first_density, next_density

pytest.importorskip("matplotlib", reason="the extra prunus[train] is not installed")
QUICK = ["--epochs", "5", "--tune-epochs", "2", "--batch", "32", "--rate", "3e-3", "--pes", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained network as a graph file, and digits as data."""
    path = tmp_path_factory.mktemp("compress")
    x, y = digits()
    network = Network(mlp(40, 20))
    data = make_data(network.graph, x[:1400], y[:1400])
    training.fit(network, data, training.Training(epochs=10, batch=32, rate=4e-3))
    store.save(network.export(), path / "net.npz")
    np.savez(path / "digits.npz", x=x[:1400], y=y[:1400], x_test=x[1400:], y_test=y[1400:])
    return path


def call(folder, output, *more, budget="size=1300"):
    return cli.main(["compress", str(folder / "net.npz"), "--data", str(folder / "digits.npz"),
                     "--budget", budget, "-o", str(output), *QUICK, *more])  # fmt: skip


@pytest.fixture(scope="module")
def made(folder):
    """A run towards a size, with what it printed."""
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("click.echo", lambda text, **_: printed.append(text))
        assert call(folder, folder / "small", "--json") == 0
    return folder / "small", json.loads(next(line for line in printed if line.startswith("{")))


def test_a_size_is_met(made):
    output, found = made
    assert found["met"] is True and found["message"] == "The budget, at most 1,300 bytes, is met."
    best = found["steps"][found["chosen"]]
    assert best["bytes"] <= 1300 and best["accuracy"] > 0.8
    assert found["test_accuracy"] > 0.8 and found["float_accuracy"] > 0.9
    assert found["steps"][0]["density"] > 0.95 and found["steps"][0]["bytes"] > 2 * best["bytes"]
    assert set(found["sensitivity"]) == {"dense0", "dense2", "dense4"}
    assert sorted(path.name for path in output.iterdir()) == [
        "curve.svg", "model.npz", "report.json", "report.txt"]  # fmt: skip
    assert json.loads((output / "report.json").read_text()) == {
        key: value for key, value in found.items() if key != "output"}  # fmt: skip
    text = (output / "report.txt").read_text()
    assert "<- chosen" in text and text.endswith("is met.\n")
    assert (output / "curve.svg").read_text().startswith("<?xml")


def test_what_it_writes_compiles_to_what_it_said(made, tmp_path, capsys):
    output, found = made
    best = found["steps"][found["chosen"]]
    model = str(output / "model.npz")
    assert cli.main(["compile", model, "-o", str(tmp_path / "b"), "--pes", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rom_bytes"] == best["bytes"]
    x, y = digits()
    np.save(tmp_path / "x.npy", x[1400:])
    assert cli.main(["simulate", str(tmp_path / "b"), "--inputs", str(tmp_path / "x.npy"),
                     "--golden", "-o", str(tmp_path / "y.npy")]) == 0  # fmt: skip
    graph = load_model(model)
    golden = evaluate.output(graph, evaluate.quantize_input(graph, x[1400:]))
    outputs = np.load(tmp_path / "y.npy")
    assert np.array_equal(outputs, golden)
    right = float(np.mean(outputs.argmax(axis=1) == y[1400:]))
    assert right == pytest.approx(found["test_accuracy"], abs=1e-6)
    assert load_build(tmp_path / "b").lossless


def test_a_budget_that_cannot_be_met_ends_with_the_best(folder, tmp_path, capsys):
    more = ("--json", "--steps", "1")
    assert call(folder, tmp_path / "o", *more, budget="accuracy=100%") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["met"] is False and (tmp_path / "o" / "model.npz").exists()
    assert found["message"].startswith("The budget, an accuracy of at least 100.00%, cannot be met")
    most = max(step["accuracy"] for step in found["steps"])
    assert found["steps"][found["chosen"]]["accuracy"] == most


class Stopped(Exception):
    """An interrupt."""


def test_an_interrupted_run_resumes(folder, tmp_path, monkeypatch):
    graph = store.load(folder / "net.npz")
    with np.load(folder / "digits.npz") as arrays:
        data = make_data(graph, arrays["x"], arrays["y"])
    settings = Settings(epochs=2, tune_epochs=1, batch=64, steps=2)
    budget = Budget("accuracy", 0.5)
    whole = compress(graph, data, budget, tmp_path / "a", settings=settings)
    done = []

    def stop(what, at, of):
        done.append(what)
        if what.startswith("step 2") and "sharing" in what:
            raise Stopped

    with pytest.raises(Stopped):
        compress(graph, data, budget, tmp_path / "b", settings=settings, progress=stop)
    seen = []
    found = compress(graph, data, budget, tmp_path / "b", settings=settings,
                     progress=lambda what, at, of: seen.append(what))  # fmt: skip
    assert found.summary() == whole.summary() and len(whole.steps) == 3
    assert any("weights" in what and "step 1" in what for what in done)
    assert not any("weights" in what and "step 1" in what for what in seen)
    assert not any(what == "sensitivity scan" for what in seen)
    # other settings begin anew
    monkeypatch.setattr(flow_compress._Search, "scan", lambda *_: (_ for _ in ()).throw(Stopped))
    with pytest.raises(Stopped):
        compress(graph, data, Budget("accuracy", 0.6), tmp_path / "b", settings=settings)


BAD = [
    ({"budget": "size"}, r"budget must be size=BYTES .* not 'size'"),
    ({"budget": "weight=3"}, "budget must be size=BYTES"),
    ({"budget": "accuracy=1.5"}, "budget must be"),
    ({"budget": "cycles=2kb"}, "budget must be"),
    ({"data": "none.npz"}, "none.npz: no such file; give samples x and labels y as .npz"),
    ({"data": "text.npz"}, "text.npz: not a .npz file of numbers, or damaged"),
    ({"data": "single.npz"}, "single.npz: not a .npz file"),
    ({"data": "other.npz"}, "other.npz: holds a, b; samples x and labels y are needed"),
    ({"data": "labels.npz"}, "labels.npz: y must hold classes 0 to 9"),
    ({"data": "shape.npz"}, r"shape.npz: x: x: x must have shape \(samples, 64\)"),
    ({"data": "half.npz"}, "half.npz: holds one of x_test and y_test"),
    ({"model": "gone.onnx"}, "gone.onnx: "),
    ({"model": "digits.npz"}, "digits.npz: not a saved graph"),
]


@pytest.mark.parametrize("change, message", BAD)
def test_bad_input_is_one_line(folder, tmp_path, capsys, change, message):
    x, y = digits()
    (folder / "text.npz").write_text("nothing")
    with open(folder / "single.npz", "wb") as file:
        np.save(file, x)
    np.savez(folder / "other.npz", a=x, b=y)
    np.savez(folder / "labels.npz", x=x, y=y + 1)
    np.savez(folder / "shape.npz", x=x[:, :60], y=y)
    np.savez(folder / "half.npz", x=x, y=y, x_test=x)
    given = {"model": "net.npz", "data": "digits.npz", "budget": "size=1k"} | change
    status = cli.main(["compress", str(folder / given["model"]), "--data",
                       str(folder / given["data"]), "--budget", given["budget"],
                       "-o", str(tmp_path / "o")])  # fmt: skip
    lines = capsys.readouterr().err.strip().splitlines()
    assert status == 2
    assert re.search(message, lines[-1]), lines
    assert lines[-1].startswith("prunus: error: ")


def test_the_missing_extra_is_one_line(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert call(folder, tmp_path / "o") == 2
    assert "training needs torch, which is not installed" in capsys.readouterr().err


def test_a_loss_that_is_no_number_is_one_line(folder, tmp_path, capsys):
    assert call(folder, tmp_path / "o", "--rate", "1e30", "--no-teacher") == 2
    assert "lower the rate (1e+30)" in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_folder_of_something_else_is_left_alone(folder, tmp_path, capsys):
    (tmp_path / "o" / "work").mkdir(parents=True)
    (tmp_path / "o" / "work" / "mine").write_text("")
    assert call(folder, tmp_path / "o") == 2
    assert "exists and is not of this command; name another" in capsys.readouterr().err
    assert (tmp_path / "o" / "work" / "mine").exists()


def test_the_scan_decides_about_an_int8_model(folder, made, tmp_path):
    graph = load_model(made[0] / "model.npz")  # int8, and sparse
    with np.load(folder / "digits.npz") as arrays:
        data = make_data(graph, arrays["x"], arrays["y"])
    settings = Settings(epochs=2, tune_epochs=1, steps=1, densities="scan", scheme="uniform",
                        stochastic=True, balance=True, bits=3)  # fmt: skip
    found = compress(graph, data, Budget("cycles", 60), tmp_path / "w", settings=settings)
    assert len(found.steps) == 2 and found.steps[1].bits == dict.fromkeys(found.sensitivity, 3)
    assert found.steps[1].density < found.steps[0].density
    with pytest.raises(ValueError, match="^densities must be one of rank, scan, equal, not 'all'$"):
        Settings(densities="all")


@pytest.mark.parametrize("text, value", [
    ("size=12000", 12000), ("size=12k", 12000), ("size=1.5KiB", 1536), ("SIZE = 2MB", 2e6),
    ("cycles=2k", 2000), ("accuracy=97.5%", 0.975), ("accuracy=.9", 0.9),
])  # fmt: skip
def test_budgets(text, value):
    budget = parse_budget(text)
    assert (
        budget.value == pytest.approx(value) and budget.kind == text.split("=")[0].strip().lower()
    )


def measured(density, size):
    """A model whose accuracy falls with its density, as does its size."""
    value = 1 - 0.002 / density
    return SimpleNamespace(density=density, accuracy=value, bytes=int(500 + size * density),
                           cycles=int(300 + 1000 * density))  # fmt: skip


@pytest.mark.parametrize("budget", [
    Budget("size", 5000), Budget("size", 1200), Budget("cycles", 420), Budget("accuracy", 0.97),
    Budget("accuracy", 0.9975), Budget("size", 400), Budget("cycles", 299), Budget("accuracy", 1.0),
    Budget("size", 10**6),
])  # fmt: skip
def test_the_search_ends_near_the_budget(budget):
    steps = [measured(1.0, 20000)]
    density = first_density(budget, steps)
    while density is not None and len(steps) < 14:
        steps.append(measured(density, 20000))
        density = next_density(budget, steps)
    assert len(steps) < 14
    best, met = chosen(budget, steps)
    if budget.value in (400, 299, 1.0):
        assert not met
    elif budget.kind == "accuracy":
        assert met and best.accuracy - budget.value < 0.015
    else:
        value = best.bytes if budget.kind == "size" else best.cycles
        assert met and (value > 0.6 * budget.value or budget.value == 10**6)


def test_classes_of_one_output_and_values_are_scored():
    graph = mlp(4, close=None)
    x, y = digits()
    outputs = evaluate.run(graph, x)[graph.outputs[0]].astype(np.float32)
    assert flow_compress.accuracy(graph, x, outputs) == pytest.approx(1, abs=1e-6)
    assert flow_compress.accuracy(graph, x, outputs.mean() + 0 * outputs) < 0
    assert flow_compress.accuracy(graph, x, outputs.argmax(axis=1)) == 1


def test_low_rank_comes_first(folder, made, tmp_path):
    graph = load_model(folder / "net.npz")
    with np.load(folder / "digits.npz") as arrays:
        data = make_data(graph, arrays["x"], arrays["y"])
    settings = Settings(epochs=2, tune_epochs=1, steps=1, low_rank=0.8, lasso=1e-5, bits=4)
    found = compress(graph, data, Budget("size", 900), tmp_path / "w", settings=settings)
    assert {"dense0_in", "dense0_out"} <= set(found.sensitivity)
    count = sum(node.consts[key].size for node in graph.nodes for key in node.consts)
    assert [step.ratio for step in found.steps] == [4 * count / step.bytes for step in found.steps]
    assert found.steps[0].accuracy > 0.5 and found.steps[1].bytes < found.steps[0].bytes
    quantized = load_model(made[0] / "model.npz")
    with pytest.raises(ModelError, match="its weights are integers; low rank needs a float model"):
        compress(quantized, data, Budget("size", 900), tmp_path / "v", settings=settings)
