# amaranth: UnusedElaboratable=no
import random

import pytest
from amaranth.sim import Simulator
from host_model import small_config

from prunus.hw.embed.port import EmbedPort
from prunus.hw.embed.registers import find
from prunus.hw.host.protocol import State

IMAGE = bytes(range(1, 24))  # a loader of the bench takes any image of that size
CONFIGS = {
    "one lane": dict(lanes=1, act_word=1, pes=4),
    "two lanes": dict(lanes=2, act_word=8),
    "a word is a group": dict(lanes=4, act_word=4),
    "systolic array": dict(lanes=2, act_word=16, columns=2, pes=0),
}


class Bench:
    """A port among a loader, an engine and a memory; output byte n is input byte n plus n + 1."""

    input_base, input_bytes = 3, 21
    output_base, output_bytes = 5, 19  # overlaps the input

    def __init__(self, config, stream_bytes, *, seed=0, gaps=0.0, stalls=0.0, rom=False):
        self.config, self.size = config, stream_bytes
        self.dut = EmbedPort(config, stream_bytes=stream_bytes, rom=rom)
        self.rng = random.Random(seed)
        self.gaps, self.stalls = gaps, stalls
        self.memory = bytearray(self.rng.randbytes(config.act_depth * config.act_word))
        self.image, self.runs, self.packets = bytearray(), 0, []
        self.load_done = False

    def output(self, packet):
        return bytes((packet[n] + n + 1) & 0xFF for n in range(self.output_bytes))

    def beats(self, packets):
        for packet in packets:
            for n in range(0, len(packet), self.size):
                part = packet[n : n + self.size]
                yield part, n + self.size >= len(packet)

    async def cycle(self, ctx, offered=None, *, access=None):
        """One cycle of everything around the port; whether the beat offered was taken."""
        dut, config, rng = self.dut, self.config, self.rng
        part, last = offered or (b"", 0)
        filler = rng.randbytes(self.size - len(part))
        ctx.set(dut.i.valid, offered is not None)
        ctx.set(dut.i.p.data, int.from_bytes(part + filler, "little"))
        ctx.set(dut.i.p.top, max(0, len(part) - 1))
        ctx.set(dut.i.p.last, last)
        ctx.set(dut.o.ready, rng.random() >= self.stalls)
        ctx.set(dut.image.ready, rng.random() >= self.stalls)
        ctx.set(dut.load_done, self.load_done)
        ctx.set(dut.r_data, self.late.pop(0))
        ctx.set(dut.busy, 0 < self.busy_left < 9)
        ctx.set(dut.registers.valid, access is not None)
        if access is not None:
            register, value = access
            ctx.set(dut.registers.address, find(register).address)
            ctx.set(dut.registers.write, value is not None)
            ctx.set(dut.registers.w_data, value or 0)
            ctx.set(dut.registers.w_strobe, 0xF)
        ports = (
            dut.i.ready, dut.o.valid & dut.o.ready, dut.o.p, dut.image.valid & dut.image.ready,
            dut.image.payload, dut.restart, dut.start, dut.w_en, dut.w_addr, dut.w_group,
            dut.w_data, dut.r_en, dut.r_addr,
        )  # fmt: skip
        _, _, ready, sent, beat, byte_sent, byte, restart, start, *memory = await ctx.tick().sample(
            *ports
        )
        w_en, w_addr, w_group, w_data, r_en, r_addr = memory
        # The loader.
        self.load_done = self.load_done or len(self.image) == len(IMAGE)
        if restart:
            assert not byte_sent
            self.image.clear()
            self.load_done = False
        if byte_sent and not self.load_done:
            self.image.append(byte)
        # The engine.
        assert not (self.busy_left and (w_en or r_en or restart))
        if self.busy_left:
            self.busy_left -= 1
            if not self.busy_left:
                self.run()
        if start:
            self.busy_left = 9
        # The memory, whose data holds until the next read.
        word = config.act_word
        self.late.append(self.late[-1] if self.late else self.held)
        if r_en:
            read = self.memory[r_addr * word : (r_addr + 1) * word]
            self.late[-1] = int.from_bytes(read, "little")
        self.held = self.late[-1]
        if w_en:
            place = w_addr * word + w_group * config.lanes
            self.memory[place : place + config.lanes] = w_data.to_bytes(config.lanes, "little")
        if sent:
            self.got += beat.data.to_bytes(self.size, "little")[: beat.top + 1]
            if beat.last:
                self.packets.append(bytes(self.got))
                self.got.clear()
            else:
                assert beat.top == self.size - 1
        return ready and offered is not None

    def run(self):
        self.runs += 1
        word = self.config.act_word
        start, target = self.input_base * word, self.output_base * word
        padded = -(-self.input_bytes // self.config.lanes) * self.config.lanes
        vector = self.memory[start : start + padded]
        assert not any(vector[self.input_bytes :])
        self.memory[target : target + self.output_bytes] = self.output(vector)

    async def send(self, ctx, packets, cycles=0):
        """Send packets, and wait for a while."""
        for beat in self.beats(packets):
            while self.rng.random() < self.gaps:
                await self.cycle(ctx)
            for _ in range(2000):
                if await self.cycle(ctx, beat):
                    break
            else:
                raise AssertionError("a beat was not taken in 2000 cycles")
        for _ in range(cycles):
            await self.cycle(ctx)

    async def read(self, ctx, register):
        await self.cycle(ctx, access=(register, None))
        return ctx.get(self.dut.registers.r_data)

    async def write(self, ctx, register, *fields):
        mask = sum(find(register)[field].mask for field in fields)
        await self.cycle(ctx, access=(register, mask))

    def simulate(self, script):
        async def testbench(ctx):
            self.late = [0] * self.config.read_latency
            self.held, self.busy_left, self.got = 0, 0, bytearray()
            ctx.set(self.dut.network.input_base, self.input_base)
            ctx.set(self.dut.network.input_bytes, self.input_bytes)
            ctx.set(self.dut.network.output_base, self.output_base)
            ctx.set(self.dut.network.output_bytes, self.output_bytes)
            await script(ctx)

        sim = Simulator(self.dut)
        sim.add_clock(1e-8)
        sim.add_testbench(testbench)
        sim.run()


@pytest.mark.parametrize(
    "stream_bytes, gaps, stalls", [(1, 0, 0), (4, 0, 0), (4, 0.3, 0.5), (32, 0.1, 0.3)]
)
@pytest.mark.parametrize("name", CONFIGS)
def test_image_then_inputs(name, stream_bytes, gaps, stalls):
    bench = Bench(small_config(**CONFIGS[name]), stream_bytes, gaps=gaps, stalls=stalls)
    inputs = [bench.rng.randbytes(bench.input_bytes) for _ in range(3)]
    wrong = [inputs[0][:n] for n in (1, 20)] + [inputs[0] + bytes(n) for n in (1, 40)]

    async def script(ctx):
        assert await bench.read(ctx, "STATUS") == State.EMPTY
        await bench.send(ctx, [IMAGE], 100)
        assert bench.image == IMAGE
        assert await bench.read(ctx, "STATUS") == State.READY
        await bench.send(ctx, [inputs[0], *wrong, *inputs[1:]], 300)

    bench.simulate(script)
    assert bench.runs == len(inputs)
    assert bench.packets == [bench.output(packet) for packet in inputs]


def test_the_next_input_is_received_while_the_output_waits():
    bench = Bench(small_config(), 4)
    inputs = [bench.rng.randbytes(bench.input_bytes) for _ in range(2)]

    async def script(ctx):
        await bench.send(ctx, [IMAGE], 100)
        bench.stalls = 1.0
        bench.output_bytes = 7  # one word
        ctx.set(bench.dut.network.output_bytes, 7)
        await bench.send(ctx, inputs, 50)
        assert bench.runs == 2 and not bench.packets
        bench.stalls = 0.0
        await bench.send(ctx, [], 50)

    bench.simulate(script)
    assert bench.packets == [bench.output(packet) for packet in inputs]


def test_an_input_is_as_quick_as_its_beats():
    bench = Bench(small_config(lanes=4, act_word=4), 4)

    async def script(ctx):
        await bench.send(ctx, [IMAGE], 100)
        await bench.write(ctx, "CONTROL", "hold")
        await bench.send(ctx, [bytes(bench.input_bytes)], 2)
        assert await bench.read(ctx, "STATUS") & find("STATUS")["waiting"].mask

    bench.simulate(script)


def test_image_in_rom_comes_first():
    bench = Bench(small_config(), 4, rom=True)
    packet = bench.rng.randbytes(bench.input_bytes)

    async def script(ctx):
        for _ in range(50):
            assert not await bench.cycle(ctx, (packet[:4], False)) or bench.image == b""
        assert await bench.read(ctx, "STATUS") == State.LOADING
        bench.load_done = True
        await bench.send(ctx, [packet[4:]], 100)  # a beat waited
        assert bench.packets == [bench.output(packet)]
        await bench.write(ctx, "CONTROL", "restart")
        await bench.send(ctx, [IMAGE], 100)
        assert bench.image == IMAGE
        await bench.send(ctx, [packet], 100)

    bench.simulate(script)
    assert bench.packets == 2 * [bench.output(packet)]


@pytest.mark.parametrize("when", [0, 1, 2, 5, 8])
def test_what_is_sent_behind_a_clear_is_a_new_packet(when):
    bench = Bench(small_config(), 4)
    packet = bench.rng.randbytes(bench.input_bytes)

    async def script(ctx):
        await bench.send(ctx, [IMAGE], 100)
        for beat in list(bench.beats([packet]))[:-1][:when]:
            await bench.cycle(ctx, beat)
        for _ in range(max(0, when - 6)):
            await bench.cycle(ctx)
        await bench.write(ctx, "CONTROL", "clear")
        await bench.send(ctx, [packet], 100)
        assert await bench.read(ctx, "ERRORS") == 0

    bench.simulate(script)
    assert bench.packets == [bench.output(packet)]


@pytest.mark.parametrize("value", [0, 3, 128])
def test_stream_bytes_are_checked(value):
    with pytest.raises(ValueError, match="^stream_bytes must be a power of two from 1 to 64, not "):
        EmbedPort(small_config(), stream_bytes=value)
