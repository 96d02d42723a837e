"""Scores, masks, schedules, balance, whole units."""

import itertools

import numpy as np
import pytest
from train_support import chain, digits, mlp, torch

from prunus.compiler import evaluate
from prunus.compiler.ir import equal
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.fold_constants import fold_constants
from prunus.compiler.passes.layers import layers
from prunus.compiler.train.allocate import Choice, allocate
from prunus.compiler.train.criteria import CRITERIA, activation_statistics, saliency
from prunus.compiler.train.data import make_data
from prunus.compiler.train.fit import Score, Training, fit, score
from prunus.compiler.train.network import Network
from prunus.compiler.train.pipeline import density_of, prune_steps, quantize_step, share_step
from prunus.compiler.train.pruning import (
    Gradual,
    choose_masks,
    cubic,
    keep_best,
    scanned_densities,
    sensitivity,
)
from prunus.compiler.train.units import drop_small_groups, drop_units


@pytest.fixture(scope="module")
def data():
    return make_data(mlp(12), *digits())


@pytest.fixture(scope="module")
def trained(data):
    network = Network(mlp(40, 20))
    fit(network, data, Training(epochs=10, batch=32, rate=4e-3))
    return network.export()


def test_the_highest_scores_are_kept():
    scores = np.array([[3.0, 1.0], [2.0, 3.0]])
    assert keep_best(scores, 0.5).tolist() == [[True, False], [False, True]]
    assert keep_best(scores, 0.01).sum() == 1  # never none
    for density in (0, -0.1, 1.5, True):
        with pytest.raises(ValueError, match="^density must be above 0 and at most 1, not"):
            keep_best(scores, density)


@pytest.mark.parametrize(
    "pes, rows, density", [*itertools.product((2, 3, 8), (5, 16), (0.1, 0.37))]
)
def test_balance_is_equal_work(pes, rows, density):
    scores = np.random.default_rng(0).exponential(size=(rows, 24)) * np.arange(1, rows + 1)[:, None]
    mask = keep_best(scores, density, pes)
    work = [int(mask[pe::pes].sum()) for pe in range(min(pes, rows))]
    assert max(work) - min(work) <= 1
    assert sum(work) == round(density * scores.size)
    for pe in range(min(pes, rows)):  # the best of each PE's own
        own, kept = scores[pe::pes], mask[pe::pes]
        assert not kept.all() and own[kept].min() >= own[~kept].max()


def test_scope_network_ranks_all_layers_but_empties_none():
    rng = np.random.default_rng(0)
    scores = {"a": rng.random((20, 10)) * 1e-6, "b": rng.random((10, 5))}
    masks = choose_masks(scores, 0.1, scope="network")
    assert sum(int(mask.sum()) for mask in masks.values()) == 25
    assert 5 < masks["a"].sum() < 25 and masks["b"].any()
    raw = choose_masks(scores, 0.1, scope="network", adaptive=False)
    assert raw["a"].sum() == 1 and raw["b"].sum() == 25
    assert set(choose_masks(scores, {"b": 0.5})) == {"b"}
    with pytest.raises(ValueError, match="^layer must be one of a, b, not 'c'$"):
        choose_masks(scores, {"c": 0.5})
    with pytest.raises(ValueError, match="^scope must be 'layer' or 'network', not 'all'$"):
        choose_masks(scores, 0.5, scope="all")
    with pytest.raises(ValueError, match="^density must be one number when scope is 'network'$"):
        choose_masks(scores, {"b": 0.5}, scope="network")


def test_the_cubic_schedule():
    falling = [cubic(n / 20, 0.05) for n in range(21)]
    assert falling[0] == 1 and falling[-1] == 0.05 and falling == sorted(falling, reverse=True)
    assert falling[0] - falling[5] > 10 * (falling[15] - falling[20])
    assert cubic(2.0, 0.3) == 0.3 and cubic(0.0, 0.3, 0.6) == 0.6


@pytest.mark.parametrize("criterion", CRITERIA)
def test_saliency_beats_chance(trained, data, criterion):
    network = Network(trained)
    scores = saliency(network, criterion, data)
    assert {k: v.shape for k, v in scores.items()} == {
        k: v.shape for k, v in network.masks().items()
    }
    assert all((values >= 0).all() for values in scores.values())

    def error(some):
        network.set_masks(choose_masks(some, 0.4))
        return score(network, data).error

    rng = np.random.default_rng(0)
    chance = {name: rng.random(values.shape) for name, values in scores.items()}
    assert error(scores) < 0.75 * error(chance)
    assert error({name: -values for name, values in scores.items()}) > 0.8 * error(chance)


def test_obd_expects_what_the_loss_grows_by(trained, data):
    network = Network(trained)
    scores = saliency(network, "obd", data)
    name = list(scores)[-1]  # near the outputs the diagonal is nearest to the truth
    order = np.argsort(scores[name].ravel())
    part, before = network.layers[name], score(network, data).loss
    grown = []
    for place in (order[:20], order[-20:]):
        mask = np.ones(scores[name].size, bool)
        mask[place] = False
        network.set_masks({name: mask.reshape(scores[name].shape)})
        grown.append(score(network, data).loss - before)
    part.mask.fill_(True)
    assert grown[1] > 20 * abs(grown[0])


def test_criteria_are_checked(trained):
    with pytest.raises(
        ValueError, match="^criterion must be one of magnitude, obd, activation, no"
    ):
        saliency(Network(trained), "luck")
    with pytest.raises(ValueError, match="^criterion 'obd' needs data$"):
        saliency(Network(trained), "obd")


@pytest.mark.parametrize("schedule", ["oneshot", "cubic"])
@pytest.mark.parametrize("scope", ["layer", "network"])
def test_pruning_while_training(trained, data, schedule, scope):
    network = Network(trained)
    gradual = Gradual(network, 0.15, schedule=schedule, scope=scope, every=10)
    densities = []

    def step(done, of):
        gradual(done, of)
        densities.append(network.density())

    settings = Training(epochs=8, batch=32, rate=3e-3)
    found = fit(network, data, settings, each_step=step, keep_from=6, teacher=Network(trained))
    assert network.density() == pytest.approx(0.15, abs=0.002)
    assert gradual.settled and not any(part.regrow for part in network.parts)
    if schedule == "oneshot":
        assert max(densities) == min(densities)
    else:
        assert densities == sorted(densities, reverse=True) and densities[5] == 1
        # training wins back most of what the cut alone costs
        cut = Network(trained)
        cut.set_masks(choose_masks(saliency(cut, "magnitude"), 0.15, scope=scope))
        assert found.best.error < 0.6 * score(cut, data).error
    kept = {node.name: node.consts["weight"] != 0 for node in layers(network.export())}
    for name, mask in network.masks().items():
        assert not (kept[name] & ~mask).any()


def test_weights_come_back_while_the_mask_is_open(trained):
    network = Network(trained)
    gradual = Gradual(network, 0.3, regrow=True)
    gradual.apply(0.5)
    part = network.parts[0]
    assert part.regrow and not part.mask.all()
    network(torch.from_numpy(digits()[0][:64])).square().sum().backward()
    assert part.weight.grad[~part.mask].abs().sum() > 0
    assert (part.steps()[~part.mask] == 0).all()
    with pytest.raises(ValueError, match="^schedule must be one of oneshot, cubic, not 'slow'$"):
        Gradual(network, 0.3, schedule="slow")
    with pytest.raises(ValueError, match="^until must be above 0 and at most 1, not 0$"):
        Gradual(network, 0.3, until=0)


class Stopped(Exception):
    """An interrupt, in the middle of an epoch."""


@pytest.mark.parametrize("epoch", [1, 3])  # before the mask stands, and behind
@pytest.mark.parametrize("criterion", ["magnitude", "obd"])
def test_interrupted_pruning_resumes(trained, data, tmp_path, epoch, criterion):
    settings = Training(epochs=4, batch=64, rate=3e-3)

    def pruned(interrupt, checkpoint=None):
        network = Network(trained)
        gradual = Gradual(network, 0.1, scope="network", criterion=criterion, data=data, every=5,
                          regrow=criterion == "magnitude")  # fmt: skip

        def step(done, of):
            if interrupt and done == epoch * of // 4 + 2:
                raise Stopped
            gradual(done, of)

        fit(network, data, settings, each_step=step, keep_from=3, checkpoint=checkpoint)
        return network.export()

    with pytest.raises(Stopped):
        pruned(True, tmp_path / "p.pt")
    assert equal(pruned(False, tmp_path / "p.pt"), pruned(False))


def test_the_steps_of_the_pipeline(trained, data, tmp_path):
    settings = Training(epochs=3, batch=64, rate=3e-3)
    teacher = Network(trained)
    pruned = prune_steps(trained, data, 0.2, settings, teacher=teacher, group=1e-3, every=5,
                         checkpoint=tmp_path / "p.pt")  # fmt: skip
    assert density_of(pruned) == pytest.approx(0.2, abs=0.003)
    further = prune_steps(pruned, data, {"dense0": 0.05}, settings, scope="layer", every=5)
    shares = {n.name: np.mean(n.consts["weight"] != 0) for n in layers(further)}
    assert shares["dense0"] == pytest.approx(0.05, abs=0.001)
    int8 = quantize_step(further, data)
    assert int8.quantized and quantize_step(int8, data) is int8
    shared, bits = share_step(int8, data, settings, loss=0.1, teacher=teacher)
    assert set(bits) == set(shares) and density_of(shared) <= density_of(int8)
    again, same = share_step(int8, data, settings, bits=bits, teacher=teacher)
    assert equal(again, shared) and same == bits


def test_the_sensitivity_scan_changes_nothing(trained, data):
    network = Network(trained)
    before = score(network, data)
    found = sensitivity(network, data, (0.5, 0.05))
    assert list(found) == list(network.layers) and list(found["dense0"]) == [0.5, 0.05]
    for per_layer in found.values():
        assert per_layer[0.05].loss > per_layer[0.5].loss
    assert score(network, data) == before and equal(network.export(), trained)


def test_the_scan_spares_what_is_sensitive():
    def rows(slope):
        return {density: Score(slope / density, 0.0) for density in (0.5, 0.2, 0.05)}

    sizes = {"a": 1000, "b": 1000, "c": 50}
    for density in (0.1, 0.3, 0.8):
        found = scanned_densities({"a": rows(0.01), "b": rows(0.1), "c": rows(0.1)}, sizes, density)
        kept = sum(found[name] * sizes[name] for name in sizes)
        assert kept == pytest.approx(density * 2050, rel=0.05)
        assert found["a"] <= found["b"] <= found["c"] <= 1
        assert found["a"] < found["b"] or density == 0.8
    with pytest.raises(ValueError, match="^density must be above 0 and at most 1, not 0$"):
        scanned_densities({"a": rows(0.01)}, sizes, 0)


def test_units_go_from_the_hardware(trained, data):
    network = Network(calibrate(trained, data.x))
    assert drop_units(network, {"dense0": 0.5, "dense2": 0.75}, data) == 20 + 5
    fit(network, data, Training(epochs=3, rate=2e-3), teacher=Network(trained))
    graph = network.export()
    smaller = fold_constants(graph)
    assert [node.consts["weight"].shape for node in layers(smaller)] == [
        (20, 64),
        (15, 20),
        (10, 15),
    ]
    x = evaluate.quantize_input(graph, data.held_x)
    assert np.array_equal(evaluate.output(graph, x), evaluate.output(smaller, x))
    assert float(np.mean(evaluate.output(smaller, x).argmax(1) != data.held_y)) < 0.2
    with pytest.raises(
        ValueError, match="^dense4: its outputs are those of the network, and stay$"
    ):
        drop_units(network, {"dense4": 0.5})
    with pytest.raises(ValueError, match="^keep must be above 0 and at most 1, not 0$"):
        drop_units(network, {"dense0": 0})


def test_group_lasso_empties_rows_and_columns(data):
    network = Network(mlp(40))
    fit(network, data, Training(epochs=12, batch=32, rate=4e-3, group=1e-3))
    error = score(network, data).error
    assert drop_small_groups(network, 0.1) > 20
    assert score(network, data).error < error + 0.05
    smaller = fold_constants(calibrate(network.export(), data.x))
    assert layers(smaller)[0].consts["weight"].shape[0] < 40


def test_channels_of_convolutions_go(data):
    graph = chain((8, 8, 1), ("convolution", 6, 3), ("relu",), ("max_pool_2d",), ("reshape",),
                  ("dense", 10))  # fmt: skip
    images = make_data(graph, data.x.reshape(-1, 8, 8, 1), data.y)
    network = Network(calibrate(graph, images.x))
    power, zeros = activation_statistics(network, network.parts[0], images)
    assert power.shape == (1,) and zeros.shape == (6,) and 0 < zeros.max() <= 1
    assert drop_units(network, {"convolution0": 0.5}) == 3
    smaller = fold_constants(network.export())
    assert [node.consts["weight"].shape for node in layers(smaller)] == [(3, 3, 3, 1), (10, 27)]


def test_allocation_is_near_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        choices = {
            name: [Choice(n, float(n), float(loss)) for n, loss in
                   enumerate(np.sort(rng.exponential(size=5))[::-1], 1)]
            for name in "abc"
        }  # fmt: skip
        budget = float(rng.integers(4, 15))
        found = allocate(choices, cost=budget)
        assert sum(choice.cost for choice in found.values()) <= budget
        every = [some for some in itertools.product(*choices.values())
                 if sum(choice.cost for choice in some) <= budget]  # fmt: skip
        best = min(sum(choice.loss for choice in some) for some in every)
        worst = max(sum(choice.loss for choice in some) for some in every)
        got = sum(choice.loss for choice in found.values())
        assert got <= best + 0.5 * (worst - best)
        reached = allocate(choices, loss=got + 1e-9)
        assert sum(choice.loss for choice in reached.values()) <= got + 1e-9
    with pytest.raises(ValueError, match="^allocate takes a cost or a loss$"):
        allocate(choices)
    with pytest.raises(ValueError, match="^every layer must have at least one choice$"):
        allocate({"a": []}, cost=1.0)
