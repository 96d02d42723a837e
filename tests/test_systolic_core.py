# amaranth: UnusedElaboratable=no
"""The systolic core: products of matrices larger than its array, and how long they take."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from prunus.hw.systolic.core import SystolicCore


def tiles(rng, core, job):
    """The beats of each port for random matrices, and the sums that must come out."""
    vectors, reductions, blocks = job
    outputs = 2 * core.columns
    a = rng.integers(-128, 128, (vectors, reductions * core.rows))
    w = rng.integers(-127, 128, (reductions * core.rows, blocks * outputs))
    a[rng.random(a.shape) < 0.2] = -128
    w[rng.random(w.shape) < 0.2] = 127
    a_beats, w_beats, sums = [], [], []
    for block in range(blocks):
        columns = slice(block * outputs, (block + 1) * outputs)
        for reduction in range(reductions):
            rows = slice(reduction * core.rows, (reduction + 1) * core.rows)
            w_beats += w[rows, columns][::-1].tolist()
            a_beats += a[:, rows].tolist()
        sums += (a @ w[:, columns]).tolist()
    return a_beats, w_beats, sums


def run(core, jobs, *, seed, stall=0.0, limit=20_000):
    """Multiply, and return the cycles in which a first weight was offered and all sums were out."""
    rng = np.random.default_rng(seed)
    beats = {"a": [], "w": []}
    expected, lasts, got = [], [], []
    for job in jobs:
        a, w, sums = tiles(rng, core, job)
        beats["a"] += a
        beats["w"] += w
        expected += sums
        lasts += [0] * (len(sums) - 1) + [1]
    ends = []

    def sender(name, values):
        gaps = np.random.default_rng([seed, len(name), len(values)])
        port = getattr(core, name)

        async def send(ctx):
            for value in values:
                while stall and gaps.random() < stall:
                    await ctx.tick()
                ctx.set(port.payload, value)
                ctx.set(port.valid, 1)
                for _ in range(limit):
                    *_, ready = await ctx.tick().sample(port.ready)
                    if ready:
                        break
                else:
                    raise AssertionError(f"{name} was not taken")
                ctx.set(port.valid, 0)

        return send

    async def receive(ctx):
        for cycle in range(limit):
            ready = rng.random() >= stall
            ctx.set(core.o.ready, ready)
            *_, valid, payload = await ctx.tick().sample(core.o.valid, core.o.payload)
            if valid and ready:
                got.append(([payload.sums[n] for n in range(2 * core.columns)], payload.last))
                if len(got) == len(expected):
                    ends.append(cycle + 1)
                    return

    names = ("vectors", "reductions", "blocks")
    sim = Simulator(core)
    sim.add_clock(1e-6)
    sim.add_testbench(sender("job", [dict(zip(names, job, strict=True)) for job in jobs]))
    sim.add_testbench(sender("a", beats["a"]))
    sim.add_testbench(sender("w", beats["w"]))
    sim.add_testbench(receive)
    sim.run()
    assert [sums for sums, _ in got] == expected
    assert [last for _, last in got] == lasts
    return ends[0]


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize(
    ("rows", "columns", "depth", "jobs"),
    [
        (4, 2, 8, [(8, 3, 2), (1, 1, 1), (5, 1, 3), (2, 4, 2)]),
        (4, 1, 2, [(1, 5, 2), (2, 3, 1), (2, 1, 4)]),
        (8, 2, 64, [(64, 2, 2), (3, 3, 2)]),
    ],
)
def test_products_of_matrices(rows, columns, depth, jobs, stall):
    run(SystolicCore(rows, columns, depth), jobs, seed=rows + columns, stall=stall)


@pytest.mark.parametrize(
    ("rows", "columns", "job"),
    [(8, 3, (128, 3, 2)), (8, 1, (128, 1, 6)), (4, 1, (4, 40, 5))],
)
def test_cycles_of_the_systolic_model(rows, columns, job):
    """Within 2 % of what a systolic array with double-buffered weights takes at best."""
    vectors, reductions, blocks = job
    core = SystolicCore(rows, columns, 128)
    cycles = run(core, [job], seed=0)
    compute = reductions * blocks * max(vectors, rows)
    assert cycles == rows + compute + core.latency
    assert cycles <= 1.02 * (compute + 2 * rows + columns - 2)


def test_a_slow_receiver_stops_the_sender():
    """Sums that nobody takes fill the queue; none is lost."""
    run(SystolicCore(4, 1, 128), [(128, 2, 2)], seed=3, stall=0.8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 2, 8), "rows must be 4 to 64, not 3"),
        ((65, 2, 8), "rows must be 4 to 64, not 65"),
        ((4, 0, 8), "columns must be 1 to 64, not 0"),
        ((4, 65, 8), "columns must be 1 to 64, not 65"),
        ((4, 2, 1), "depth must be 2 to 65536, not 1"),
        ((4, 2, 65537), "depth must be 2 to 65536, not 65537"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        SystolicCore(*arguments)
