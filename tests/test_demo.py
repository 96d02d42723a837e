"""The demo, as a newcomer runs it; its build then goes through the other commands."""

import json

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from prunus.flow import cli, demo
from prunus.flow.build import load_build
from prunus.sim.lint import lint


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder that the demo wrote, and the object that it printed."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("click.echo", lambda text, **_: printed.append(text))
        assert cli.main(["demo", "-o", str(folder), "--json"]) == 0
    objects = [line for line in printed if line.startswith("{")]
    assert len(objects) == 1
    return folder, json.loads(objects[0])


def test_it_is_exact(ran):
    _, found = ran
    assert found["bit_exact"] is True and found["mismatches"] == 0
    assert found["samples"] == 450 and found["layers_compared"] == 3 * 450


def test_it_compresses_and_still_reads_digits(ran):
    _, found = ran
    assert list(found["accuracy"]) == ["float", "pruned", "shared", "integer"]
    assert min(found["accuracy"].values()) >= 0.95
    # Units that became constant have taken some of the weights with them.
    assert 0.08 < found["density"] < 0.101
    assert found["compression_ratio"] > 20 and found["rom_bytes"] < 2560
    assert found["compression_ratio"] == pytest.approx(
        found["float32_bytes"] / found["rom_bytes"], abs=1e-3
    )


def test_its_cycles_add_up(ran):
    _, found = ran
    assert found["cycles_min"] <= found["cycles"] <= found["cycles_max"]
    assert sum(layer["cycles"] for layer in found["layers"]) <= found["cycles"]
    work = sum(layer["work"] for layer in found["layers"])
    assert found["utilization"] == pytest.approx(work / found["pes"] / found["cycles"], abs=1e-3)
    assert 0 < found["utilization"] < 1 and found["load_cycles"] > found["rom_bytes"]


def test_it_keeps_what_it_made(ran):
    folder, found = ran
    assert json.loads((folder / "demo.json").read_text()) == found
    assert lint([folder / "verilog" / "accelerator.v"], "accelerator") == []
    assert "bit-exact, 450 samples" in (folder / "report.html").read_text()
    for layer in load_build(folder / "build").layers:
        assert layer.distinct <= 17 and not layer.dense  # 16 values, and the zeros between


def test_its_build_simulates(ran, capsys, tmp_path):
    folder, found = ran
    digits = demo.load_split()
    np.save(tmp_path / "x.npy", digits.x_test[:20])
    arguments = ["simulate", str(folder / "build"), "--inputs", str(tmp_path / "x.npy")]
    assert cli.main([*arguments, "-o", str(tmp_path / "y.npy"), "--json"]) == 0
    simulated = json.loads(capsys.readouterr().out)
    assert simulated["bit_exact"] is True and len(simulated["cycles"]) == 20
    assert all(found["cycles_min"] <= n <= found["cycles_max"] for n in simulated["cycles"])
    assert simulated["sim_cycles_per_second"] > 0
    gates = np.load(tmp_path / "y.npy")
    assert cli.main([*arguments, "-o", str(tmp_path / "z.npy"), "--golden"]) == 0
    assert np.array_equal(gates, np.load(tmp_path / "z.npy"))
    assert json.loads((folder / "build" / "simulation.json").read_text()) == simulated


def test_masks_hold_while_it_heals():
    digits = demo.load_split()
    steps = []
    net, accuracy = demo.train(
        digits, lambda what, done, of: steps.append((what, done, of)), epochs=2, healing=1
    )
    assert isinstance(net, MLPClassifier) and set(accuracy) == {"float", "pruned"}
    for weight in net.coefs_:
        assert np.count_nonzero(weight) == round(demo.DENSITY * weight.size)
    assert all(done <= of for _, done, of in steps) and steps[-1][1] == steps[-1][2]


def test_an_interrupt_ends_the_training(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    # In the middle of a step, where scikit-learn would swallow it.
    monkeypatch.setattr(MLPClassifier, "_backprop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.train(demo.load_split(), lambda *_: None, epochs=1, healing=1)
