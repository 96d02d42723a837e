"""The vectors that a convolution feeds, and when."""

import numpy as np
import pytest
from convolution_model import SHAPES, Convolution, serve, small
from eie_model import simulate

from prunus.hw.systolic.feeder import Feeder


def feed(config, runs, *, stall=0.0, seed=0):
    """Per convolution (vectors, tags, cycles they came in, cycles of the takes) after start."""
    rng = np.random.default_rng(seed)
    dut = Feeder(config)
    names = list(dut.tag.shape().members)
    memory = np.zeros(config.act_depth * config.act_word, int)
    results = []

    async def bench(ctx):
        for run in runs:
            memory[:] = run.memory
            ctx.set(dut.layer, {name: run.layer[name] for name in dut.layer.shape().members})
            shown, takes = [], []
            cycle = 0
            while cycle < 10000:
                ctx.set(dut.start, cycle == 0)
                ctx.set(dut.weights, rng.random() >= stall)
                ctx.set(dut.bank, rng.random() >= stall)
                if cycle and ctx.get(dut.take):
                    takes.append((cycle, ctx.get(dut.claim), ctx.get(dut.again)))
                if ctx.get(dut.tag.valid):
                    tag = {name for name in names if ctx.get(dut.tag[name])}
                    shown.append((cycle, tag, list(ctx.get(dut.a))))
                    if "final" in tag:
                        break
                cycle += 1
                await ctx.tick()
            else:
                raise TimeoutError("no final vector")
            for _ in range(20):
                ctx.set(dut.weights, 1)
                ctx.set(dut.bank, 1)
                await ctx.tick()
                assert not ctx.get(dut.tag.valid) and not ctx.get(dut.take)
            results.append((shown, takes))

    simulate(dut, bench, processes=[serve(memory, dut, config.act_word)])
    return results


def check(config, run, shown, takes, *, stalls):
    tiles, blocks, weights = run.counts
    tags, first, starts = [], [], 0
    for t, size in enumerate(tiles):
        for b in range(blocks):
            for k in range(weights):
                last = k == weights - 1
                turn = last and b == blocks - 1
                first.append((len(tags), k == 0, turn))
                for p in range(size):
                    tag = {"valid"}
                    tag |= {"swap"} if p == 0 else set()
                    tag |= {"first"} if k == 0 else set()
                    tag |= {"turn"} if turn else set()
                    tag |= {"last"} if last and p == size - 1 else set()
                    if turn and p == size - 1 and t == len(tiles) - 1:
                        tag.add("final")
                    tags.append(tag)
    assert [tag for _, tag, _ in shown] == tags
    assert [vector for _, _, vector in shown] == run.vectors
    cycles = [cycle for cycle, _, _ in shown]
    assert [(cycle + Feeder.AHEAD, claim, again) for cycle, claim, again in takes] == [
        (cycles[i], claim, again) for i, claim, again in first
    ]
    sizes = np.diff([i for i, _, _ in first] + [len(tags)])
    for (i, _, _), size in zip(first, sizes, strict=True):
        assert cycles[i + size - 1] - cycles[i] == size - 1
        starts += 1
    if not stalls:
        assert takes[0][0] == Feeder.SETUP
        gaps = np.diff([cycle for cycle, _, _ in takes])
        assert gaps.tolist() == np.maximum(sizes[:-1], Feeder.PERIOD).tolist()


@pytest.mark.parametrize("stall", [0, 0.7])
def test_windows_of_a_convolution(stall):
    config = small()
    runs = [Convolution(config, shape, seed) for seed, shape in enumerate(SHAPES)]
    for run, (shown, takes) in zip(runs, feed(config, runs, stall=stall), strict=True):
        check(config, run, shown, takes, stalls=stall > 0)


@pytest.mark.parametrize("word, columns", [(2, 1), (8, 2), (16, 8)])
def test_words_of_other_sizes(word, columns):
    config = small(act_word=word, lanes=columns, columns=columns, tile_pixels=40, tile_depth=2048)
    runs = [Convolution(config, shape, seed) for seed, shape in enumerate(SHAPES)]
    for run, (shown, takes) in zip(runs, feed(config, runs), strict=True):
        check(config, run, shown, takes, stalls=False)
