import numpy as np
import pytest

from prunus.compiler.staircase import fit, steps
from prunus.sim.ops import scale


def staircase(made, sums, factor):
    return scale(sums * factor + made.bias, made.multiplier, made.shift, "single")


@pytest.mark.parametrize("seed", range(30))
def test_every_step_is_where_it_should_be(seed):
    rng = np.random.default_rng(seed)
    slope, offset = float(10 ** rng.uniform(-3, 0.5)), float(rng.normal(0, 3))
    levels = np.arange(-4, 5)

    def level(sums):
        return np.rint(slope * sums + offset).astype(np.int64)

    at = steps(level, slope, offset, levels)
    assert (level(at) >= levels).all() and (level(at - 1) < levels).all()
    span = (-4000, 5000)
    made = fit(at, levels, slope, offset, span, 8)
    assert made.exact
    sums = np.arange(span[0], span[1] + 1)
    low, high = levels[0] - 1, levels[-1]
    wanted = np.clip(level(sums), low, high)
    assert np.array_equal(np.clip(staircase(made, sums, 8), low, high), wanted)


def test_a_jump_over_levels():
    at, levels = np.array([3, 3, 3]), np.array([0, 1, 2])
    made = fit(at, levels, 40.0, -2.5 * 40, (-9, 9), 2)
    sums = np.arange(-9, 10)
    assert made.exact
    found = np.clip(staircase(made, sums, 2), -1, 2)
    assert np.array_equal(found, np.where(sums >= 3, 2, -1))


def test_steps_outside_of_what_occurs_do_not_count():
    at, levels = np.array([-500, 3, 700]), np.array([0, 1, 2])
    made = fit(at, levels, 0.01, 0.47, (-100, 100), 1)
    assert made.exact
    sums = np.arange(-100, 101)
    found = np.clip(staircase(made, sums, 1), -1, 2)
    assert np.array_equal(found, np.where(sums >= 3, 1, 0))


def test_what_cannot_be_had_is_said():
    # Halves to even numbers: steps of 1 and 3 in turns.
    made = fit(np.array([2, 3, 6, 7, 10]), np.arange(1, 6), 0.5, 0.0, (-40, 40), 8)
    assert not made.exact
    assert (made.bias, made.multiplier, made.shift) == (0, 1 << 30, -3)


def test_sums_that_floats_do_not_tell_apart():
    with pytest.raises(ValueError, match="^slope must give sums that floating point tells apart"):
        steps(lambda sums: np.zeros_like(sums), 1.0, 0.0, np.array([1]))
