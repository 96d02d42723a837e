# amaranth: UnusedElaboratable=no
"""Framer and Deframer, the gates, against the frames of the software."""

import random

import pytest
from amaranth import Module
from amaranth.hdl import Assert
from amaranth.sim import Simulator
from host_model import small_config

from prunus.hw.host import frames
from prunus.hw.host.deframer import Deframer
from prunus.hw.host.framer import Framer

AWKWARD = [
    b"\x7e",
    b"\x7d",
    bytes([0x7E] * 40),
    bytes([0x7D, 0x7E, 0x5E, 0x5D]) * 6,
    b"a",
    bytes(range(256)),
]


def simulate(m, testbench):
    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("gaps, stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.4, 0.4)])
def test_framer(gaps, stalls):
    rng = random.Random(1)
    contents = [*AWKWARD, *(rng.randbytes(rng.randrange(1, 30)) for _ in range(10))]
    beats = [(byte, n == len(c) - 1) for c in contents for n, byte in enumerate(c)]
    wanted = b"".join(frames.encode(c) for c in contents)
    dut = Framer()
    sent = bytearray()

    async def testbench(ctx):
        position, valid, held = 0, False, None
        for _ in range(6 * len(wanted)):
            valid = valid or (position < len(beats) and rng.random() >= gaps)
            byte, last = beats[position] if valid else (rng.randrange(256), rng.randrange(2))
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.p, {"data": byte, "last": last})
            ready = rng.random() >= stalls
            ctx.set(dut.o.ready, ready)
            ports = dut.i.ready, dut.o.valid, dut.o.payload
            _, _, i_ready, o_valid, o_byte = await ctx.tick().sample(*ports)
            assert held is None or (o_valid and o_byte == held)
            held = o_byte if o_valid and not ready else None
            if valid and i_ready:
                position, valid = position + 1, False
            if o_valid and ready:
                sent.append(o_byte)

    simulate(dut, testbench)
    assert bytes(sent) == wanted


def test_framer_sends_a_byte_a_cycle():
    dut = Framer()

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        for n in range(10):
            ctx.set(dut.i.p, {"data": n, "last": n == 9})
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        for _ in range(3):
            assert ctx.get(dut.o.valid)
            await ctx.tick()
        assert ctx.get(dut.o.valid) and ctx.get(dut.o.payload) == frames.FLAG
        await ctx.tick()
        assert not ctx.get(dut.o.valid)

    simulate(dut, testbench)


def receive(raw: bytes, *, frame_bytes=32, gaps=0.0, seed=0, patience=0):
    """What a deframer makes of `raw`: frames read to a random extent, and its counter."""
    dut = Deframer(small_config(frame_bytes=frame_bytes))
    m = Module()
    m.submodules.dut = dut
    m.d.sync += Assert(~(dut.read & (dut.left == 0)))
    rng = random.Random(seed)
    found = []
    dropped = 0

    async def testbench(ctx):
        nonlocal dropped
        sent = 0
        for _ in range(20 * len(raw) + 200):
            valid = sent < len(raw) and rng.random() >= gaps
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload, raw[sent] if valid else rng.randrange(256))
            _, _, ready, frame = await ctx.tick().sample(dut.i.ready, dut.frame)
            sent += valid and ready
            if frame:
                assert not ready
                ctx.set(dut.i.valid, 1)  # must not be taken now
                ctx.set(dut.i.payload, 0x55)
                await ctx.tick().repeat(1 + rng.randrange(1 + patience))
                contents = bytearray([ctx.get(dut.op), ctx.get(dut.tag)])
                length = ctx.get(dut.left)
                for n in range(length + 1):  # a byte is there when the next has been asked for
                    ctx.set(dut.read, n < length)
                    await ctx.tick()
                    if n:
                        contents.append(ctx.get(dut.data))
                    ctx.set(dut.read, 0)
                    while rng.random() < gaps:
                        await ctx.tick()
                    assert ctx.get(dut.left) == max(0, length - 1 - n)
                found.append(bytes(contents))
                ctx.set(dut.done, 1)
                await ctx.tick()
                ctx.set(dut.done, 0)
            elif sent == len(raw):
                await ctx.tick().repeat(3)
                if not ctx.get(dut.frame):
                    break
        assert sent == len(raw)
        dropped = ctx.get(dut.dropped)

    simulate(m, testbench)
    return found, dropped


def expect(raw: bytes, frame_bytes=32):
    software = frames.Deframer(longest=frame_bytes + 2)
    return software.push(raw), software.dropped & 0xFF


@pytest.mark.parametrize("frame_bytes", [16, 32, 256])
@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_deframer_takes_every_length(frame_bytes, gaps):
    rng = random.Random(2)
    sizes = [0, 1, 2, 3, frame_bytes // 2, *range(frame_bytes - 3, frame_bytes + 1), 0]
    contents = [rng.randbytes(2 + size) for size in sizes]
    contents += [b"\x7e" * (2 + size) for size in (0, 1, frame_bytes)]
    raw = b"".join(frames.encode(c) for c in contents)
    assert receive(raw, frame_bytes=frame_bytes, gaps=gaps, patience=5) == (contents, 0)


@pytest.mark.parametrize("size", [33, 34, 35, 36, 37, 64, 65, 100, 300])
def test_deframer_drops_overlong_frames(size):
    good = frames.encode(bytes(range(0x70, 0x70 + 34)))
    raw = good + frames.encode(bytes(range(2 + size) if size < 200 else 2 + size)) + good
    assert receive(raw) == ([bytes(range(0x70, 0x70 + 34))] * 2, 1)


@pytest.mark.parametrize(
    "noise",
    [
        b"x",
        b"\x7d",
        b"noise and more noise",
        b"\x7e\x7d\x7e",
        b"\x7e\x7e\x7e",
        frames.encode(b""),
        frames.encode(b"1"),
        frames.encode(b"cut short")[:-3],
        frames.encode(b"abort")[:-1] + b"\x7d\x7e",
        frames.encode(b"full frame of text, 34 bytes of it")[:-1] + b"!",
    ],
)
def test_deframer_finds_the_next_frame_after(noise):
    good = frames.encode(b"good one") + frames.encode(b"and another")
    raw = noise + good + noise + good
    result = receive(raw)
    assert result == expect(raw)
    assert result[0] == [b"good one", b"and another"] * 2


def test_deframer_drops_every_single_bit_error():
    rng = random.Random(3)
    raw = bytearray()
    good = frames.encode(b"\x03\x7e good")
    for position in range(1, len(good) - 1):
        bad = bytearray(good)
        bad[position] ^= 1 << rng.randrange(8)
        raw += bad + (good if position % 3 else b"")
    assert receive(bytes(raw)) == expect(bytes(raw))


def test_deframer_counts_modulo_256():
    raw = b"\x7ebad" * 300 + frames.encode(b"good")
    assert receive(raw) == ([b"good"], 300 - 256)


@pytest.mark.parametrize("seed", range(4))
def test_deframer_random(seed):
    rng = random.Random(seed)
    raw = bytearray()
    for _ in range(30):
        frame = bytearray(frames.encode(rng.randbytes(rng.randrange(40))))
        if rng.random() < 0.4:
            frame[rng.randrange(len(frame))] = rng.choice([0x7E, 0x7D, rng.randrange(256)])
        if rng.random() < 0.2:
            del frame[rng.randrange(len(frame))]
        raw += frame
    raw += frames.encode(b"the end")
    assert receive(bytes(raw), gaps=0.2, seed=seed, patience=3) == expect(bytes(raw))
