# amaranth: UnusedElaboratable=no
import random

import pytest
from amaranth.sim import Simulator

from prunus.hw.load.bits import BitReader
from prunus.hw.load.fields import FieldReader


def read(width, data, takes, *, extra=b"\xff" * 8, gaps=0.0, seed=0):
    """Windows (as text, for each of `takes`) and how often more was taken than there is.

    Behind the section's `data` come bytes that are not its own.
    """
    dut = BitReader(width)
    rng = random.Random(seed)
    windows, accepted, overruns = [], [], 0
    stream = data + extra

    async def feed(ctx):
        for byte in stream:
            while rng.random() < gaps:
                ctx.set(dut.i.valid, 0)
                await ctx.tick()
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.i.payload, byte)
            for _ in range(40):
                _, _, ready = await ctx.tick().sample(dut.i.ready)
                if ready:
                    accepted.append(byte)
                    break
            else:
                return

    async def take(ctx):
        nonlocal overruns
        ctx.set(dut.length, len(data))
        ctx.set(dut.open, 1)
        await ctx.tick()
        ctx.set(dut.open, 0)
        for amount in takes:
            ctx.set(dut.consume, 0)
            for _ in range(100):
                if ctx.get(dut.ready):
                    break
                await ctx.tick()
                overruns += ctx.get(dut.overrun)
            else:
                raise AssertionError("no bits")
            windows.append((f"{ctx.get(dut.window):0{width}b}", ctx.get(dut.empty)))
            ctx.set(dut.consume, 1)
            ctx.set(dut.amount, amount)
            await ctx.tick()
            overruns += ctx.get(dut.overrun)
        ctx.set(dut.consume, 0)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(take)
    sim.add_testbench(feed, background=True)
    sim.run()
    return windows, overruns, bytes(accepted)


@pytest.mark.parametrize("gaps", [0.0, 0.5])
@pytest.mark.parametrize("width", [8, 9, 10, 12, 15, 16])
def test_windows_are_the_next_bits(width, gaps):
    rng = random.Random(width)
    data = rng.randbytes(60)
    text = "".join(f"{byte:08b}" for byte in data)
    takes, left = [], len(text)
    while left:
        takes.append(min(left, rng.choice([0, 1, 4, 8, width, rng.randrange(width + 1)])))
        left -= takes[-1]
    windows, overruns, accepted = read(width, data, [*takes, 0], gaps=gaps)
    position = 0
    for (window, empty), amount in zip(windows, [*takes, 0], strict=True):
        there = text[position : position + width]
        assert window.startswith(there)
        assert empty == (position == len(text))
        position += amount
    assert overruns == 0
    assert accepted == data


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5])
def test_more_bits_than_there_are(length):
    bits = [1] * (8 * length)
    assert read(8, bytes(length), bits)[1] == 0
    assert read(8, bytes(length), [*bits, 1])[1] == 1
    assert read(8, bytes(length), [8] * length + [8])[1] == 1


def test_skips_the_rest():
    dut = BitReader(8)

    async def testbench(ctx):
        ctx.set(dut.length, 9)
        ctx.set(dut.open, 1)
        await ctx.tick()
        ctx.set(dut.open, 0)
        ctx.set(dut.i.valid, 1)
        count = 0
        for cycle in range(30):
            ctx.set(dut.skip, cycle > 12)
            _, _, ready = await ctx.tick().sample(dut.i.ready)
            count += ready
            assert cycle > 12 or count <= 3
        assert count == 9
        assert ctx.get(dut.ended)
        assert ctx.get(dut.empty)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("width", [7, 17])
def test_width_is_checked(width):
    with pytest.raises(ValueError, match=rf"^width must be 8 to 16, not {width}$"):
        BitReader(width)


def test_fields():
    """Every size, signed and not, in either register."""
    rng = random.Random(0)
    dut = FieldReader(window_bits=8, extra_width=7)
    fields = [(bits, rng.getrandbits(bits), to_extra, signed)
              for bits in range(1, 33) for to_extra in (0, 1) for signed in (0, 1)
              for _ in range(2)]  # fmt: skip
    text = "".join(f"{value:0{bits}b}" for bits, value, _, _ in fields) + "0" * 8

    async def testbench(ctx):
        position = 0
        for bits, value, to_extra, signed in fields:
            before = ctx.get(dut.value)
            ctx.set(dut.ready, 1)
            ctx.set(dut.window, int(text[position : position + 8], 2))
            ctx.set(dut.read, 1)
            ctx.set(dut.bits, bits)
            ctx.set(dut.to_extra, to_extra)
            ctx.set(dut.signed, signed)
            await ctx.tick()
            ctx.set(dut.read, 0)
            for _ in range(100):
                if not ctx.get(dut.busy):
                    break
                ready = rng.randrange(2)
                ctx.set(dut.ready, ready)
                ctx.set(dut.window, int(text[position : position + 8], 2) if ready else 0x5A)
                if ctx.get(dut.consume):
                    position += ctx.get(dut.amount)
                await ctx.tick()
            assert not ctx.get(dut.busy)
            if to_extra:
                assert (ctx.get(dut.extra) ^ value) & (1 << min(bits, 7)) - 1 == 0
                assert ctx.get(dut.value) == before
            else:
                number = value - (value >> (bits - 1) << bits) if signed else value
                assert ctx.get(dut.number) == number & 0xFFFFFFFF
                assert signed or ctx.get(dut.value) == value
        assert position == len(text) - 8

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
