"""cocotb bench: products by turns, of weights that stay and of other factors."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from dual_model import LATENCY

ENDS = {15: (-(1 << 14), (1 << 14) - 1), 14: (-(1 << 13), (1 << 13) - 1)}


def script(rng):
    """(a, w0, w1, load, turn, x, y), and the products that count: p0, p1, product or None."""
    for _ in range(40):
        w0, w1 = rng.randint(-128, 127), rng.randint(-127, 127)
        for n in range(rng.randint(1, 9)):
            a = rng.choice([-128, 127, rng.randint(-128, 127)])
            factors = rng.randint(*ENDS[15]), rng.randint(*ENDS[14])
            noise = rng.randint(-128, 127), rng.randint(-127, 127)
            used = (w0, w1) if n == 0 else noise
            yield (a, *used, int(n == 0), 0, *factors), (a * w0, a * w1, None)
        for _ in range(rng.randint(0, 9)):
            x, y = (rng.choice([*ENDS[bits], rng.randint(*ENDS[bits])]) for bits in (15, 14))
            noise = [rng.randint(-127, 127) for _ in range(3)]
            yield (*noise, 0, 1, x, y), (None, None, x * y)


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def products(dut):
    steps = list(script(random.Random(1)))
    idle = (0, 0, 0, 0, 0, 0, 0), (None, None, None)
    dut.rst.value = 0
    Clock(dut.clk, 10, unit="ns").start()
    widths = {"a": 8, "w0": 8, "w1": 8, "load": 1, "turn": 1, "x": 15, "y": 14}
    got = []
    for values, _ in [*steps, *[idle] * LATENCY]:
        for (name, width), value in zip(widths.items(), values, strict=True):
            getattr(dut, name).value = value & ((1 << width) - 1)
        await FallingEdge(dut.clk)
        got.append([getattr(dut, name).value.to_signed() for name in ("p0", "p1", "product")])
    for (_, expected), found in zip(steps, got[LATENCY - 1 :], strict=False):
        for wanted, value in zip(expected, found, strict=True):
            assert wanted is None or wanted == value
