# amaranth: UnusedElaboratable=no
"""Whole layers on the systolic engine: sums, places and cycles."""

import numpy as np
import pytest
from convolution_model import SHAPES, Convolution, Shape, serve, small
from eie_model import load, simulate
from test_systolic_lines import Layer as DepthwiseLayer

from prunus.hw.config import Config
from prunus.hw.isa import Op
from prunus.hw.systolic.array import SystolicArray
from prunus.hw.systolic.engine import SystolicEngine
from prunus.hw.systolic.feeder import Feeder


def execute(config, runs):
    """Of each layer its beats, and the cycles of the first read, of `computed`, of the last beat
    and of `done` after start."""
    dut = SystolicEngine(config)
    memory = np.zeros(config.act_depth * config.act_word, int)
    results = []

    async def bench(ctx):
        for run in runs:
            memory[:] = run.memory
            await load(ctx, dut.bus, run.writes())
            assert ctx.get(dut.done)
            ctx.set(dut.layer, run.layer)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            beats, computed, first = [], [], None
            for cycle in range(1, 20000):
                if ctx.get(dut.r_en) and first is None:
                    first = cycle
                if ctx.get(dut.computed):
                    computed.append(cycle)
                if ctx.get(dut.done):
                    break
                if ctx.get(dut.sums.valid):
                    beat = ctx.get(dut.sums.p)
                    beats.append((list(beat.sums), beat.channel, beat.address, beat.group))
                    last = cycle
                await ctx.tick()
            else:
                raise TimeoutError("never done")
            assert len(computed) == 1
            results.append((beats, first, computed[0], last, cycle))
            ctx.set(dut.layer, {})  # a layer that is done may change

    simulate(dut, bench, processes=[serve(memory, dut, config.act_word)])
    return results


def schedule(config, counts, channel_beats):
    """Cycles of the first vector, the last vector and `done`."""
    latency = SystolicArray(config.act_word, config.columns).latency
    tiles, blocks, weights = counts
    take = first = max(config.act_word - 4, Feeder.SETUP)
    ends = []
    for size in tiles:
        for block in range(blocks):
            if len(ends) > 1:
                take = max(take, ends[-2] + 1)  # a bank is free
            for _ in range(weights):
                fed = take + Feeder.AHEAD + size - 1
                take += max(size, config.act_word, Feeder.PERIOD)
            drain = fed + latency + 3
            if ends:
                drain = max(drain, ends[-1] + 2)
            ends.append(drain + size * min(2, channel_beats - 2 * block) - 1)
    return first + Feeder.AHEAD, fed, ends[-1] + 5


def check(config, runs):
    for run, (beats, first, computed, last, done) in zip(runs, execute(config, runs), strict=True):
        assert beats == run.beats
        expected = schedule(config, run.counts, run.channel_beats)
        assert (first + 5, computed, done) == expected
        assert done - last == 1


def test_convolutions():
    config = small()
    check(config, [Convolution(config, shape, seed) for seed, shape in enumerate(SHAPES)])


@pytest.mark.parametrize("word, columns, width", [(2, 1, 32), (8, 2, 24), (8, 4, 32), (16, 8, 28)])
def test_other_sizes(word, columns, width):
    sizes = dict(act_word=word, lanes=columns, columns=columns, acc_width=width)
    config = small(tile_pixels=32, tile_depth=2048, channel_depth=64, **sizes)
    rng = np.random.default_rng(word)
    check(
        config,
        [Convolution(config, random_shape(rng), seed) for seed in range(12 if word < 16 else 5)],
    )


@pytest.mark.parametrize("outputs", [1, 3, 4, 7, 16])
def test_the_drain_is_the_bottleneck(outputs):
    """One tile of weights a block: banks are waited for."""
    config = small(tile_pixels=25)
    for tile in (25, 7, 1):
        shape = Shape(kernel=(1, 1), padding=(0, 0, 0, 0), outputs=outputs, tile=tile)
        check(config, [Convolution(config, shape, tile)])


def test_the_lowest_and_the_highest_sums():
    config = small(acc_width=24)
    shape = Shape(size=(2, 2), channels=8, kernel=(2, 2), padding=(0, 0, 1, 1))
    run = Convolution(config, shape)
    for x, w in ((-128, 127), (-128, -127), (127, 127)):
        run.memory[:], run.tiles[:] = x, w
        run.layer["in_zero"] = x
        run.beats = [([32 * x * w] * config.lanes, *place) for _, *place in run.beats]
        check(config, [run])


def random_shape(rng):
    def pair(low, high):
        return tuple(rng.integers(low, high, 2).tolist())

    kernel, dilation, padding = pair(1, 4), pair(1, 3), tuple(rng.integers(0, 3, 4).tolist())
    # At least one window fits.
    least = [
        max(1, dilation[axis] * (kernel[axis] - 1) + 1 - padding[axis] - padding[axis + 2])
        for axis in range(2)
    ]
    return Shape(
        size=tuple(size + int(rng.integers(0, 5)) for size in least),
        channels=int(rng.integers(1, 12)),
        outputs=int(rng.integers(1, 20)),
        kernel=kernel,
        stride=pair(1, 4),
        dilation=dilation,
        padding=padding,
        packed=bool(rng.integers(2)),
        tile=int(rng.integers(1, 33)),
    )


class Depthwise(DepthwiseLayer):
    """A depthwise layer as :func:`execute` takes it."""

    def __init__(self, config, rng, size, channels, kernel, stride, padding):
        super().__init__(config, rng, size, channels, kernel, stride, padding)
        rows = config.line_taps * (kernel[0] - 1) + kernel[1]
        self.layer = self.descriptor | dict(
            op=Op.DEPTHWISE, outputs=channels, rows=rows, weight_base=int(rng.integers(0, 9))
        )
        words = [self.rows(block)[:rows] for block in range(self.blocks)]
        firsts = np.concatenate(words)
        self.tiles = np.concatenate([firsts, rng.integers(-127, 128, firsts.shape)], axis=1)
        by_word, self.memory = (
            self.memory,
            rng.integers(-128, 128, config.act_depth * config.act_word),
        )
        for address, word in by_word.items():
            self.memory[address * config.act_word :][: len(word)] = np.frombuffer(word, np.int8)
        self.beats = [(sums, *place) for place, sums in self.expected(padding)]

    writes = Convolution.writes


@pytest.mark.parametrize("word, columns", [(8, 4), (16, 8)])
def test_depthwise_layers_between_convolutions(word, columns):
    config = small(
        act_word=word, lanes=columns, columns=columns, line_depth=24, tile_depth=1024, act_depth=400
    )
    rng = np.random.default_rng(word)
    kernel = min(3, config.line_taps)
    runs = [
        Depthwise(config, rng, (5, 6), 2 * word + 3, (3, kernel), (1, 1), (1, 1, 1, 1)),
        Convolution(config, Shape(), 1),
        Depthwise(config, rng, (7, 9), word, (3, 2), (2, 2), (0, 1, 0, 1)),
        Depthwise(config, rng, (1, 1), 5, (1, 1), (1, 1), (0, 0, 0, 0)),
        Depthwise(config, rng, (3, 3), 3 * word, (3, kernel), (1, 1), (1, 1, 1, 1)),
        Convolution(config, Shape(size=(3, 3), channels=2 * word), 2),
    ]
    if word == 16:  # simulates slowly
        runs = runs[:3]
    for run, (beats, _, computed, last, done) in zip(runs, execute(config, runs), strict=True):
        if isinstance(run, Depthwise):  # lanes without a channel hold anything
            beats = [
                (sums[: len(e[0])], *place)
                for (sums, *place), e in zip(beats, run.beats, strict=True)
            ]
            d = run.descriptor
            pixels = d["columns"] * d["segments"]
            shortest = max(pixels + config.line_taps, word + 3)
            latency = SystolicArray(word, columns).latency
            assert computed <= run.blocks * (shortest + 6) + 40
            assert done - computed == latency + 2
        assert beats == run.beats
        assert last < done <= last + 200


def test_no_columns_are_refused():
    message = r"^columns must be positive for a systolic array, not 0$"
    with pytest.raises(ValueError, match=message):
        SystolicEngine(Config())
