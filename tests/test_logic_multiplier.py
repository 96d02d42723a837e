# amaranth: UnusedElaboratable=no
import itertools

import numpy as np
import pytest
from amaranth.sim import Simulator

from prunus.hw.logic_multiplier import LogicMultiplier


@pytest.mark.parametrize(
    ("a_width", "b_width", "latency"),
    [(2, 2, 1), (3, 7, 2), (4, 5, 2), (5, 9, 2), (9, 6, 3), (15, 31, 3), (33, 4, 4)],
)
def test_equals_product(a_width, b_width, latency):
    dut = LogicMultiplier(a_width, b_width)
    assert dut.latency == latency
    rng = np.random.default_rng(a_width)

    def corners(width):
        half = 1 << width - 1
        return [v for v in (-half, -half + 1, -1, 0, 1, half - 1) if -half <= v < half]

    pairs = list(itertools.product(corners(a_width), corners(b_width)))
    for _ in range(200):
        a, b = (int(rng.integers(-1 << w - 1, 1 << w - 1)) for w in (a_width, b_width))
        pairs.append((a, b))
    got = []

    async def testbench(ctx):
        for n in range(len(pairs) + latency):
            if n >= latency:
                got.append(ctx.get(dut.o))
            if n < len(pairs):
                ctx.set(dut.a, pairs[n][0])
                ctx.set(dut.b, pairs[n][1])
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert got == [a * b for a, b in pairs]


@pytest.mark.parametrize(("name", "widths"), [("a_width", (1, 8)), ("b_width", (8, 1))])
def test_too_narrow_is_refused(name, widths):
    with pytest.raises(ValueError, match=rf"^{name} must be at least 2, not 1$"):
        LogicMultiplier(*widths)
