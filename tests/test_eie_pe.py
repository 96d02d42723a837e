# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from eie_model import load, simulate, small, until

from prunus.hw.bus import Target
from prunus.hw.eie.pe import Pe


async def send(ctx, pe, items, *, gap=lambda: 0, wait_for_room=True):
    """Broadcast (value, address) pairs."""
    for value, address in items:
        for _ in range(gap()):
            await ctx.tick()
        if wait_for_room:
            await until(ctx, pe.room[-1])
        ctx.set(pe.i.p, {"value": value, "address": address})
        ctx.set(pe.i.valid, 1)
        await ctx.tick()
        ctx.set(pe.i.valid, 0)


async def settle(ctx, pe):
    await ctx.tick().repeat(2)
    cycles = await until(ctx, pe.idle)
    await ctx.tick().repeat(2)
    return cycles


async def drain(ctx, pe, rows):
    """Read and clear the rows, one a cycle."""
    found = []
    for cycle in range(len(rows) + pe.DRAIN_LATENCY):
        ctx.set(pe.drain.valid, cycle < len(rows))
        if cycle < len(rows):
            ctx.set(pe.drain.row, rows[cycle])
        if cycle >= pe.DRAIN_LATENCY:
            found.append(ctx.get(pe.sum))
        await ctx.tick()
    assert ctx.get(pe.sum) == 0
    return found


def memory(config, unit, columns, codebook=None):
    """Writes for columns of (row, weight or code) entries; other units' writes among them."""
    start = 0
    mask = (1 << config.code_bits) - 1
    for j, entries in enumerate(columns):
        yield Target.POINTER, unit, j, len(entries) << config.weight_address_bits | start
        yield Target.POINTER, unit ^ 1, j, 0x3F
        for row, code in entries:
            yield Target.WEIGHT, unit, start, row << config.code_bits | code & mask
            yield Target.WEIGHT, unit ^ 1, start, 0x55
            yield Target.CHANNEL, unit, start, 0x55
            start += 1
    for code, weight in enumerate([] if codebook is None else codebook):
        yield Target.CODEBOOK, 0, code, int(weight) & 0xFF


def run_sparse(config, columns, passes, *, codebook=None, index=1, gap=lambda: 0):
    """Accumulators after each pass, and what they must be."""
    pe = Pe(config, index)
    weights = {True: lambda code: int(codebook[code]), False: lambda code: code}[
        codebook is not None
    ]
    found, expected = [], []

    async def bench(ctx):
        await load(ctx, pe.bus, memory(config, index, columns, codebook))
        for items in passes:
            sums = [0] * config.acc_rows
            for value, column in items:
                for row, code in columns[column]:
                    sums[row] += value * weights(code)
            expected.append(sums)
            await send(ctx, pe, items, gap=gap)
            await settle(ctx, pe)
            found.append(await drain(ctx, pe, list(range(config.acc_rows))))
            assert await drain(ctx, pe, [0, config.acc_rows - 1]) == [0, 0]

    simulate(pe, bench)
    return found, expected


@pytest.mark.parametrize("queue_depth", [1, 2, 5])
@pytest.mark.parametrize("code_bits", [2, 4, 8])
def test_accumulates_its_rows(queue_depth, code_bits):
    rng = np.random.default_rng(10 * queue_depth + code_bits)
    config = small(queue_depth=queue_depth, code_bits=code_bits, acc_rows=5)
    book = None if code_bits == 8 else rng.integers(-128, 128, 1 << code_bits)
    low, high = (-128, 128) if book is None else (0, 1 << code_bits)
    columns = [
        [
            (int(row), int(rng.integers(low, high)))
            for row in np.flatnonzero(rng.random(5) < rng.choice([0, 0.3, 1]))
        ]
        for _ in range(20)
    ]
    passes = [
        [(int(rng.integers(-255, 256)), int(j)) for j in rng.integers(0, 20, count)]
        for count in (1, 60, 0, 60)
    ]
    found, expected = run_sparse(
        config, columns, passes, codebook=book, gap=lambda: int(rng.choice([0, 0, 0, 3, 9]))
    )
    assert found == expected


def test_same_row_in_every_cycle():
    config = small(acc_rows=2)
    columns = [[(0, 127)], [(0, -128)], [(1, 1)], []]
    orders = [[0] * 12, [0, 1, 0, 1, 2, 0], [0, 2] * 6, [0, 2, 2] * 4, [0, 3, 0, 3, 3, 1]]
    passes = [[(255 - i, j) for i, j in enumerate(order)] for order in orders]
    found, expected = run_sparse(config, columns, passes)
    assert found == expected


def test_extremes_fill_the_accumulator():
    config = small(acc_width=32, acc_rows=2)
    columns = [[(0, -128), (1, 127)]]
    found, expected = run_sparse(config, columns, [[(255, 0)] * 40, [(-255, 0)] * 40])
    assert found == expected
    assert found[0] == [-128 * 255 * 40, 127 * 255 * 40]


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("code_bits", [3, 8])
def test_dense_columns(sparse, code_bits):
    rng = np.random.default_rng(code_bits)
    config = small(sparse=sparse, code_bits=code_bits, acc_rows=3, codebooks=3)
    pe = Pe(config, 0)
    rows, slot = 3, 2
    codes = rng.integers(0, 1 << code_bits, (10, rows))
    book = rng.integers(-128, 128, 1 << code_bits)
    weights = codes.astype(np.int8).astype(int) if code_bits == 8 else book[codes]
    items = [(int(rng.integers(-255, 256)), j) for j in (0, 9, 3, 3, 4)]
    noise = 2 << code_bits if sparse else 0  # in the row field, which dense columns ignore
    found = []

    async def bench(ctx):
        writes = [(Target.WEIGHT, 0, i, int(c) | noise) for i, c in enumerate(codes.ravel())]
        if code_bits < 8:
            writes += [
                (Target.CODEBOOK, 0, slot << code_bits | i, int(w) & 0xFF)
                for i, w in enumerate(book)
            ]
        await load(ctx, pe.bus, writes)
        ctx.set(pe.dense, 1)
        ctx.set(pe.rows, rows)
        ctx.set(pe.codebook, slot)
        await send(ctx, pe, [(value, j * rows) for value, j in items])
        await settle(ctx, pe)
        found.extend(await drain(ctx, pe, [0, 1, 2]))

    simulate(pe, bench)
    assert found == sum(value * weights[j] for value, j in items).tolist()


@pytest.mark.parametrize("slack", [0, 3])
@pytest.mark.parametrize("queue_depth", [1, 4])
@pytest.mark.parametrize("greedy", [True, False])
def test_queue_never_overflows(queue_depth, slack, greedy):
    """A sender that sees ``room`` late and sends all it may loses nothing."""
    config = small(queue_depth=queue_depth, acc_rows=4, acc_width=32)
    columns = [[(row, 1 + row) for row in range(4)]]
    pe = Pe(config, 0, slack=slack)
    window = pe.UNDER_WAY + slack
    sent = [0] * window
    found = []

    async def bench(ctx):
        await load(ctx, pe.bus, memory(config, 0, columns))
        seen = [0] * slack
        ctx.set(pe.i.p, {"value": 1, "address": 0})
        for _ in range(300):
            seen.append(ctx.get(pe.room))
            room = [step for i, step in enumerate(pe.steps) if seen[-1 - slack] >> i & 1]
            limit = max(room, default=0) if greedy else room[-1:] == [pe.steps[-1]] and window + 1
            sent.append(int(sum(sent[-window:]) < limit))
            ctx.set(pe.i.valid, sent[-1])
            await ctx.tick()
        ctx.set(pe.i.valid, 0)
        await settle(ctx, pe)
        found.extend(await drain(ctx, pe, [0, 1, 2, 3]))

    simulate(pe, bench)
    assert found == [weight * sum(sent) for weight in (1, 2, 3, 4)]
    assert sum(sent) >= 280 // 4


def test_walks_without_bubbles():
    """Columns of one, two and three entries, one entry in every cycle."""
    config = small(acc_rows=4, queue_depth=8)
    lengths = [1, 2, 3, 1, 1, 2, 1]
    columns = [[(row, 1) for row in range(length)] for length in lengths]
    pe = Pe(config, 0)
    cycles = []

    async def bench(ctx):
        await load(ctx, pe.bus, memory(config, 0, columns))
        await send(ctx, pe, [(1, j) for j in range(len(columns))])
        cycles.append(len(columns) + await until(ctx, pe.idle))

    simulate(pe, bench)
    # To the walker 4, a cycle each, the last entry's fetch 1 and its register, the idle register.
    assert cycles == [4 + sum(lengths) + 1 + 1 + 1]


def test_drain_holds_nothing_back():
    """Rows that were not asked for keep their sums."""
    config = small(acc_rows=4)
    columns = [[(row, 10 * (row + 1)) for row in range(4)]]
    pe = Pe(config, 0)

    async def bench(ctx):
        await load(ctx, pe.bus, memory(config, 0, columns))
        await send(ctx, pe, [(1, 0)])
        await settle(ctx, pe)
        assert await drain(ctx, pe, [2, 0]) == [30, 10]
        await send(ctx, pe, [(1, 0)])
        await settle(ctx, pe)
        assert await drain(ctx, pe, [3, 2, 1, 0]) == [80, 30, 40, 10]

    simulate(pe, bench)


def test_refuses_bad_parameters():
    with pytest.raises(ValueError, match=r"^index must be 0 to 1, not 2$"):
        Pe(small(), 2)
    with pytest.raises(ValueError, match=r"^slack must not be negative, not -1$"):
        Pe(small(), 0, slack=-1)
