# amaranth: UnusedElaboratable=no
"""What surrounds the accelerator on a board."""

import dataclasses

import pytest
from amaranth.sim import Simulator
from board_support import MHZ, Flashed, Loopback

from prunus.boards.registry import BOARDS
from prunus.boards.top import BoardTop, PowerOnReset
from prunus.hw.bank import Bank


def test_top_refuses():
    with pytest.raises(ValueError, match=r"^clock_hz must be 16 to 275 MHz, not 14 MHz$"):
        BoardTop(BOARDS["icebreaker"], Loopback(), clock_hz=14 * MHZ)
    with pytest.raises(ValueError, match=r"^baud must divide the clock of 3125000 Hz"):
        BoardTop(BOARDS["ulx3s-12f"], Loopback(), clock_hz=3_125_000)
    with pytest.raises(TypeError, match=r"^core must have host_i, host_o, ready, failed, not Bank"):
        BoardTop(BOARDS["ulx3s-12f"], Bank(width=8, depth=2))
    board = dataclasses.replace(BOARDS["icebreaker"], image_offset=None)
    with pytest.raises(ValueError, match=r"^icebreaker has no flash that an image could be read"):
        BoardTop(board, Flashed())


@pytest.mark.parametrize("cycles", [1, 2, 7, 8, 9, 360])
def test_power_on_reset(cycles):
    dut = PowerOnReset(cycles)
    seen = []

    async def bench(ctx):
        for locked, ticks in ((0, 20), (1, cycles + 10), (0, 6), (1, cycles + 10)):
            ctx.set(dut.locked, locked)
            run = []
            for _ in range(ticks):
                run.append(ctx.get(dut.reset))
                await ctx.tick()
            seen.append(run)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    off, on, lost, again = seen
    assert all(off) and lost[:3] == [0, 0, 0] and lost[4:] == [1, 1]
    for run in (on, again):  # two cycles of synchronizer, and one of the output register
        assert run.index(0) == cycles + 3 and not any(run[cycles + 3 :])


def test_power_on_reset_refuses():
    with pytest.raises(ValueError, match=r"^cycles must be positive, not 0$"):
        PowerOnReset(0)
