# amaranth: UnusedElaboratable=no
"""The compact core by itself, in Amaranth's simulator, against the functional model."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from int8_graphs import Int8, samples

from prunus.compiler.options import Options
from prunus.flow.arrange import arrange_input
from prunus.flow.compile import compile_graph
from prunus.hw import isa
from prunus.hw.bus import Target
from prunus.hw.compact.core import CompactCore
from prunus.hw.image import MULTIPLIER_BITS, MULTIPLIER_OFFSET
from prunus.sim.machine import Machine

OPTIONS = Options(engine="compact", huffman_bits=8, frame_bytes=64)


def writes(config, memories):
    """(target, unit, address, data) of everything that the loader would write."""
    for address, word in enumerate(memories.tiles):
        for unit, weight in enumerate(word):
            yield Target.TILE, unit, address, int(weight) & 255
    for address, values in enumerate(memories.channel_bias):
        for unit, bias in enumerate(values):
            yield Target.CHANNEL, unit, address, int(bias) & (1 << 32) - 1
    for address in range(config.record_depth):
        for unit in range(config.lanes):
            multiplier = int(memories.record_multiplier[address, unit]) - MULTIPLIER_OFFSET
            shift = int(memories.record_shift[address, unit]) & 63
            yield Target.RECORD, unit, address, shift << MULTIPLIER_BITS | max(0, multiplier)
    raw = b"".join(isa.encode(layer) for layer in memories.program)
    for address in range(len(raw) // 4):
        data = int.from_bytes(raw[4 * address : 4 * address + 4], "big")
        yield Target.PROGRAM, 0, address, data


def run(build, x, watchdog=20000):
    """The whole activation memory behind a run, and its cycles."""
    config, machine = build.config, Machine(build.config, build.image)
    network = machine.memories.network
    dut = CompactCore(config)
    found = np.zeros(config.act_depth * config.act_word, np.int8)
    raw = arrange_input(build, x[None])[0].tobytes().ljust(network.input_bytes + 3, b"\0")
    cycles = []

    async def bench(ctx):
        ctx.set(dut.bus.valid, 1)
        for target, unit, address, data in writes(config, machine.memories):
            ctx.set(dut.bus.target, target)
            ctx.set(dut.bus.unit, unit)
            ctx.set(dut.bus.address, address)
            ctx.set(dut.bus.data, data)
            await ctx.tick()
        ctx.set(dut.bus.valid, 0)
        ctx.set(dut.w_en, 1)
        for half in range(-(-network.input_bytes // 2)):
            ctx.set(dut.w_addr, network.input_base + half // 2)
            ctx.set(dut.w_group, half % 2)
            ctx.set(dut.w_data, int.from_bytes(raw[2 * half : 2 * half + 2], "little"))
            await ctx.tick()
        ctx.set(dut.w_en, 0)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        for _ in range(watchdog):
            await ctx.tick()
            if not ctx.get(dut.busy):
                break
        else:
            raise AssertionError("the core does not end")
        cycles.append(ctx.get(dut.cycles))
        ctx.set(dut.r_en, 1)
        for word in range(config.act_depth):
            ctx.set(dut.r_addr, word)
            await ctx.tick()
            value = ctx.get(dut.r_data).to_bytes(4, "little")
            found[4 * word : 4 * word + 4] = np.frombuffer(value, np.int8)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return found, cycles[0]


def mean():
    """A block's outputs are taken while the next is computed; windows of a single pixel."""
    g = Int8((3, 3, 4), seed=4)
    t = g.conv(g.x, 8, (2, 2), padding=(1, 0, 0, 1))
    return g.graph(g.fully_connected(g.mean(t, flat=True), 5))


def narrow():
    """Layers of one tile a block: they wait for the outputs, which take longer."""
    g = Int8((2, 3, 4), seed=6)
    t = g.conv(g.conv(g.x, 9), 6, (1, 1), rounding="single", per_channel=False)
    return g.graph(g.conv(t, 3, (2, 2)))


@pytest.mark.parametrize("make", [mean, narrow])
def test_equals_the_model(make):
    graph = make()
    build = compile_graph(graph, options=OPTIONS)
    machine = Machine(build.config, build.image)
    for x in samples(graph, 2):
        golden = machine.run(arrange_input(build, x[None])[0])
        found, _ = run(build, x)
        base = machine.memories.network.output_base * build.config.act_word
        size = machine.memories.network.output_bytes
        assert found[base : base + size].tolist() == golden.outputs.tolist()
