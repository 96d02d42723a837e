# amaranth: UnusedElaboratable=no
"""cocotb bench of a PE: a sender that uses all the room it is told of, a cycle late."""

import cocotb
import numpy as np
from bench_support import RATES, generators, settings, until, write
from cocotb.triggers import ClockCycles, RisingEdge
from eie_model import small, writes

from prunus.hw.eie.layer import broadcast_layout
from prunus.hw.eie.pe import Pe
from prunus.sim.benches.streams import pack, start
from prunus.sim.eie_fill import dealt, fill
from prunus.sim.ops import fully_connected

CONFIG = small(**settings())
INDEX, SLACK = 1, 1
STEPS = Pe(CONFIG, INDEX, slack=SLACK).steps


async def send(dut, items, *, rng, gap):
    """Broadcast (value, address) pairs, as many at once as ``room`` allows."""
    window = [False] * (Pe.UNDER_WAY + SLACK)
    for value, address in items:
        sent = False
        while not sent:
            room = int(dut.room.value)
            free = max((step for i, step in enumerate(STEPS) if room >> i & 1), default=0)
            sent = sum(window) < free and rng.random() >= gap
            item = {"value": value, "address": address}
            dut.i__p.value = pack(broadcast_layout(CONFIG), item)
            dut.i__valid.value = sent
            window = [*window[1:], sent]
            await RisingEdge(dut.clk)
    dut.i__valid.value = 0


async def drain(dut, rows, *, rng, gap):
    """What ``sum`` shows for each row, with gaps, in which it must be zero."""
    asked, seen = [], []
    waiting = list(rows)
    while len(seen) < len(asked) + Pe.DRAIN_LATENCY or waiting:
        goes = bool(waiting) and rng.random() >= gap
        dut.drain__valid.value = goes
        if waiting:
            dut.drain__row.value = waiting[0]
            asked.append(goes)
        if goes:
            waiting.pop(0)
        await RisingEdge(dut.clk)
        seen.append(dut.sum.value.to_signed())
    assert not any(seen[: Pe.DRAIN_LATENCY])
    seen = seen[Pe.DRAIN_LATENCY :]
    assert not any(s for s, goes in zip(seen, asked, strict=True) if not goes)
    return [s for s, goes in zip(seen, asked, strict=True) if goes]


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def accumulates_its_rows(dut, gap, stall):
    rng, numbers = generators()
    dut.i__valid.value = dut.drain__valid.value = dut.bus__valid.value = 0
    await start(dut)
    await ClockCycles(dut.clk, 5)
    for _ in range(6):
        columns = int(numbers.integers(1, 30))
        outputs = CONFIG.pes * int(numbers.integers(1, CONFIG.acc_rows + 1))
        dense = not CONFIG.sparse or numbers.random() < 0.5
        levels, slot = 1 << CONFIG.code_bits, int(numbers.integers(CONFIG.codebooks))
        codes = numbers.integers(0, levels, (outputs, columns))
        book = numbers.integers(-128, 128, levels) if CONFIG.code_bits < 8 else None
        weights = codes.astype(np.int8) if book is None else book[codes]
        kept = None if dense else numbers.random((outputs, columns)) < numbers.choice([0.1, 0.6, 1])
        values = numbers.integers(-255, 256, columns) * (numbers.random(columns) < 0.8)
        pe, row = dealt(outputs, CONFIG.pes)

        bases = {
            "weight_base": int(numbers.integers(0, 100)),
            "pointer_base": int(numbers.integers(0, 30)),
        }
        filled = fill(CONFIG, codes, kept, pe, row, weight_base=bases["weight_base"])
        items = writes(filled, codebook=book, slot=slot, code_bits=CONFIG.code_bits, **bases)
        await write(dut, items, rng=rng, gap=gap)
        rows = int(row.max()) + 1
        dut.dense.value, dut.rows.value, dut.codebook.value = dense, rows, slot
        base, step = (bases["weight_base"], rows) if dense else (bases["pointer_base"], 1)
        sent = [(int(v), base + j * step) for j, v in enumerate(values) if v]
        await send(dut, sent, rng=rng, gap=gap)
        await ClockCycles(dut.clk, 3)
        await until(dut, dut.idle)
        await ClockCycles(dut.clk, 2)

        expected = fully_connected(values, weights * (1 if dense else kept), 0)[pe == INDEX]
        order = numbers.permutation(rows).tolist()
        found = await drain(dut, order, rng=rng, gap=stall)
        assert found == [int(expected[r]) for r in order]
        assert await drain(dut, range(CONFIG.acc_rows), rng=rng, gap=0) == [0] * CONFIG.acc_rows
