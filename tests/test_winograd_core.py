# amaranth: UnusedElaboratable=no
"""The Winograd core: streams in, streams out, and nothing lost where the receiver is slow."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from winograd_model import Layer, Shape

from prunus.hw.winograd.core import WinogradCore


def run(core, shapes, *, seed, stall, limit=20_000):
    """Do the layers one after the other; returns the number of cycles."""
    config, geometry = core.config, core.geometry
    rng = np.random.default_rng(seed)
    layers = [Layer(config, geometry, shape, n) for n, shape in enumerate(shapes)]
    cycles = 0

    async def bench(ctx):
        nonlocal cycles
        for layer in layers:
            await fill(ctx, layer)
            ctx.set(core.job.payload, layer.fields)
            ctx.set(core.job.valid, 1)
            got, taken = {}, False
            while len(got) < len(layer.beats):
                ready = rng.random() >= stall
                ctx.set(core.o.ready, ready)
                *_, job_ready, valid, beat = await ctx.tick().sample(
                    core.job.ready, core.o.valid, core.o.payload
                )
                if job_ready and not taken:
                    taken = True
                    ctx.set(core.job.valid, 0)
                if valid and ready:
                    key = beat.channel, beat.address, beat.group
                    got[key] = [beat.sums[n] for n in range(len(layer.beats[key]))]
                cycles += 1
                assert cycles < limit
            assert got == layer.beats

    async def fill(ctx, layer):
        ctx.set(core.x.valid, 1)
        words = layer.memory.reshape(-1, config.act_word)
        for address, word in enumerate(words):
            value = int.from_bytes((word & 0xFF).astype(np.uint8).tobytes(), "little")
            ctx.set(core.x.payload, {"address": address, "data": value})
            await ctx.tick()
        ctx.set(core.x.valid, 0)
        ctx.set(core.w.valid, 1)
        for _, unit, address, byte in layer.writes(config):
            ctx.set(core.w.payload, {"unit": unit, "address": address, "data": byte})
            await ctx.tick()
        ctx.set(core.w.valid, 0)
        await ctx.tick().repeat(2)

    sim = Simulator(core)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return cycles


@pytest.mark.parametrize("stall", [0.0, 0.9])
@pytest.mark.parametrize(
    "sizes",
    [
        dict(outputs=2, filters=2, word=4, lanes=4, channels=8),
        dict(outputs=4, filters=1, passes=6, word=4, lanes=2, channels=8),
        dict(outputs=2, filters=2, passes=4, word=4, lanes=4, channels=8),
        dict(outputs=4, filters=1, passes=3, word=4, lanes=2, channels=8),
    ],
    ids=lambda sizes: f"F{sizes['outputs']} in {sizes.get('passes', 1)}",
)
def test_layers_under_back_pressure(sizes, stall):
    core = WinogradCore(weight_depth=64, map_depth=128, **sizes)
    shapes = [
        Shape(size=(6, 5), channels=6, outputs=5),
        Shape(size=(4, 4), channels=1, outputs=3, padding=(0, 1, 0, 1)),
    ]
    run(core, shapes, seed=7, stall=stall)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(outputs=3), "outputs must be 2 or 4, not 3"),
        (dict(filters=0), "filters must be 1 to 16, not 0"),
        (dict(filters=3), r"filters must divide lanes \(8\), not 3"),
        (dict(passes=4), "passes must divide 6, not 4"),
        (dict(channels=48), "channels must be a power of two, 2 to 1024, not 48"),
        (dict(channels=8), r"channels must be at least act_word \(16\), not 8"),
        (dict(weight_depth=1), "weight_depth must be 2 to 4194304, not 1"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        WinogradCore(**arguments)
