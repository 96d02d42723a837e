# amaranth: UnusedElaboratable=no
import random

import pytest
from amaranth.sim import Simulator

from prunus.hw.embed.resize import Resize


def beats(packets, size):
    """(bytes, last, bad) of each beat; a packet is bytes and whether it is bad somewhere."""
    for packet, bad in packets:
        parts = [packet[n : n + size] for n in range(0, len(packet), size)]
        for n, part in enumerate(parts):
            yield part, n == len(parts) - 1, bad


def run(i_bytes, o_bytes, packets, *, gaps, stalls, checked=True):
    dut = Resize(i_bytes, o_bytes, checked=checked)
    rng = random.Random(1)
    sent, got = list(beats(packets, i_bytes)), []

    async def testbench(ctx):
        place, offered = 0, False
        for _ in range(4000):
            offered = offered or (place < len(sent) and rng.random() >= gaps)
            part, last, bad = sent[place] if offered else (b"", rng.randrange(2), 1)
            noise = rng.randbytes(i_bytes - len(part))
            ctx.set(dut.i.valid, offered)
            ctx.set(dut.i.p.data, int.from_bytes(part + noise, "little"))
            ctx.set(dut.i.p.top, max(0, len(part) - 1))
            ctx.set(dut.i.p.last, last)
            if checked:
                ctx.set(dut.i.p.bad, bad)
            ctx.set(dut.o.ready, rng.random() >= stalls)
            ports = (dut.i.ready, dut.o.valid & dut.o.ready, dut.o.p)
            _, _, ready, taken, beat = await ctx.tick().sample(*ports)
            if offered and ready:
                place, offered = place + 1, False
            if taken:
                part = beat.data.to_bytes(o_bytes, "little")[: beat.top + 1]
                got.append((part, bool(beat.last), checked and bool(beat.bad)))
            if len(got) == len(list(beats(packets, o_bytes))):
                return
        raise AssertionError(f"{len(got)} beats after 4000 cycles")

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(testbench)
    sim.run()
    return got


@pytest.mark.parametrize("gaps, stalls", [(0, 0), (0.5, 0.1), (0.1, 0.6)])
@pytest.mark.parametrize(
    "i_bytes, o_bytes", [(1, 1), (4, 4), (1, 2), (2, 1), (1, 8), (8, 1), (4, 16), (16, 2)]
)
def test_packets_keep_their_bytes(i_bytes, o_bytes, gaps, stalls):
    rng = random.Random(i_bytes * 100 + o_bytes)
    packets = [(rng.randbytes(n), False) for n in (1, 2, 3, 8, 16, 17, 31, 1, 32, 5)]
    got = run(i_bytes, o_bytes, packets, gaps=gaps, stalls=stalls)
    assert got == list(beats(packets, o_bytes))
    assert got == run(i_bytes, o_bytes, packets, gaps=gaps, stalls=stalls, checked=False)


@pytest.mark.parametrize("i_bytes, o_bytes", [(4, 4), (1, 4), (4, 1)])
def test_bad_reaches_the_end_of_its_packet(i_bytes, o_bytes):
    packets = [(bytes(9), bad) for bad in (False, True, True, False, True, False)]
    assert run(i_bytes, o_bytes, packets, gaps=0, stalls=0) == list(beats(packets, o_bytes))


@pytest.mark.parametrize("sizes", [(0, 1), (3, 4), (4, 6)])
def test_sizes_are_powers_of_two(sizes):
    with pytest.raises(ValueError, match=r"^[io]_bytes must be a power of two, not \d$"):
        Resize(*sizes)
