# amaranth: UnusedElaboratable=no
import random

import pytest
from amaranth.sim import Simulator

from prunus.hw.host.uart import Uart, uart_divisor


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def wave(raw: bytes, divisor: float, *, idle: float = 0.0) -> list[int]:
    """The line's level in every cycle, for a sender with bits of `divisor` cycles."""
    levels, time = [1] * 7, 7.0
    for byte in raw:
        for bit in [0, *((byte >> n) & 1 for n in range(8)), 1]:
            time += divisor
            levels += [bit] * (round(time) - len(levels))
        time += idle
        levels += [1] * (round(time) - len(levels))
    return levels


def receive(divisor: int, levels: list[int]) -> bytes:
    """What a receiver makes of a line."""
    dut = Uart(divisor)
    received = bytearray()

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        for level in [*levels, *[1] * 12 * divisor]:
            ctx.set(dut.rx, level)
            _, _, valid, byte = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                received.append(byte)

    simulate(dut, testbench)
    return bytes(received)


@pytest.mark.parametrize("divisor", [4, 5, 7, 16, 25])
def test_loopback(divisor):
    dut = Uart(divisor)
    raw = bytes([0x00, 0xFF, 0x55, 0xAA, 0x7E, 0x01, 0x80]) + random.Random(1).randbytes(9)
    received = bytearray()
    rng = random.Random(divisor)

    async def testbench(ctx):
        sent, waits = 0, 0
        ctx.set(dut.o.ready, 1)
        for _ in range((len(raw) + 1) * 14 * divisor):
            ctx.set(dut.rx, ctx.get(dut.tx))
            ctx.set(dut.i.valid, sent < len(raw) and not waits)
            ctx.set(dut.i.payload, raw[min(sent, len(raw) - 1)])
            ports = dut.i.valid & dut.i.ready, dut.o.valid, dut.o.payload
            _, _, taken, valid, byte = await ctx.tick().sample(*ports)
            waits = max(0, waits - 1)
            if taken:
                sent += 1
                waits = rng.choice([0, 0, 3, 2 * divisor])
            if valid:
                received.append(byte)

    simulate(dut, testbench)
    assert bytes(received) == raw


def test_sends_ten_bits_a_byte():
    dut = Uart(5)
    levels = []

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, 0x4D)
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        for _ in range(60):
            levels.append(ctx.get(dut.tx))
            await ctx.tick()

    simulate(dut, testbench)
    assert levels == wave(b"\x4d", 5)[7:] + [1] * 10


@pytest.mark.parametrize("divisor", [4, 8, 25])
@pytest.mark.parametrize("error", [-0.02, 0.0, 0.02])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6])
def test_sender_with_another_clock(divisor, error, phase):
    raw = bytes([0x55, 0x00, 0xFF, 0x80]) + random.Random(2).randbytes(8)
    assert receive(divisor, wave(raw, divisor * (1 + error), idle=phase)) == raw


def test_byte_without_stop_bit_is_dropped():
    levels = wave(b"\xa5", 8)
    levels[-8:] = [0] * 60  # a line that stays low is no further byte
    levels += wave(b"\x5a", 8)
    assert receive(8, levels) == b"\x5a"


def test_short_pulse_is_ignored():
    assert receive(8, [1] * 5 + [0] * 2 + wave(b"\xc3", 8)) == b"\xc3"


def test_byte_that_nobody_takes_is_kept_and_the_next_lost():
    dut = Uart(4)

    async def testbench(ctx):
        for level in [*wave(b"\x12\x34", 4), *[1] * 20]:
            ctx.set(dut.rx, level)
            await ctx.tick()
        assert ctx.get(dut.o.valid)
        assert ctx.get(dut.o.payload) == 0x12
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        assert not ctx.get(dut.o.valid)

    simulate(dut, testbench)


@pytest.mark.parametrize(
    "clk_hz, baud, divisor",
    [(12e6, 1e6, 12), (12e6, 3e6, 4), (25e6, 115200, 217), (80e6, 3e6, 27), (48e6, 12e6, 4)],
)
def test_divisor(clk_hz, baud, divisor):
    assert uart_divisor(clk_hz, baud) == divisor


@pytest.mark.parametrize("baud", [0, -1, 4e6, 2.2e6])
def test_rates_that_cannot_be_made(baud):
    with pytest.raises(ValueError, match=r"^baud must "):
        uart_divisor(12e6, baud)


def test_divisor_is_checked():
    with pytest.raises(ValueError, match=r"^divisor must be at least 4, not 3$"):
        Uart(3)
    with pytest.raises(TypeError, match=r"^divisor must be an int, not 4\.0$"):
        Uart(4.0)
