"""Which code is chosen for weights, how near it is to the entropy, and that it is read back."""

import numpy as np
import pytest

from prunus.compiler import image as sections
from prunus.compiler.image import WeightLayout
from prunus.compiler.weight_codes import worth_it
from prunus.hw.config import Config
from prunus.sim.image import read_sections

RUNS = dict(
    pes=0, lanes=8, columns=8, act_word=16, tile_depth=1 << 13, tile_runs=True, code_groups=True
)


def tiles(values, **changes):
    """Weights of a tile, whose sections are read back."""
    config = Config(**(RUNS | changes))
    section, stats = sections.tiles(3, values, config)
    parts = [sections.network(0, 4, 1, 4, config), section]
    memory = read_sections(parts, config).tiles
    assert np.array_equal(memory[3 : 3 + len(values)], values)
    assert not memory[3 + len(values) :].any()
    return stats


def draw(rng, count, density, shape=(4000, 16)):
    """Weights of which some are zero, the others of so many values, small ones more often."""
    values = np.array([v for n in range(1, 128) for v in (n, -n)][:count])
    share = np.exp(-np.abs(values) / (count / 4))
    chosen = rng.choice(values, shape, p=share / share.sum())
    return np.where(rng.random(shape) < density, chosen, 0).astype(np.int8)


@pytest.mark.parametrize("density", [0.05, 0.2, 0.4, 0.6, 0.8, 1])
@pytest.mark.parametrize("count", [2, 4, 16, 64, 200])
def test_tiles_come_near_their_entropy(count, density):
    stats = tiles(draw(np.random.default_rng(count), count, density))
    assert stats.code_bits + stats.run_bits < 1.03 * stats.entropy_bits
    assert stats.form != "raw"


@pytest.mark.parametrize(("share", "form"), [(0.5, "single"), (0.7, "groups of 4"),
                                             (0.9, "groups of 8")])  # fmt: skip
def test_binary_tiles(share, form):
    rng = np.random.default_rng(1)
    stats = tiles(np.where(rng.random((4000, 16)) < share, -1, 1).astype(np.int8))
    assert stats.form == form
    assert stats.code_bits < 1.03 * stats.entropy_bits


@pytest.mark.parametrize("density", [0.05, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("code_bits", [1, 2, 4])
def test_sparse_pes_come_near_their_entropy(code_bits, density):
    rng = np.random.default_rng(code_bits)
    config = Config(
        pes=4, lanes=1, code_bits=code_bits, weight_depth=1 << 14, acc_rows=64, code_groups=True
    )
    size, shape = 1 << code_bits, (4, 200, 60)
    share = np.exp(-np.arange(size) / size * 3)
    codes = rng.choice(size, shape, p=share / share.sum())
    layer = WeightLayout(codes, rng.random(shape) < density)
    stats = sections.weights(layer, config)[1]
    assert stats.code_bits + stats.run_bits < 1.03 * stats.entropy_bits
    assert stats.form == ("joint" if density > 0.6 else stats.form)


def test_zero_runs_of_many_values_need_a_table():
    values = draw(np.random.default_rng(0), 200, 0.1)
    assert tiles(values).form == "separate"
    stats = tiles(values, tile_runs=False)
    assert stats.form == "single" and stats.code_bits > 1.3 * stats.entropy_bits


@pytest.mark.parametrize(
    ("count", "density", "found"),
    [(200, 0.1, (True, False)), (200, 0.9, (False, False)), (4, 0.1, (False, True)),
     (2, 0.8, (False, True))],
)  # fmt: skip
def test_what_is_worth_it(count, density, found):
    values = draw(np.random.default_rng(0), count, density)
    assert worth_it([values], [], 12, None, None) == found
    assert worth_it([values], [], 12, *found) == found
    assert worth_it([values], [], 12, False, False) == (False, False)
    # Runs of zeros in sparse matrices are no question, and good codes of few weights as well.
    assert worth_it([], [(values, True)], 12, False, None) == (False, found[1])
    assert worth_it([], [(values, False)], 12, False, None) == (False, count == 2)


def test_nothing_is_worth_it_for_nothing():
    assert worth_it([], [], 12, None, None) == (False, False)
    assert worth_it([], [(np.zeros((3, 0), np.int8), False)], 12, None, None) == (False, False)


@pytest.mark.parametrize("shape", [(1, 1), (1, 16), (7, 3), (300, 1)])
@pytest.mark.parametrize("count", [1, 2, 3, 9, 15, 40])
def test_few_weights(shape, count):
    for density in (0, 0.02, 0.5, 1):
        values = draw(np.random.default_rng(count), count, density, shape)
        tiles(np.pad(values, ((0, 0), (0, 16 - shape[1]))))


def test_a_limit_on_the_words_is_kept():
    values = draw(np.random.default_rng(2), 16, 0.3)
    for bits in (3, 5, 8):
        stats = tiles(values, huffman_bits=bits)
        assert stats.symbols <= 1 << bits
