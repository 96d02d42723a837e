"""Drives an EIE array in Amaranth's simulator, and says what it must answer."""

import numpy as np
from amaranth.sim import Simulator

from prunus.hw.bus import Target
from prunus.hw.config import Config

LIMIT = 20000  # cycles any one wait may take


def small(**fields):
    """A configuration that simulates fast."""
    sizes = dict(
        pes=2, lanes=1, queue_depth=4, weight_depth=512, pointer_depth=64, acc_rows=4,
        act_word=4, act_depth=64, channel_depth=16, record_depth=4, program_depth=2,
    )  # fmt: skip
    return Config(**sizes | fields)


def product(matrix, activations, zero):
    """The accumulators that a pass adds up, as Python integers."""
    return (matrix.astype(np.int64) @ (activations.astype(np.int64) - zero)).tolist()


def words(activations, config, rng):
    """The words of the activation memory; what follows the last byte is noise."""
    size = config.act_word
    padded = rng.integers(-128, 128, -(-len(activations) // size) * size, dtype=np.int8)
    padded[: len(activations)] = activations
    return [int.from_bytes(word.tobytes(), "little") for word in padded.reshape(-1, size)]


def serve(contents):
    """A testbench process that is the activation memory: ``contents`` maps addresses to words."""

    def process(dut):
        async def memory(ctx):
            # What is not held (no read yet, or a row that is not there) is noise too.
            row = 0x5A
            late = [row] * (dut.config.read_latency - 1)
            ctx.set(dut.r_data, row)
            async for _, reset, enable, address in ctx.tick().sample(dut.r_en, dut.r_addr):
                if enable and not reset:
                    row = contents.get(address, 0xA5)
                late.append(row)
                ctx.set(dut.r_data, late.pop(0))

        return memory

    return process


async def until(ctx, condition, limit=LIMIT):
    """Cycles until the condition holds."""
    for cycle in range(limit):
        if ctx.get(condition):
            return cycle
        await ctx.tick()
    raise TimeoutError(f"waited {limit} cycles for {condition!r}")


def writes(filled, *, pointer_base=0, weight_base=0, codebook=None, slot=0, code_bits=8):
    """What the loader puts on the write bus: (target, unit, address, data)."""
    for pe, entries in enumerate(filled.weights):
        for i, entry in enumerate(entries.tolist()):
            yield Target.WEIGHT, pe, weight_base + i, entry
    for pe, pointers in enumerate(filled.pointers.tolist()):
        for j, pointer in enumerate(pointers):
            yield Target.POINTER, pe, pointer_base + j, pointer
    for code, weight in enumerate([] if codebook is None else codebook):
        yield Target.CODEBOOK, 0, slot << code_bits | code, int(weight) & 0xFF


async def load(ctx, bus, items):
    """Put the writes on the bus, and let the last arrive."""
    ctx.set(bus.valid, 1)
    for target, unit, address, data in items:
        ctx.set(bus.target, target)
        ctx.set(bus.unit, unit)
        ctx.set(bus.address, address)
        ctx.set(bus.data, data)
        await ctx.tick()
    ctx.set(bus.valid, 0)
    await ctx.tick().repeat(3)


def simulate(dut, *benches, processes=(), watchers=()):
    """Run the testbenches to their ends; the watchers see a cycle before them."""
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for watcher in watchers:
        sim.add_testbench(watcher, background=True)
    for process in processes:
        sim.add_process(process)
    for bench in benches:
        sim.add_testbench(bench)
    sim.run()
