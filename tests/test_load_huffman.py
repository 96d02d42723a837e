import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from prunus.compiler.huffman import code_lengths
from prunus.hw.config import Config
from prunus.hw.load.huffman import HuffmanTables
from prunus.sim.huffman import lookup_table


def config(bits, *, code_bits=4, sparse=True):
    return Config(pes=1, lanes=1, huffman_bits=bits, code_bits=code_bits, sparse=sparse)


async def build(ctx, dut, lengths, *, names=None, runs=0):
    """Put the lengths and names in, build, and return whether there was an error."""
    errors = 0
    ctx.set(dut.put, 1)
    for is_length, column in ((0, names if names is not None else []), (1, lengths)):
        ctx.set(dut.put_length, is_length)
        for symbol, value in enumerate(column):
            ctx.set(dut.put_symbol, symbol)
            ctx.set(dut.put_data, int(value) << 4 | 5 if is_length else int(value))
            await ctx.delay(1e-8)
            errors += ctx.get(dut.error)
            await ctx.tick()
    ctx.set(dut.put, 0)
    ctx.set(dut.runs, runs)
    ctx.set(dut.last, len(lengths) - 1)
    ctx.set(dut.mapped, names is not None)
    ctx.set(dut.build, 1)
    await ctx.tick()
    ctx.set(dut.build, 0)
    cycles = 0
    while ctx.get(dut.busy):
        errors += ctx.get(dut.error)
        await ctx.tick()
        cycles += 1
        used = int(np.count_nonzero(lengths))
        limit = len(lengths) * dut.bits_count + (1 << dut.bits_count)
        assert cycles <= limit + 5 * used + 3 * dut.bits_count + 4
    return errors > 0


async def check(ctx, dut, lengths, *, names=None, runs=0):
    """Every word decodes as the model's table says."""
    bits = dut.bits_count
    symbols, found = lookup_table(lengths, bits)
    for word in random.Random(0).sample(range(1 << bits), min(1 << bits, 600)):
        ctx.set(dut.look, 1)
        ctx.set(dut.look_runs, runs)
        ctx.set(dut.bits, word)
        await ctx.tick()
        ctx.set(dut.look, 0)
        await ctx.tick()
        assert ctx.get(dut.length) == found[word]
        if found[word]:
            symbol = symbols[word] if names is None else names[symbols[word]]
            assert ctx.get(dut.symbol) == symbol


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def random_lengths(rng, symbols, bits):
    counts = np.floor(rng.pareto(0.8, symbols) * 4).astype(int)
    return code_lengths(counts, bits)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 11])
def test_decodes_as_the_model(bits):
    dut = HuffmanTables(config(bits))
    rng = np.random.default_rng(bits)

    async def testbench(ctx):
        for turn in range(3):
            symbols = min(1 << bits, 16)
            codes = random_lengths(rng, symbols, bits)
            names = rng.permutation(16)[:symbols] if turn else None
            runs = random_lengths(rng, 1 << min(bits, 8), bits)
            assert not await build(ctx, dut, codes, names=names)
            assert not await build(ctx, dut, runs, runs=1)
            await check(ctx, dut, codes, names=names)
            await check(ctx, dut, runs, runs=1)

    simulate(dut, testbench)


@pytest.mark.parametrize("code_bits", [1, 8])
def test_one_table(code_bits):
    dut = HuffmanTables(config(9, code_bits=code_bits, sparse=False))
    rng = np.random.default_rng(0)

    async def testbench(ctx):
        for lengths in (
            random_lengths(rng, 1 << code_bits, 9),
            [code_bits] * (1 << code_bits),
            [0] * (1 << code_bits),
            [1],
            [0, 1],
        ):
            assert not await build(ctx, dut, lengths)
            await check(ctx, dut, lengths)

    simulate(dut, testbench)


def test_wrong_lengths_are_errors():
    dut = HuffmanTables(config(4))

    async def testbench(ctx):
        for wrong in (
            dict(lengths=[1, 1, 1]),
            dict(lengths=[4] * 15 + [3]),
            dict(lengths=[1, 5]),
            dict(lengths=[0, 15]),
            dict(lengths=[0] * 16 + [1]),
            dict(lengths=[1, 1], names=[3, 16]),
            dict(lengths=[1, 2, 2, 4], runs=1),
        ):
            assert await build(ctx, dut, **wrong)
            assert not await build(ctx, dut, [1, 1])
            await check(ctx, dut, [1, 1])
        # A name that is too wide does no harm where its symbol is not used.
        assert not await build(ctx, dut, [1, 0], names=[3, 16])

    simulate(dut, testbench)
