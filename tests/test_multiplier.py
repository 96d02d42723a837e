# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from eie_model import simulate

from prunus.hw.multiplier import Multiplier


@pytest.mark.parametrize("a_width, b_width", [(2, 2), (9, 8), (18, 18)])
def test_products_two_cycles_later(a_width, b_width):
    rng = np.random.default_rng(a_width)
    a = rng.integers(-1 << (a_width - 1), 1 << (a_width - 1), 50).tolist()
    b = rng.integers(-1 << (b_width - 1), 1 << (b_width - 1), 50).tolist()
    a[:2], b[:2] = [-1 << (a_width - 1)] * 2, [-1 << (b_width - 1), (1 << (b_width - 1)) - 1]
    dut = Multiplier(a_width, b_width)
    found = []

    async def bench(ctx):
        for x, y in [*zip(a, b, strict=True), *[(0, 0)] * Multiplier.LATENCY]:
            found.append(ctx.get(dut.o))
            ctx.set(dut.a, x)
            ctx.set(dut.b, y)
            await ctx.tick()

    simulate(dut, bench)
    assert found[Multiplier.LATENCY :] == [x * y for x, y in zip(a, b, strict=True)]


def test_refuses_narrow_operands():
    with pytest.raises(ValueError, match=r"^a_width must be at least 2, not 1$"):
        Multiplier(1, 8)
    with pytest.raises(ValueError, match=r"^b_width must be at least 2, not 0$"):
        Multiplier(8, 0)
