"""cocotb bench of the activation memory, and of one bank, which has no groups."""

import cocotb
from bench_support import RATES, generators
from cocotb.triggers import RisingEdge

from prunus.sim.benches.streams import start


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def reads_what_was_written(dut, gap, stall):
    rng, _ = generators()
    width = len(dut.w_data)
    groups = len(dut.r_data) // width
    depth = 1 << len(dut.r_addr)
    size = len(dut.r_data) // 8
    w_group, r_ahead = getattr(dut, "w_group", None), getattr(dut, "r_ahead", None)
    for port in (dut.r_en, dut.w_en):
        port.value = 0
    await start(dut)
    rows = {}
    expected = None
    late = [] if r_ahead is None else [None]  # where any byte is read from, it takes a cycle more
    fresh = [(row, group) for row in range(depth) for group in range(groups)]
    for _ in range(1500):
        # Everything is written once; then any place, but not the row that is being read.
        writes = rng.random() >= gap
        reads = rng.random() >= stall
        row, group = fresh[0] if fresh else (rng.randrange(depth), rng.randrange(groups))
        word = rng.randrange(1 << width)
        dut.w_en.value, dut.w_addr.value, dut.w_data.value = writes, row, word
        if w_group is not None:
            w_group.value = group
        address = rng.randrange(depth)
        offset = 0 if r_ahead is None else rng.randrange(size) if address < depth - 1 else 0
        touched = {address, address + (offset > 0)}
        reads = reads and not fresh and not (writes and row in touched)
        dut.r_en.value, dut.r_addr.value = reads, address
        if r_ahead is not None:
            r_ahead.value = (1 << offset) - 1
            dut.r_next.value = (address + 1) % depth
        await RisingEdge(dut.clk)
        late.append(expected)
        shown = late.pop(0)
        assert shown is None or dut.r_data.value == shown
        if reads:
            here, behind = (
                sum(rows[word, n] << n * width for n in range(groups)) if word < depth else 0
                for word in (address, address + 1)
            )
            low = (1 << 8 * offset) - 1  # bytes of the next word
            expected = here & ~low | behind & low
        if writes:
            rows[row, group] = word
            fresh = fresh[1:]
    assert not fresh and expected is not None
