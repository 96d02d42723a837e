"""What weights may be: few values, trained, as codebooks that the gates run."""

import numpy as np
import pytest
from train_support import digits, mlp, torch

from prunus.compiler import evaluate
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.passes.layers import layers
from prunus.compiler.plan import Options
from prunus.compiler.train.bits import bit_choices, code_bits, search_bits, share_layers
from prunus.compiler.train.criteria import saliency
from prunus.compiler.train.data import make_data
from prunus.compiler.train.fit import Training, fit, score
from prunus.compiler.train.network import Network
from prunus.compiler.train.pruning import choose_masks
from prunus.compiler.train.schemes import SCHEMES, make_scheme
from prunus.flow.compile import compile_graph
from prunus.flow.simulate import simulate


@pytest.fixture(scope="module")
def data():
    return make_data(mlp(12), *digits())


@pytest.fixture(scope="module")
def pruned(data):
    """An int8 network with a third of its weights, and the network that it learns from."""
    network = Network(mlp(40, 20))
    fit(network, data, Training(epochs=8, batch=32, rate=4e-3))
    teacher = Network(network.export())
    network.set_masks(choose_masks(saliency(network, "magnitude"), 0.35))
    fit(network, data, Training(epochs=6, batch=32, rate=2e-3), teacher=teacher)
    return calibrate(network.export(), data.x), teacher


def fresh(graph):
    network = Network(graph)
    network.set_masks({node.name: node.consts["weight"] != 0 for node in layers(graph)})
    return network


MOST = {"uniform": 6, "codebook": 8, "power": 6, "ternary": 2, "binary": 2}  # values of 3 bits
MOST_ERROR = {"binary": 0.25, "ternary": 0.15}


@pytest.mark.parametrize("kind", SCHEMES)
def test_every_scheme_trains_and_runs(pruned, data, kind):
    graph, teacher = pruned
    network = fresh(graph)
    share_layers(network, 3, kind, noisy=True)
    before = score(network, data)
    after = fit(network, data, Training(epochs=4, batch=32, rate=3e-3), teacher=teacher).best
    assert after.loss < before.loss and after.error < MOST_ERROR.get(kind, 0.12)
    shared = network.export()
    for node, old in zip(layers(shared), layers(graph), strict=True):
        weight = node.consts["weight"]
        assert len(np.unique(weight[weight != 0])) <= MOST[kind]
        assert not (weight[old.consts["weight"] == 0]).any()
    # the golden model and the machine's bytes give what training saw
    build = compile_graph(shared, options=Options(pes=4))
    assert build.config.code_bits <= 4
    ran = simulate(build, data.held_x[:20], golden=True)
    expected = evaluate.output(shared, evaluate.quantize_input(shared, data.held_x[:20]))
    assert np.array_equal(ran.outputs, expected)


def test_codebook_gradients_are_sums():
    steps = torch.tensor([[5.0, 0.0, 5.2], [-3.0, 4.8, -3.2]])
    scheme = make_scheme("codebook", steps, 1)
    weight = torch.tensor([[1.0, 10.0, 2.0], [3.0, 4.0, 5.0]])
    (scheme(steps) * weight).sum().backward()
    values = scheme.values.detach().numpy()
    assert np.allclose(values, [0.8, 5.0]) or len(values) == 1 or np.allclose(values, [-3.1, 5.0])
    if len(values) == 2:
        assert scheme.values.grad.tolist() == [8.0, 7.0]


def test_sparse_codebooks_leave_zero_out():
    rng = np.random.default_rng(0)
    steps = torch.from_numpy(rng.normal(0, 40, (20, 50)) * (rng.random((20, 50)) < 0.2)).float()
    found = make_scheme("codebook", steps, 2)(steps)
    assert len(torch.unique(found)) == 5 and not found[steps == 0].any()
    dense = make_scheme("codebook", steps + 1.0, 2)(steps)
    assert len(torch.unique(dense)) == 4


def test_uniform_steps_are_even():
    steps = torch.linspace(-127, 127, 1001)
    for bits in (2, 3, 5, 8):
        found = torch.unique(make_scheme("uniform", steps, bits)(steps))
        assert len(found) == (1 << bits) - 1
        assert torch.allclose(found[1:] - found[:-1], found[1] - found[0], atol=1e-4)


def test_stochastic_steps_are_right_in_the_mean():
    scheme = make_scheme("uniform", torch.linspace(-127, 127, 101), 3, noisy=True)
    steps = torch.full((20000,), 50.0)
    torch.manual_seed(0)
    scheme.train()
    drawn = scheme(steps)
    assert len(torch.unique(drawn)) == 2 and abs(float(drawn.mean()) - 50) < 1
    scheme.eval()
    assert len(torch.unique(scheme(steps))) == 1


def test_powers_of_two():
    steps = torch.tensor([127.0, -100, 96, 95, 50, -3, 0.3, 0, 1])
    assert make_scheme("power", steps, 8)(steps).tolist() == [64, -64, 64, 64, 64, -4, 0, 0, 1]
    few = torch.unique(make_scheme("power", steps, 3)(steps).abs()).tolist()
    assert few == [0, 16, 64] or few == [0, 64] or set(few) <= {0, 16, 32, 64}


def test_ternary_trains_its_two_values():
    steps = torch.tensor([10.0, 6, 0.1, -0.2, -4, -8], requires_grad=True)
    scheme = make_scheme("ternary", steps)
    found = scheme(steps)
    assert found.tolist() == [8, 8, 0, 0, -6, -6]
    found.backward(torch.tensor([1.0, 2, 3, 4, 5, 6]))
    assert scheme.above.grad.item() == 3 and scheme.below.grad.item() == -11
    assert torch.allclose(steps.grad, torch.tensor([8 / 7, 16 / 7, 3, 4, 30 / 7, 36 / 7]))


def test_binary_has_one_magnitude():
    steps = torch.tensor([10.0, -6, 2, 0, 200], requires_grad=True)
    found = make_scheme("binary", steps)(steps)
    assert found.tolist() == [54.5, -54.5, 54.5, 0, 54.5]


@pytest.mark.parametrize("kind, bits, message", [
    ("uniform", 1, "^bits must be 2 to 8 with uniform, not 1$"),
    ("codebook", 9, "^bits must be 1 to 8 with codebook, not 9$"),
    ("power", True, "^bits must be 2 to 8 with power, not True$"),
    ("cubic", 3, "^scheme must be one of uniform, codebook, power, ternary, binary, not 'cubic'$"),
])  # fmt: skip
def test_bad_schemes_are_refused(kind, bits, message):
    with pytest.raises(ValueError, match=message):
        make_scheme(kind, torch.ones(4), bits)


def test_weights_can_be_freed_again(pruned):
    network = fresh(pruned[0])
    part = network.parts[0]
    part.share("codebook", 2)
    held = part.steps().detach().clone()
    part.free()
    assert part.scheme is None and torch.equal(part.steps(), held)


def test_bits_are_searched(pruned, data):
    network = fresh(pruned[0])
    choices = bit_choices(network, data, (1, 3, 5))
    for some in choices.values():
        assert [choice.value for choice in some] == [1, 3, 5]
        assert some[0].cost < some[1].cost < some[2].cost and some[0].loss > some[2].loss
    assert all(part.scheme is None for part in network.parts)
    few, many = (search_bits(network, data, loss=loss) for loss in (1.0, 0.005))
    assert sum(few.values()) < sum(many.values())
    cost = 1.3 * sum(some[0].cost for some in choices.values())
    within = search_bits(network, data, cost=cost)
    share_layers(network, within)
    assert sum(code_bits(part) for part in network.parts) <= cost
