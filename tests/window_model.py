"""Drives a window engine in Amaranth's simulator, and says what it must answer."""

import numpy as np
from eie_model import serve, simulate

from prunus.hw.bus import Target
from prunus.hw.config import Config
from prunus.hw.isa import Mode
from prunus.hw.window.engine import WindowEngine
from prunus.sim.fixed_point import divide_by_pot, high_mul

LIMIT = 40000  # cycles any one wait may take


def small(**fields):
    """A configuration that simulates fast."""
    sizes = dict(lanes=2, act_word=4, act_depth=256, channel_depth=64, window=True)
    sizes |= fields
    return Config(pes=sizes["lanes"], **sizes)


def memory(tensor, config, base, rng, contents):
    """Put a tensor (h, w, c) into the activation memory; returns the words of a pixel."""
    height, width, channels = tensor.shape
    size = config.act_word
    pitch = -(-channels // size)
    padded = rng.integers(-128, 128, (height * width, pitch * size), dtype=np.int8)
    padded[:, :channels] = tensor.reshape(-1, channels)
    for i, word in enumerate(padded.reshape(-1, size)):
        contents[base + i] = int.from_bytes(word.tobytes(), "little")
    return pitch


def window(tensor, config, kernel, stride, padding, **fields):
    """The layer that slides a window over a tensor (h, w, c), which begins at ``in_base``."""
    height, width, channels = tensor.shape
    top, bottom, left, right = padding
    pitch = -(-channels // config.act_word)
    lines = (height + top + bottom - kernel[0]) // stride[0] + 1
    columns = (width + left + right - kernel[1]) // stride[1] + 1
    return dict(
        in_base=0, in_zero=0, in2_base=0, outputs=channels, blocks=pitch,
        line_bytes=width * pitch, in_height=height,
        pad_x=left * pitch, pad_y=top, step_x=stride[1] * pitch, step_y=stride[0],
        tap_x=pitch, tap_y=1, taps_x=kernel[1], taps_y=kernel[0],
        out_base=0, out_width=columns, out_pixels=lines * columns, out_words=pitch,
        mode=Mode.SUM, half=0,
    ) | fields  # fmt: skip


def beats(totals, layer, config):
    """What the vector unit is given for the sums (pixels, channels): lanes that count."""
    expected = []
    for block in range(layer["blocks"]):
        for pixel, total in enumerate(totals.tolist()):
            for beat in range(config.groups):
                channel = block * config.groups + beat
                sums = total[channel * config.lanes : (channel + 1) * config.lanes]
                if sums:
                    address = layer["out_base"] + pixel * layer["out_words"] + block
                    expected.append((channel, address, beat, sums))
    return expected


def computed_table(zero, multiplier, shift):
    """A computed table, from x = -128 on."""
    steps = (np.arange(-128, 128, dtype=np.int64) - zero) << 20
    return divide_by_pot(high_mul(steps, multiplier), shift)


def cycles(layer, config):
    """Cycles of the taps of a layer, and of the beats of its last pixel."""
    taps = 1 if layer["mode"] == Mode.LUT else 2
    if layer["mode"] in (Mode.SUM, Mode.MAX):
        taps = layer["taps_x"] * layer["taps_y"]
    total, before = 0, 1
    for block in range(layer["blocks"]):
        left = -(-layer["outputs"] // config.lanes) - block * config.groups
        for _ in range(layer["out_pixels"]):
            total += max(taps, before)
            before = min(config.groups, left)
    return total + before


def table_writes(slot, entries):
    """The writes of a slot's entries, from x = -128 on."""
    for x, entry in zip(range(-128, 128), entries, strict=True):
        yield Target.TABLE, 0, slot << 8 | (x & 0xFF), int(entry) & 0xFF


def run(config, steps, contents, writes=()):
    """What an engine answers to descriptors: beats of each ``WINDOW``, and its cycles until done.

    A step is a layer, or ("table", layer).
    """
    dut = WindowEngine(config)
    results = []

    async def wait(ctx, condition, collected=None, pulses=None):
        for cycle in range(LIMIT):
            if ctx.get(dut.sums.valid):
                p = ctx.get(dut.sums.p)
                item = (p.channel, p.address, p.group, [p.sums[n] for n in range(config.lanes)])
                assert collected is not None, "a beat outside of a layer"
                collected.append(item)
            if pulses is not None and ctx.get(dut.computed):
                pulses.append(cycle)
            if condition(ctx):
                return cycle
            await ctx.tick()
        raise TimeoutError("the engine never ended")

    async def bench(ctx):
        ctx.set(dut.bus.valid, 1)
        for target, unit, address, entry in writes:
            ctx.set(dut.bus.target, target)
            ctx.set(dut.bus.unit, unit)
            ctx.set(dut.bus.address, address)
            ctx.set(dut.bus.data, entry)
            await ctx.tick()
        ctx.set(dut.bus.valid, 0)
        await ctx.tick().repeat(3)
        for step in steps:
            if isinstance(step, tuple):
                await wait(ctx, lambda c: not c.get(dut.table_busy))
                ctx.set(dut.table_layer, step[1])
                ctx.set(dut.table_start, 1)
                await ctx.tick()
                ctx.set(dut.table_start, 0)
                # The fields go away with the descriptor.
                ctx.set(dut.table_layer, {"half": 1 - step[1]["half"], "multiplier": 3})
                continue
            assert ctx.get(dut.done)
            ctx.set(dut.layer, step)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            assert not ctx.get(dut.done)
            collected, pulses = [], []
            cycle = 1 + await wait(ctx, lambda c: c.get(dut.done), collected, pulses)
            assert len(pulses) == 1
            results.append((collected, cycle))

    simulate(dut, bench, processes=[serve(contents)(dut)])
    return results


def check(found, totals, layer, config):
    """Equality of the beats with those of the sums (pixels, channels)."""
    collected, _ = found
    counted = [
        (channel, address, group, sums[: max(0, layer["outputs"] - channel * config.lanes)])
        for channel, address, group, sums in collected
    ]
    assert counted == beats(totals, layer, config)
