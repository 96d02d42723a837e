"""What the benches of the dual multiplier present, and what must come out."""

import numpy as np

from prunus.hw.systolic.dual import DualMultiplier

LATENCY = DualMultiplier.LATENCY + 1


def steps():
    """(a, w0, w1, load): all activations against weights at the ends and random ones."""
    rng = np.random.default_rng(0)
    ends = [(w0, w1) for w0 in (-128, -127, -1, 0, 1, 127) for w1 in (-127, -1, 0, 1, 127)]
    ends += [(int(rng.integers(-128, 128)), int(rng.integers(-127, 128))) for _ in range(20)]
    for w0, w1 in ends:
        values = rng.permutation(np.arange(-128, 128)).tolist()
        for n, a in enumerate(values):
            # What is on w0 and w1 without load must not matter.
            noise = rng.integers(-127, 128, 2).tolist()
            yield (a, w0, w1, 1) if n == 0 else (a, *noise, 0)


def expected(steps):
    used = None
    for a, w0, w1, load in steps:
        used = (w0, w1) if load else used
        yield a * used[0], a * used[1]
