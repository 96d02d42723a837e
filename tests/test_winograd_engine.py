# amaranth: UnusedElaboratable=no
"""Whole layers on the Winograd engine: sums, places and cycles."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from eie_model import load
from winograd_model import Layer, Shape, small

from prunus.hw.winograd.engine import WinogradEngine
from prunus.hw.winograd.geometry import Geometry


def execute(config, geometry, layers, seed=None, limit=30_000):
    """Run the layers, compare all beats, and return the cycles of each from start to done."""
    dut = WinogradEngine(config, geometry)
    memory = np.zeros(config.act_depth * config.act_word, int)
    rng = np.random.default_rng(seed)
    cycles = []

    async def serve(ctx):
        ctx.set(dut.r_data, 0x5A)
        late = [None] * (config.read_latency - 1)
        async for _, reset, enable, address in ctx.tick().sample(dut.r_en, dut.r_addr):
            late.append(None)
            if enable and not reset:
                word = memory[(address * config.act_word) % len(memory) :][: config.act_word]
                word = (word & 0xFF).astype(np.uint8)
                late[-1] = int.from_bytes(word.tobytes(), "little")
            arrived = late.pop(0)
            if arrived is not None:
                ctx.set(dut.r_data, arrived)

    async def bench(ctx):
        for layer in layers:
            memory[:] = layer.memory
            await load(ctx, dut.bus, layer.writes(config))
            await ctx.tick().repeat(3)
            ctx.set(dut.layer, layer.fields)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            got, computed, cycle = {}, 0, 1
            while True:
                if seed is not None:
                    ctx.set(dut.room, int(rng.random() < 0.2))
                *_, done, valid, beat, ended = await ctx.tick().sample(
                    dut.done, dut.sums.valid, dut.sums.p, dut.computed
                )
                computed += ended
                assert not (done and valid)
                if valid:
                    key = beat.channel, beat.address, beat.group
                    assert key in layer.beats and key not in got
                    count = len(layer.beats[key])
                    got[key] = [beat.sums[n] for n in range(config.lanes)][:count]
                if done:
                    break
                cycle += 1
                assert cycle < limit
            assert got == layer.beats
            assert computed == 1
            cycles.append(cycle)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.add_process(serve)
    sim.run()
    return cycles


GEOMETRIES = {
    "F4": dict(outputs=4, filters=2, passes=1),
    "F2": dict(outputs=2, filters=4, passes=1),
    "F4 by rows": dict(outputs=4, filters=1, passes=6),
    "F2 by rows": dict(outputs=2, filters=1, passes=4),
    "F2 by halves": dict(outputs=2, filters=1, passes=2),
    "F4 by halves": dict(outputs=4, filters=1, passes=2),
}
SHAPES = [
    Shape(),
    Shape(size=(1, 1), channels=1, outputs=1),
    Shape(size=(3, 3), channels=9, outputs=4, padding=(0, 0, 0, 0)),
    Shape(size=(5, 9), channels=3, outputs=5, padding=(0, 1, 2, 0)),
    Shape(size=(4, 4), channels=16, outputs=3, extreme=True),
    Shape(size=(2, 11), channels=1, outputs=9, padding=(1, 1, 1, 1)),
    Shape(size=(5, 3), channels=2, outputs=2),
]


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("F4", SHAPES),
        ("F2", SHAPES[:5]),
        ("F4 by rows", SHAPES),
        ("F2 by rows", SHAPES),
        ("F2 by halves", SHAPES[1:6]),
        ("F4 by halves", SHAPES[2:5]),
    ],
)
def test_layers(name, chosen):
    config = small()
    geometry = Geometry(channels=16, weight_depth=256, **GEOMETRIES[name])
    layers = [Layer(config, geometry, shape, n) for n, shape in enumerate(chosen)]
    assert execute(config, geometry, layers) == [layer.cycles for layer in layers]


@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize(
    ("channels", "filters"),
    [(1, 1), (1, 4), (2, 1), (3, 1), (4, 1), (5, 2), (15, 1), (16, 1), (16, 4), (17, 1)],
)
def test_rows_follow_each_other_in_time(outputs, channels, filters):
    """Whether their channels, or the inverse transform of a row, take longer."""
    config = small()
    geometry = Geometry(
        channels=32, weight_depth=256, outputs=outputs, filters=filters, passes=outputs + 2
    )
    layers = [
        Layer(config, geometry, Shape(channels=channels, extreme=True), channels),
        Layer(config, geometry, Shape(size=(3, 9), channels=channels, outputs=1), channels),
    ]
    assert execute(config, geometry, layers) == [layer.cycles for layer in layers]


@pytest.mark.parametrize("name", ["F4", "F4 by rows", "F2 by rows", "F2 by halves"])
def test_groups_wait_for_room(name):
    config = small()
    geometry = Geometry(channels=16, weight_depth=256, **GEOMETRIES[name])
    layers = [Layer(config, geometry, shape, n) for n, shape in enumerate(SHAPES[:4])]
    execute(config, geometry, layers, seed=1)
