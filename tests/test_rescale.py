"""Exact multipliers, checked over every accumulator they promise."""

import numpy as np
import pytest

from prunus.compiler.rescale import exact_multiplier, round_away
from prunus.sim.ops import requantize


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_reference_everywhere(seed):
    rng = np.random.default_rng(seed)
    scale = 2.0 ** -rng.integers(0, 12) if seed % 3 == 0 else 10 ** rng.uniform(-4, 0.3)
    low, high = -int(rng.integers(0, 40000)), int(rng.integers(0, 40000))
    zero = int(rng.integers(-128, 128))
    clamp = int(rng.integers(-128, zero + 1))
    pair = exact_multiplier(float(scale), low, high, clamp - zero, 127 - zero)
    assert pair is not None
    acc = np.arange(low, high + 1)
    wanted = np.clip(round_away(acc, float(scale)) + zero, clamp, 127)
    assert np.array_equal(requantize(acc, *pair, "single", zero, clamp, 127), wanted)


def test_positive_accumulators_only():
    pair = exact_multiplier(0.25, 1, 100, -128, 127)
    acc = np.arange(1, 101)
    assert np.array_equal(requantize(acc, *pair, "single", 0, -128, 127), round_away(acc, 0.25))


def test_says_when_there_is_none():
    rng = np.random.default_rng(0)
    found = [
        exact_multiplier(float(rng.uniform(1e-7, 2e-7)), -(1 << 31), (1 << 31) - 1, -128, 127)
        for _ in range(20)
    ]
    assert None in found


def test_round_away_near_a_half():
    assert round_away(np.array([1, -1]), 0.49999999999999994).tolist() == [0, 0]
