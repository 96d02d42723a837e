# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from convolution_model import small
from eie_model import load, simulate

from prunus.hw.bus import Target
from prunus.hw.systolic.tiles import TileStore


@pytest.mark.parametrize("early", [0, 1])
@pytest.mark.parametrize("reload, settle", [(0, 1), (2, 3), (5, 1)])
@pytest.mark.parametrize("stall", [0, 0.9])
def test_loads_one_tile_ahead(early, reload, settle, stall):
    config = small(tile_depth=50)
    size, outputs = config.act_word, config.tile_outputs
    dut = TileStore(config, reload=reload, settle=settle, ahead=7)
    rng = np.random.default_rng(reload)
    words = rng.integers(-128, 128, (config.tile_depth, outputs))
    layers = [(base, rows, int(rng.integers(1, 4))) for base, rows in ((7, 3), (0, 1), (36, 4))]

    async def bench(ctx):
        writes = [
            (Target.TILE, n, row, int(words[row][n]) & 0xFF)
            for row in range(config.tile_depth)
            for n in range(outputs)
        ]
        other = [(Target.WEIGHT, n, 0, 99) for n in range(outputs)]
        await load(ctx, dut.bus, writes + other)
        for base, rows, count in layers:
            ctx.set(dut.layer, {"weight_base": base, "rows": rows})
            ctx.set(dut.early, early)
            ctx.set(dut.single, not early)
            taken, beats, shown = [], [], []
            for cycle in range(300):
                ctx.set(dut.start, cycle == 0)
                take = len(taken) < 7 and ctx.get(dut.ready) and rng.random() >= stall
                ctx.set(dut.take, cycle > 0 and take)
                ctx.set(dut.again, len(taken) % count == count - 1)
                if cycle > 0 and take:
                    taken.append(cycle)
                if cycle > 0 and ctx.get(dut.w_valid):
                    beats.append(cycle)
                    shown.append(list(ctx.get(dut.w_data)))
                await ctx.tick()
            assert len(taken) == 7
            if not stall:
                assert taken[0] == (dut.early_first if early else dut.first)
                period = dut.early_period if early else dut.period
                assert set(np.diff(taken)) == {period}
            swaps = [cycle + 7 * early for cycle in taken]
            assert len(beats) == 8 * size
            for i, swap in enumerate(swaps):
                assert beats[size * (i + 1) - 1] + settle <= swap
                assert beats[size * (i + 1)] >= swap + reload
                tile = np.zeros((size, outputs), int)
                first = base + rows * (i % count)
                tile[:rows] = words[first : first + rows]
                if not early:
                    tile[:, config.columns :] = 0
                assert shown[size * i : size * (i + 1)] == tile[::-1].tolist()

    simulate(dut, bench)


def test_starts_over():
    config = small()
    dut = TileStore(config, reload=0, settle=1, ahead=7)

    async def bench(ctx):
        await load(ctx, dut.bus, [(Target.TILE, 0, row, row) for row in range(8)])
        ctx.set(dut.early, 1)
        for pause in range(1, 12):
            for base, wait in ((0, pause), (4, 20)):
                ctx.set(dut.layer, {"weight_base": base, "rows": 4})
                ctx.set(dut.start, 1)
                await ctx.tick()
                ctx.set(dut.start, 0)
                shown = []
                for _ in range(wait):
                    if ctx.get(dut.w_valid):
                        shown.append(ctx.get(dut.w_data[0]))
                    await ctx.tick()
            assert shown == [7, 6, 5, 4]

    simulate(dut, bench)


def test_a_late_loader_is_refused():
    with pytest.raises(ValueError, match=r"^ahead must be at least 3, not 1$"):
        TileStore(small(), reload=1, settle=1, ahead=1)
