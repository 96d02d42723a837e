# amaranth: UnusedElaboratable=no
"""The inverse transforms of a Winograd unit: exact, and in the cycles that they claim."""

import itertools

import numpy as np
import pytest
from amaranth.hdl import Assert, Module
from amaranth.sim import Simulator

from prunus.hw.winograd import serial_inverse
from prunus.hw.winograd.emitter import Emitter
from prunus.hw.winograd.geometry import Geometry
from prunus.hw.winograd.inverse import InverseTransform
from prunus.hw.winograd.serial_inverse import SerialInverseTransform
from prunus.sim.winograd import divide_exactly, input_transform, inverse_transform, kernel_transform


def narrow(value, bits):
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


def groups(geometry, count, seed):
    """Sums of tiles with random inputs and weights, or only extremes; and what comes of them."""
    rng = np.random.default_rng(seed)
    scheme, size, channels = geometry.scheme, geometry.size, geometry.channels
    for n in range(count):
        values = [np.arange(-128, 128), np.array([-128, 127]), np.array([-128])][n % 3]
        d = rng.choice(values, (channels, size, size))
        g = rng.choice(values, (channels, 3, 3))
        sums = (input_transform(scheme, d) * kernel_transform(scheme, g)).sum(0)
        results = divide_exactly(scheme, inverse_transform(scheme, sums), geometry.result_bits)
        yield sums, results.ravel().tolist()


def run(dut, drive, cycles, signal):
    """What ``signal`` is in each cycle, where ``drive`` gives what to set in it."""
    seen = []

    async def bench(ctx):
        for cycle in range(cycles):
            for port, value in drive.get(cycle, ()):
                ctx.set(port, value)
            seen.append([ctx.get(each) for each in signal])
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return seen


@pytest.mark.parametrize("channels", [2, 16, 1024])
@pytest.mark.parametrize(("outputs", "passes"), [(2, 1), (2, 2), (4, 1), (4, 3)])
def test_all_at_once(outputs, passes, channels):
    geometry = Geometry(outputs=outputs, passes=passes, channels=channels)
    dut = InverseTransform(geometry)
    drive, expected, cycle = {}, {}, 3
    for (sums, results), gap in zip(groups(geometry, 12, channels), itertools.cycle([0, 1, 7])):
        values = {
            f"at_{a}_{b}": narrow(int(sums[a, b]), geometry.point_bits(a, b))
            for a, b in itertools.product(range(geometry.size), repeat=2)
        }
        drive[cycle] = [(dut.sums, values), (dut.begin, 1)]
        drive[cycle + 1] = [(dut.begin, 0)]
        for n, result in enumerate(results):
            expected[cycle + geometry.inverse_latency + geometry.pace * n] = result
        cycle += geometry.turn + gap
    seen = run(dut, drive, max(expected) + 1, [dut.o])
    assert {cycle: seen[cycle][0] for cycle in expected} == expected


@pytest.fixture
def watched(monkeypatch):
    """A memory must not be read where it is written."""

    class Watched(serial_inverse.Bank):
        def elaborate(self, platform):
            m = Module()
            m.submodules.bank = super().elaborate(platform)
            m.d.sync += Assert(~(self.r_en & self.w_en & (self.r_addr == self.w_addr)))
            return m

    monkeypatch.setattr(serial_inverse, "Bank", Watched)


@pytest.mark.parametrize("channels", [2, 16, 1024])
@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize("most", [0, 1, 9, 40])
def test_row_by_row(outputs, channels, most, watched):
    """Rows, and groups, follow each other as soon as they may, or up to ``most`` cycles later."""
    geometry = Geometry(outputs=outputs, passes=outputs + 2, channels=channels)
    assert Emitter.AHEAD == SerialInverseTransform.AHEAD
    dut = SerialInverseTransform(geometry)
    rng = np.random.default_rng(most)
    drive, expected, cycle = {}, {}, 3
    ahead = set()
    for sums, results in groups(geometry, 12, channels):
        for row in sums:
            values = {
                f"at_{b}": narrow(int(value), geometry.sum_bits(0, b))
                for b, value in enumerate(row)
            }
            noise = {name: int(rng.integers(-99, 99)) for name in values}
            drive[cycle] = [(dut.sums, values), (dut.take, 1)]
            drive[cycle + 1] = [(dut.sums, noise), (dut.take, 0)]
            taken = cycle
            cycle += geometry.turn + int(rng.integers(0, most + 1))
        first = taken + 1 + geometry.inverse_latency
        ahead.add(first - dut.AHEAD)
        for n, result in enumerate(results):
            expected[first + n] = result
    seen = run(dut, drive, max(expected) + 1, [dut.o, dut.ahead])
    assert {cycle: seen[cycle][0] for cycle in expected} == expected
    assert {cycle for cycle, (_, is_ahead) in enumerate(seen) if is_ahead} == ahead


def test_refuses_more_rows_at_a_time():
    with pytest.raises(ValueError, match="^passes must be 6, not 3$"):
        SerialInverseTransform(Geometry(passes=3))
