"""cocotb bench of the deframer: good and damaged frames, read slowly and not always to the end."""

import cocotb
from bench_support import RATES, generators, pulse, settings, until
from cocotb.triggers import RisingEdge
from eie_model import small

from prunus.hw.host import frames
from prunus.sim.benches.streams import Source, start

CONFIG = small(**settings())


def line(rng):
    """Frames of every length, many of them damaged, and noise between them."""
    raw = bytearray()
    for _ in range(60):
        contents = rng.randbytes(rng.randrange(CONFIG.frame_bytes + 8))
        frame = bytearray(frames.encode(contents))
        damage = rng.random()
        if damage < 0.2:
            frame[rng.randrange(len(frame))] = rng.choice([0x7E, 0x7D, rng.randrange(256)])
        elif damage < 0.3:
            del frame[rng.randrange(len(frame))]
        elif damage < 0.4:
            frame += rng.choice([b"\x7e", b"\x7d\x7e", rng.randbytes(3)])
        raw += frame
    return bytes(raw) + b"\x7e" + frames.encode(b"the end")


async def reader(dut, *, rng, stall, found):
    """Reads every frame, or as much of it as it wants: (contents so far, length)."""
    while True:
        await until(dut, dut.frame)
        contents = bytearray([int(dut.op.value), int(dut.tag.value)])
        length = int(dut.left.value)
        wanted = length if rng.random() < 0.7 else rng.randrange(length + 1)
        asked, under_way, arriving = 0, False, False
        while asked < wanted or under_way or arriving:
            assert dut.i__ready.value == 0
            reads = asked < wanted and rng.random() >= stall
            dut.read.value = reads
            await RisingEdge(dut.clk)
            if arriving:
                contents.append(int(dut.data.value))
            arriving, under_way = under_way, reads
            asked += reads
        assert dut.left.value == length - wanted
        found.append((bytes(contents), 2 + length))
        await pulse(dut, dut.done)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def takes_what_the_software_takes(dut, gap, stall):
    rng, _ = generators()
    dut.read.value = dut.done.value = 0
    source = Source(dut, "i", rng=rng, gap=gap)
    await start(dut)
    raw, found = line(rng), []
    software = frames.Deframer(longest=CONFIG.frame_bytes + 2)
    expected = software.push(raw)
    cocotb.start_soon(reader(dut, rng=rng, stall=stall, found=found))
    await source.send(raw)
    while len(found) < len(expected):
        await RisingEdge(dut.clk)
    whole = [
        (frame[: len(contents)], len(frame))
        for frame, (contents, _) in zip(expected, found, strict=True)
    ]
    assert found == whole
    assert dut.dropped.value == software.dropped & 0xFF
