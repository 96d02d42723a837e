# amaranth: UnusedElaboratable=no
import doctest

import numpy as np
import pytest
from amaranth import Module
from amaranth.hdl import Assert
from amaranth.sim import Simulator

from prunus.hw import systolic_geometry
from prunus.hw.config import Config
from prunus.hw.systolic.delay import DelayLine
from prunus.hw.systolic.lines import LINE_FIELDS, LineStream
from prunus.hw.systolic_geometry import stream_lines, stream_pitch
from prunus.sim.ops_conv import depthwise_conv_2d, output_size

LIMIT = 20000  # cycles


def small(**fields):
    sizes = dict(
        pes=0, lanes=8, columns=8, act_word=16, act_depth=512, line_depth=40,
        channel_depth=16, record_depth=4, program_depth=2,
    )  # fmt: skip
    return Config(**sizes | fields)


class Layer:
    """A random depthwise layer: its descriptor, the memory it reads, what must come out."""

    def __init__(self, config, rng, size, channels, kernel, stride, padding):
        height, width = size
        (kh, kw), (sh, sw), (top, bottom, left, right) = kernel, stride, padding
        self.config = config
        self.out_height = output_size(height, kh, sh, 1, top, bottom)
        self.out_width = output_size(width, kw, sw, 1, left, right)
        words = -(-channels // config.act_word) + int(rng.integers(2))  # of a pixel
        line_words = width * words + int(rng.integers(2))
        self.in_base = int(rng.integers(20))
        self.blocks = -(-channels // config.columns)
        self.channels = channels
        self.descriptor = dict(
            in_base=self.in_base,
            in_zero=int(rng.integers(-128, 128)),
            columns=stream_lines(self.out_height, kh, sh),
            segments=stream_pitch(width, self.out_width, kw, sw, left),
            line_bytes=line_words * config.act_word,
            in_height=height,
            in_width=width,
            pad_x=left,
            pad_y=top,
            step_x=sw,
            step_y=sh,
            tap_x=words * config.act_word,
            taps_y=kh,
            blocks=self.blocks,
            out_base=int(rng.integers(20)),
            out_width=self.out_width,
            out_pixels=self.out_height * self.out_width,
            out_words=-(-channels // config.act_word) + int(rng.integers(2)),
        )
        assert set(self.descriptor) == set(LINE_FIELDS)
        # What is behind the last channel of a pixel is noise.
        lines = rng.integers(-128, 128, (height, line_words * config.act_word), np.int8)
        pixels = lines[:, : width * words * config.act_word]
        self.x = pixels.reshape(height, width, -1)[:, :, :channels]
        self.memory = {
            self.in_base + i: word.tobytes()
            for i, word in enumerate(lines.reshape(-1, config.act_word))
        }
        self.weights = rng.integers(-127, 128, (kh, kw, self.blocks * config.columns))

    def rows(self, block):
        """The weights of the array, (rows, columns), while it is at work on a block."""
        taps, columns = self.config.line_taps, self.config.columns
        kh, kw, _ = self.weights.shape
        rows = np.zeros((3 * taps, columns), np.int64)
        for ky in range(kh):
            for kx in range(kw):
                rows[taps * (kh - 1 - ky) + kx] = self.weights[
                    ky, kx, block * columns : (block + 1) * columns
                ]
        return rows

    def expected(self, padding):
        """The sums of each window: (channel, address, group) and its sums, in order."""
        config, d = self.config, self.descriptor
        top, bottom, left, right = padding
        image = np.pad(
            self.x.astype(np.int64),
            ((top, bottom), (left, right), (0, 0)),
            constant_values=d["in_zero"],
        )
        sums = depthwise_conv_2d(
            image[None], self.weights[None, :, :, : self.channels], 0,
            (d["step_y"], d["step_x"]),
        )[0].reshape(-1, self.channels)  # fmt: skip
        for block in range(self.blocks):
            for pixel, values in enumerate(sums):
                address = d["out_base"] + pixel * d["out_words"] + block // config.groups
                place = (block, address, block % config.groups)
                yield place, values[block * config.columns : (block + 1) * config.columns].tolist()


def stream(config, layers, *, wait=0, seed=0):
    """Run the layers; for each (lines, tags, takes, cycles): what was presented in each cycle.

    A tile is ready a random number, up to ``wait``, of cycles behind the last that was taken.
    """
    rng = np.random.default_rng(seed)
    dut = LineStream(config)
    results = []
    memory = {}

    async def bench(ctx):
        for layer in layers:
            memory.clear()
            memory.update(layer.memory)
            assert ctx.get(dut.done)
            ctx.set(dut.layer, layer.descriptor)
            ctx.set(dut.start, 1)
            wait_left = int(rng.integers(wait + 1))
            ctx.set(dut.tile_ready, wait_left == 0)
            lines, tags, takes = [], [], []
            cycles = None
            for cycle in range(LIMIT):
                lines.append([list(line) for line in ctx.get(dut.lines)])
                tag = ctx.get(dut.tag)
                if tag.valid:
                    tags.append((cycle, (tag.channel, tag.address, tag.group)))
                if taken := ctx.get(dut.tile_take):
                    assert ctx.get(dut.tile_ready)
                    takes.append(cycle)
                await ctx.tick()
                ctx.set(dut.start, 0)
                if taken:
                    wait_left = int(rng.integers(wait + 1))
                elif wait_left:
                    wait_left -= 1
                ctx.set(dut.tile_ready, wait_left == 0)
                if cycles is None and ctx.get(dut.done):
                    cycles = cycle + 1
                if cycles is not None and cycle > cycles + 3 * config.line_taps:
                    break
            else:
                raise TimeoutError("the stream never ends")
            results.append((np.array(lines, np.int64), tags, takes, cycles))

    async def activations(ctx):
        row = rng.bytes(config.act_word)
        async for _, reset, enable, address in ctx.tick().sample(dut.r_en, dut.r_addr):
            ctx.set(dut.r_data, int.from_bytes(row, "little"))
            if enable and not reset:
                assert address in memory, "read outside of the tensor"
                row = memory[address]

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.add_testbench(activations, background=True)
    sim.run()
    return results


def sums(layer, lines, cycle, block):
    """What the array makes of the lines for output index ``cycle``."""
    taps = layer.config.line_taps
    seen = np.array([lines[cycle + r, r // taps] for r in range(3 * taps)])
    return (layer.rows(block) * seen).sum(axis=0).tolist()


def check(config, cases, *, wait=0, seed=0):
    rng = np.random.default_rng(seed)
    layers = [Layer(config, rng, *case) for case in cases]
    found = stream(config, layers, wait=wait, seed=seed)
    for case, layer, (lines, tags, takes, cycles) in zip(cases, layers, found, strict=True):
        expected = list(layer.expected(case[-1]))
        assert [place for _, place in tags] == [place for place, _ in expected], case
        for (cycle, (block, *_)), (_, values) in zip(tags, expected, strict=True):
            assert sums(layer, lines, cycle, block)[: len(values)] == values, (case, cycle)
        # A block's weights count from its first pixel until that of the next.
        assert len(takes) == layer.blocks
        pixels = layer.descriptor["columns"] * layer.descriptor["segments"]
        for block, cycle in enumerate(takes):
            assert all(
                cycle <= t <= cycle + pixels - 1 for t, (b, *_) in tags if b == block
            ), case  # fmt: skip
        assert cycles == takes[-1] + pixels
        period = max(pixels + config.line_taps, LineStream.LATENCY)
        if not wait:
            assert takes == [LineStream.LATENCY + b * period for b in range(layer.blocks)]
        assert all(b - a >= period for a, b in zip(takes, takes[1:], strict=False))


NONE = (0, 0, 0, 0)
KERNELS = {
    (1, 1): [NONE],
    (3, 3): [NONE, (1, 1, 1, 1), (0, 1, 0, 1)],
    (2, 2): [NONE, (0, 1, 0, 1), (1, 0, 1, 0)],
    (3, 5): [NONE, (1, 1, 2, 2), (0, 1, 1, 2), (2, 2, 4, 4)],
    (1, 3): [NONE, (0, 0, 1, 1), (0, 0, 0, 1)],
    (3, 1): [NONE, (1, 1, 0, 0), (0, 1, 0, 0)],
}
SIZES = ((1, 1), (2, 1), (3, 2), (4, 5), (5, 4), (3, 7), (6, 12))
STRIDES = ((1, 1), (2, 2), (1, 2), (3, 2), (2, 3))


def cases(kernel, paddings, seed, channels):
    """Layers of every size and stride, as far as the kernel fits, with some padding each."""
    rng = np.random.default_rng(seed)
    for size in SIZES:
        for stride in STRIDES:
            for top, bottom, left, right in paddings:
                fits = output_size(size[0], kernel[0], stride[0], 1, top, bottom) > 0
                fits &= output_size(size[1], kernel[1], stride[1], 1, left, right) > 0
                if fits and rng.random() < 0.3:
                    count = int(rng.choice(channels))
                    yield size, count, kernel, stride, (top, bottom, left, right)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k[0]}x{k[1]}")
@pytest.mark.parametrize("lanes", [8, 4])
@pytest.mark.parametrize("wait", [0, 60])
def test_windows_of_every_shape(kernel, lanes, wait):
    config = small(lanes=lanes, columns=lanes)
    some = list(cases(kernel, KERNELS[kernel], lanes + wait, (1, lanes, lanes + 3, 2 * lanes + 1)))
    assert len(some) >= 6
    check(config, some, wait=wait, seed=lanes)


@pytest.mark.parametrize("word, lanes", [(8, 4), (8, 1), (32, 4)])
def test_other_widths_of_the_array(word, lanes):
    config = small(lanes=lanes, columns=lanes, act_word=word, line_depth=20)
    kernel = (3, min(3, config.line_taps))
    paddings = [(1, 1, 1, 1), NONE] if kernel[1] == 3 else [(1, 1, 0, 1), NONE]
    check(config, list(cases(kernel, paddings, word, (1, word + 1, 2 * word)))[:20])


def test_the_longest_lines():
    config = small(line_depth=32, act_depth=1024)
    pitch = config.line_depth - config.line_taps  # with the one padding pixel that lines share
    check(config, [((3, pitch - 1), 11, (3, 3), (1, 1), (1, 1, 1, 1))])


def test_lines_that_no_window_needs_give_none():
    config = small()
    layer = Layer(config, np.random.default_rng(0), (9, 6), 8, (3, 3), (1, 1), NONE)
    layer.descriptor["out_pixels"] -= 2 * layer.out_width
    ((_, tags, _, _),) = stream(config, [layer])
    assert len(tags) == layer.descriptor["out_pixels"]


def test_pitch_is_the_smallest_that_works():
    """With a pixel less, some window sees the image where it should see padding, or another."""
    for width in range(1, 9):
        for kernel in range(1, 6):
            for stride in range(1, 4):
                for left in range(kernel + 2):
                    for right in range(kernel + 2):
                        out = output_size(width, kernel, stride, 1, left, right)
                        if out < 1:
                            continue
                        pitch = stream_pitch(width, out, kernel, stride, left)
                        args = width, out, kernel, stride, left
                        assert seen(pitch, *args), (pitch, *args)
                        if max(left, right) < kernel:
                            assert not seen(pitch - 1, *args), (pitch, *args)


def seen(pitch, width, out_width, kernel, stride, left):
    """Does every window of a line, streamed with this pitch, see its part of the image?"""
    if (out_width - 1) * stride >= pitch:
        return False
    for i in range(out_width):
        for k in range(kernel):
            wanted = x = i * stride + k - left
            if i * stride + k >= pitch:
                x = i * stride + k - pitch - left
                line = 1
            else:
                line = 0
            inside = 0 <= x < width
            if inside != (0 <= wanted < width) or (inside and (line or x != wanted)):
                return False
    return True


def test_geometry_examples():
    assert doctest.testmod(systolic_geometry).failed == 0


@pytest.mark.parametrize("depth", [3, 4, 5, 9, 10, 16, 17])
def test_delays_by_its_length(depth):
    dut = DelayLine(16, depth)
    rng = np.random.default_rng(depth)
    m = Module()
    m.submodules.dut = dut
    given = []

    async def bench(ctx):
        for length in (*range(3, depth + 1), *rng.integers(3, depth + 1, 5).tolist()):
            ctx.set(dut.length, length)
            ctx.set(dut.set, 1)
            await ctx.tick()
            given.append(0)
            ctx.set(dut.set, 0)
            ctx.set(dut.length, 0)
            begin = len(given)
            for _ in range(3 * depth):
                given.append(int(rng.integers(1 << 16)))
                ctx.set(dut.i, given[-1])
                if len(given) - 1 - length >= begin:
                    assert ctx.get(dut.o) == given[-1 - length]
                await ctx.tick()

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("depth", [3, 6, 9])
def test_delay_line_never_reads_the_row_it_writes(depth, monkeypatch):
    from prunus.hw.systolic import delay

    class Watched(delay.Bank):
        def elaborate(self, platform):
            m = super().elaborate(platform)
            clash = self.r_en & self.w_en & (self.r_addr == self.w_addr)
            m.d.sync += Assert(~clash, "row read and written in the same cycle")
            return m

    monkeypatch.setattr(delay, "Bank", Watched)
    test_delays_by_its_length(depth)


def test_refusals():
    with pytest.raises(ValueError, match=r"^depth must be at least 3, not 2$"):
        DelayLine(8, 2)
    with pytest.raises(ValueError, match=r"^line_depth must be at least 6, not 5$"):
        LineStream(small(line_depth=5))
    with pytest.raises(ValueError, match=r"^act_word must be at least 8 with line_depth, not 4$"):
        LineStream(small(lanes=2, columns=2, act_word=4))
