# amaranth: UnusedElaboratable=no
"""The flash reader against a flash, however its reader waits."""

import random

import pytest
from amaranth.sim import Simulator
from flash_model import Flash

from prunus.hw.load.flash_reader import FlashReader, flash_timing

OFFSET = 0x123456


def read(dut, flash, cycles, *, stall=0.0, stop=None):
    """The bytes taken, and the cycles in which they were."""
    rng = random.Random(1)
    taken = []

    async def bench(ctx):
        held = None
        for cycle in range(cycles):
            ctx.set(dut.o.ready, int(rng.random() >= stall))
            ctx.set(dut.stop, int(stop is not None and cycle >= stop))
            ctx.set(dut.cipo, flash.cipo(ctx.get(dut.cs), ctx.get(dut.clk), ctx.get(dut.copi)))
            _, _, valid, ready, byte = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload
            )
            assert held is None or (valid and byte == held)
            held = byte if valid and not ready else None
            if valid and ready:
                taken.append((cycle, byte))

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return taken


@pytest.mark.parametrize("stall", [0.0, 0.95])
@pytest.mark.parametrize("command", [0x03, 0x0B])
@pytest.mark.parametrize("half_period, wake_cycles", [(1, 20), (1, 1), (3, 100)])
def test_streams_the_flash(half_period, wake_cycles, command, stall):
    raw = random.Random(half_period).randbytes(5)
    flash = Flash(dict(enumerate(raw, OFFSET)), wake_cycles=wake_cycles)
    dut = FlashReader(OFFSET, half_period=half_period, wake_cycles=wake_cycles, command=command)
    cycles = wake_cycles + (48 + 7 * 8) * 2 * half_period + 60 + (600 if stall else 0)
    taken = read(dut, flash, cycles, stall=stall)
    assert flash.reads == [(command, OFFSET)]
    assert bytes(byte for _, byte in taken[:5]) == raw and len(taken) > 5
    assert all(byte == 0xFF for _, byte in taken[5:])  # what is erased reads as ones
    if not stall:
        gaps = {after[0] - before[0] for before, after in zip(taken, taken[1:], strict=False)}
        assert gaps == {16 * half_period + 1}


@pytest.mark.parametrize("stop", [0, 90, 140, 201, 202])
def test_stops(stop):
    flash = Flash({}, wake_cycles=20)
    taken = read(FlashReader(0, half_period=1, wake_cycles=20), flash, 300, stop=stop)
    assert all(cycle <= max(stop, 140) + 17 for cycle, _ in taken)
    assert flash.ended is not None and flash.ended <= max(stop, 140) + 5


def test_timing():
    assert flash_timing(80e6) == {"half_period": 3, "wake_cycles": 3200}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"offset": 1 << 24}, r"offset must be 0 to 2\*\*24-1, not 16777216"),
        ({"half_period": 0}, "half_period must be positive, not 0"),
        ({"wake_cycles": 0}, "wake_cycles must be positive, not 0"),
        ({"command": 0x6B}, "command must be 0x03 or 0x0B, not 107"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        FlashReader(**({"offset": 0, "half_period": 1, "wake_cycles": 9} | changes))
