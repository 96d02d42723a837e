"""Training: seeded, stopped early, resumed, taught; data that it refuses."""

import math

import numpy as np
import pytest
from train_support import chain, digits, mlp, torch

from prunus.compiler import evaluate
from prunus.compiler.ir import equal
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.train.checkpoint import load_checkpoint, save_checkpoint
from prunus.compiler.train.data import DataError, make_data
from prunus.compiler.train.fit import Training, TrainingError, fit, logits, score
from prunus.compiler.train.network import Network

QUICK = Training(epochs=3, batch=64, rate=4e-3)


@pytest.fixture(scope="module")
def data():
    return make_data(mlp(12), *digits())


def test_it_learns_with_int8_in_the_loop(data):
    network = Network(mlp(24))
    assert fit(network, data, Training(epochs=6, batch=32, rate=4e-3)).best.error < 0.12
    quantized = Network(calibrate(network.export(), data.x))
    before = score(quantized, data)
    found = fit(quantized, data, QUICK)
    assert found.best.loss <= before.loss + 0.02 and len(found.epochs) == 3
    # the graph gives what training measured, in the golden operators' integers
    graph = quantized.export()
    golden = evaluate.run(graph, evaluate.quantize_input(graph, data.held_x))[quantized.result]
    tensor = graph.tensors[quantized.result]
    steps = logits(quantized, data.held_x).numpy() / tensor.scale + tensor.zero_point
    assert np.array_equal(np.rint(steps), golden)
    assert float(np.mean(golden.argmax(axis=1) != data.held_y)) == found.best.error


def test_it_is_seeded(data):
    def trained(seed):
        network = Network(mlp(8))
        fit(network, data, Training(epochs=2, seed=seed))
        return network.export()

    assert equal(trained(3), trained(3))
    assert not equal(trained(3), trained(4))


class Stopped(Exception):
    """An interrupt, in the middle of an epoch."""


def test_an_interrupted_run_resumes(data, tmp_path):
    whole = Network(mlp(8))
    expected = fit(whole, data, QUICK)

    def stop(done, of):
        if done == 2 * of // 3 + 1:
            raise Stopped

    checkpoint = tmp_path / "fit.pt"
    with pytest.raises(Stopped):
        fit(Network(mlp(8)), data, QUICK, each_step=stop, checkpoint=checkpoint)
    seen = []
    resumed = Network(mlp(8))
    found = fit(resumed, data, QUICK, checkpoint=checkpoint,
                each_step=lambda done, of: seen.append(done))  # fmt: skip
    assert len(seen) == len(data.x) // QUICK.batch  # one epoch of three
    assert equal(resumed.export(), whole.export()) and found.epochs == expected.epochs
    # another run does not take it
    other = []
    fit(Network(mlp(8, seed=1)), data, QUICK, checkpoint=checkpoint,
        each_step=lambda done, of: other.append(done))  # fmt: skip
    assert len(other) == 3 * len(seen)


def test_checkpoints_are_whole(tmp_path):
    path = tmp_path / "state.pt"
    assert load_checkpoint(path, "k") is None
    save_checkpoint(path, "k", {"epoch": 3, "values": torch.arange(4)})
    assert load_checkpoint(path, "k")["epoch"] == 3 and load_checkpoint(path, "other") is None
    path.write_bytes(path.read_bytes()[:-40])
    assert load_checkpoint(path, "k") is None
    path.write_bytes(b"nothing")
    assert load_checkpoint(path, "k") is None
    assert [found.name for found in tmp_path.iterdir()] == ["state.pt"]


def test_it_stops_early_and_keeps_the_best(data):
    network = Network(mlp(8))
    settings = Training(epochs=12, rate=0.5, rate_end=1.0, patience=2)  # far too fast
    found = fit(network, data, settings)
    assert len(found.epochs) < 12
    best = min(found.epochs, key=lambda one: (one.error, one.loss))
    assert found.best == best == score(network, data)


def test_a_teacher_is_followed(data):
    teacher = Network(mlp(32))
    fit(teacher, data, Training(epochs=6, rate=4e-3, batch=32))

    def distance(taught):
        network = Network(mlp(8))
        fit(network, data, Training(epochs=4, rate=4e-3, batch=32, taught=taught), teacher=teacher)
        ours, theirs = (
            torch.softmax(logits(one, data.held_x) / 3, 1) for one in (network, teacher)
        )
        return float((ours - theirs).abs().mean())

    assert distance(1.0) < distance(0.0)


@pytest.mark.parametrize("name, value", [("l1", 1e-3), ("group", 1e-3), ("decay", 2.0)])
def test_penalties_shrink_weights(data, name, value):
    def size(**more):
        network = Network(mlp(16))
        fit(network, data, Training(epochs=4, rate=4e-3, **more))
        weight = network.parts[0].weight.detach()
        return float(weight.abs().sum() if name == "l1" else weight.norm(dim=1).sum())

    assert size(**{name: value}) < 0.8 * size()


def test_one_output_is_two_classes(data):
    graph = chain((64,), ("dense", 1), ("logistic",))
    two = make_data(graph, data.x, data.y > 4)
    network = Network(graph)
    before = score(network, two)
    after = fit(network, two, QUICK, teacher=Network(graph)).best
    assert after.loss < before.loss and 0 <= after.error < 0.5


def test_values_are_learned(data):
    graph = chain((64,), ("dense", 20), ("relu",), ("dense", 64))
    same = make_data(graph, data.x, data.x)
    assert not same.classes
    network = Network(graph)
    before = score(network, same)
    assert fit(network, same, QUICK, teacher=Network(graph)).best.loss < 0.7 * before.loss


def test_a_loss_that_is_no_number_is_one_line(data):
    network = Network(mlp(8))
    with torch.no_grad():
        network.parts[0].weight[0, 0] = math.nan
    with pytest.raises(
        TrainingError, match=r"^the loss is nan in epoch 1; lower the rate \(0.004\)"
    ):
        fit(network, data, QUICK)


def test_progress_is_told(data):
    seen = []
    fit(Network(mlp(4)), data, Training(epochs=2), progress=lambda *told: seen.append(told))
    assert seen == [("training", n, 2) for n in range(3)]


def test_held_out_samples_are_of_every_class(data):
    assert len(data.held_x) == pytest.approx(len(digits()[0]) / 5, abs=1)
    assert set(data.held_y) == set(range(10))
    assert len(data.x) + len(data.held_x) == len(digits()[0])
    again = make_data(mlp(12), *digits())
    assert np.array_equal(again.held_x, data.held_x)


BAD = [
    ({"y": [0, 1, 10] * 4}, "^y must hold classes 0 to 9, as the network has 10 outputs, not 10$"),
    ({"y": [-1, 1, 2] * 4}, "^y must hold classes 0 to 9, .* not -1$"),
    ({"y": [0.5, 1, 2] * 4}, "^y must be class numbers, and it holds fractions$"),
    ({"y": [1] * 11}, "^y must have 12 entries as x has, not 11$"),
    ({"y": np.zeros((12, 3))}, r"^y must be classes \(samples,\) or values \('samples', 10\)"),
    ({"x": np.zeros((12, 63))}, r"^x: x: x must have shape \(samples, 64\), not"),
    ({"x": np.full((12, 64), np.nan)}, "^x must be finite, and it holds NaN or infinity$"),
    ({"x": np.full((12, 64), "a")}, "^x must be numbers, not"),
    ({"x": np.zeros((0, 64)), "y": []}, "^x must have at least one sample$"),
    ({"x": np.zeros((3, 64)), "y": [1, 2, 3]}, "^x must have at least 10 samples, not 3$"),
]


@pytest.mark.parametrize("change, message", BAD)
def test_bad_data_is_one_line(change, message):
    given = {"x": np.zeros((12, 64)), "y": [1] * 12} | change
    with pytest.raises(DataError, match=message):
        make_data(mlp(4), given["x"], given["y"])


@pytest.mark.parametrize("name, value, rule", [
    ("epochs", 0, "a positive integer"), ("batch", 2.5, "a positive integer"),
    ("rate", math.nan, "positive"), ("l1", -1.0, "at least 0"), ("taught", 2.0, "0 to 1"),
    ("patience", 0, "at least 1, or None"),
])  # fmt: skip
def test_bad_settings_are_refused(name, value, rule):
    with pytest.raises(ValueError, match=f"^{name} must be {rule}, not {value!r}$"):
        Training(**{name: value})
