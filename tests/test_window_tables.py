# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from eie_model import load, simulate, until
from window_model import computed_table, small, table_writes

from prunus.hw.window.tables import Tables

IDLE_LIMIT = 300


def fill(config, commands, writes=()):
    """The contents of both halves after the commands, from x = -128 on, and the cycles of each."""
    dut = Tables(config)
    found = np.zeros((config.act_word, 2, 256), np.int64)
    taken = []

    async def bench(ctx):
        await load(ctx, dut.bus, writes)
        for command in commands:
            assert not ctx.get(dut.busy)
            ctx.set(dut.layer, command)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.layer, {"multiplier": 77, "in_zero": 9, "half": 1 - command["half"]})
            assert ctx.get(dut.busy)
            taken.append(1 + await until(ctx, ~dut.busy, IDLE_LIMIT))
        pairs = [(half, x) for half in range(2) for x in range(-128, 128)]
        for i in range(len(pairs) + Tables.LATENCY):
            if i >= Tables.LATENCY:
                half, x = pairs[i - Tables.LATENCY]
                for n in range(config.act_word):
                    found[n, half, (x + 128 + n) % 256] = ctx.get(dut.o[n])
            if i < len(pairs):
                half, x = pairs[i]
                ctx.set(dut.select, half)
                for n in range(config.act_word):
                    ctx.set(dut.x[n], (x + n) & 0xFF)
            await ctx.tick()

    simulate(dut, bench)
    return found, taken


def command(**fields):
    return dict(multiplier=0, shift=0, slot=0, half=0, in_zero=0) | fields


@pytest.mark.parametrize("zero", [-128, -127, 0, 42, 127])
@pytest.mark.parametrize("multiplier", [1 << 30, (1 << 31) - 1, 1518500250])
def test_computes(zero, multiplier):
    config = small(lanes=1, act_word=1, adder=True)
    shifts = np.random.default_rng(zero + 128).permutation(32)[:2].tolist()
    commands = [
        command(multiplier=multiplier, shift=shift, half=half, in_zero=zero)
        for half, shift in enumerate(shifts)
    ]
    found, taken = fill(config, commands)
    for half, shift in enumerate(shifts):
        assert found[0, half].tolist() == computed_table(zero, multiplier, shift).tolist()
    assert taken == [Tables.CYCLES] * 2


@pytest.mark.parametrize("shift", range(0, 32, 2))
def test_every_shift(shift):
    rng = np.random.default_rng(shift)
    config = small(lanes=1, act_word=1, adder=True)
    fields = [
        dict(multiplier=int(rng.integers(1 << 30, 1 << 31)), in_zero=int(rng.integers(-128, 128)))
        for _ in range(2)
    ]
    fields[1]["multiplier"] &= ~0x3FFFFFF  # with ties
    found, _ = fill(config, [command(half=n, shift=shift + n, **fields[n]) for n in range(2)])
    for n in range(2):
        expected = computed_table(fields[n]["in_zero"], fields[n]["multiplier"], shift + n)
        assert found[0, n].tolist() == expected.tolist()


@pytest.mark.parametrize("adder", [False, True])
def test_copies(adder):
    """Slots into halves, all bytes alike; a later command replaces an earlier one."""
    rng = np.random.default_rng(3)
    config = small(act_word=4, tables=3, adder=adder)
    slots = rng.integers(-128, 128, (3, 256))
    writes = [write for slot in range(3) for write in table_writes(slot, slots[slot])]
    commands = [
        command(slot=0, half=1),
        command(slot=2, half=0, in_zero=-128),
        command(slot=1, half=1, in_zero=5, shift=3),
    ]
    found, taken = fill(config, commands, writes)
    for n in range(4):
        assert found[n, 0].tolist() == slots[2].tolist()
        assert found[n, 1].tolist() == slots[1].tolist()
    assert taken == [Tables.CYCLES] * 3


def test_copies_and_computes():
    config = small(act_word=2, lanes=1, tables=1, adder=True)
    entries = np.random.default_rng(4).integers(-128, 128, 256)
    commands = [command(half=0), command(half=1, multiplier=1 << 30, shift=2, in_zero=-3)]
    found, _ = fill(config, commands, table_writes(0, entries))
    for n in range(2):
        assert found[n, 0].tolist() == entries.tolist()
        assert found[n, 1].tolist() == computed_table(-3, 1 << 30, 2).tolist()


def test_refuses_a_config_without_tables():
    with pytest.raises(ValueError, match=r"^config must have an adder or tables, not neither$"):
        Tables(small())
