# amaranth: UnusedElaboratable=no
"""The systolic array against products of matrices, cycle by cycle."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from prunus.hw.systolic.array import SystolicArray
from prunus.hw.systolic.pe import SystolicPe


def weights(rng, rows, columns):
    """A tile, with the extremes in it: the first weights may be -128."""
    tile = rng.integers(-127, 128, (rows, 2 * columns))
    tile[rng.random(tile.shape) < 0.2] = 127
    tile[rng.random(tile.shape) < 0.2] = -127
    tile[:, :columns][rng.random((rows, columns)) < 0.2] = -128
    return tile


def activations(rng, *shape):
    values = rng.integers(-128, 128, shape)
    values[rng.random(shape) < 0.3] = -128
    return values


class Script:
    """What to present in which cycle, and the outputs that follow."""

    def __init__(self):
        self.inputs = {}
        self.outputs = {}

    def put(self, cycle, **values):
        self.inputs.setdefault(cycle, {}).update(values)

    def load(self, rng, dut, start, tile, gaps):
        """Present the rows of a tile from cycle ``start`` on; returns the earliest swap."""
        for row in reversed(tile):
            if gaps:
                start += int(rng.integers(0, 3))
            self.put(start, w_valid=1, w_data=row.tolist())
            start += 1
        return start - 1 + dut.SETTLE

    def run(self, dut):
        cycles = max(*self.inputs, *self.outputs) + dut.latency + 2
        rng = np.random.default_rng(99)
        widths = {"a": (dut.rows,), "w_data": (2 * dut.columns,)}
        if dut.line_fed:
            widths["lines"] = (3, dut.columns)
        got = {}

        async def bench(ctx):
            for cycle in range(cycles):
                now = self.inputs.get(cycle, {})
                for name, shape in widths.items():  # noise where nothing is presented
                    value = now.get(name, rng.integers(-128, 128, shape).tolist())
                    ctx.set(getattr(dut, name), value)
                ctx.set(dut.w_valid, now.get("w_valid", 0))
                ctx.set(dut.swap, now.get("swap", 0))
                if "depthwise" in now:
                    ctx.set(dut.depthwise, now["depthwise"])
                if cycle - dut.latency in self.outputs:
                    got[cycle - dut.latency] = [ctx.get(value) for value in dut.o]
                await ctx.tick()

        sim = Simulator(dut)
        sim.add_clock(1e-6)
        sim.add_testbench(bench)
        sim.run()
        assert got == self.outputs


def gemm(rng, dut, script, start, vectors, gaps):
    """Tiles one behind the other, as soon as the contract lets them; returns the cycle after."""
    free, busy = start, start
    for count in vectors:
        tile = weights(rng, dut.rows, dut.columns)
        cycle = max(busy, script.load(rng, dut, free, tile, gaps))
        free = cycle + dut.RELOAD
        for n in range(count):
            if gaps and n:
                cycle += int(rng.integers(0, 2))
            vector = activations(rng, dut.rows)
            script.put(cycle, a=vector.tolist(), swap=n == 0)
            script.outputs[cycle] = (vector @ tile).tolist()
            cycle += 1
        busy = cycle
    return busy


@pytest.mark.parametrize("gaps", [False, True], ids=["dense", "gaps"])
@pytest.mark.parametrize(
    ("rows", "columns", "depthwise", "vectors"),
    [
        (2, 1, False, [1, 2, 3, 9]),
        (4, 2, False, [1, 4, 1, 12, 3]),
        (6, 3, True, [6, 1, 9]),
        (16, 2, True, [1, 16, 20]),
        (3, 8, False, [3, 1, 5, 9]),
    ],
)
def test_matrix_products(rows, columns, depthwise, vectors, gaps):
    rng = np.random.default_rng(rows)
    dut = SystolicArray(rows, columns, depthwise=depthwise, taps=rows // 3 if depthwise else 0)
    script = Script()
    gemm(rng, dut, script, 3, vectors, gaps)
    script.run(dut)


def test_a_tile_every_rows_cycles():
    rng = np.random.default_rng(1)
    dut = SystolicArray(4, 2)
    script = Script()
    end = gemm(rng, dut, script, 0, [1] * 10, gaps=False)
    assert end == 10 * 4 - 1 + dut.SETTLE + 1
    script.run(dut)


def test_swap_without_new_weights():
    rng = np.random.default_rng(2)
    dut = SystolicArray(4, 2)
    script = Script()
    tile = weights(rng, 4, 2)
    cycle = script.load(rng, dut, 0, tile, False)
    for n in range(8):
        vector = activations(rng, 4)
        script.put(cycle + n, a=vector.tolist(), swap=n in (0, 1, 4))
        script.outputs[cycle + n] = (vector @ tile).tolist()
    script.run(dut)


def depthwise(rng, dut, script, start, counts):
    """Streams of lines, new weights for each; returns the cycle after."""
    free, busy = start, start + 2 * dut.columns
    rows, columns = dut.rows, dut.columns
    for count in counts:
        tile = weights(rng, rows, columns)
        cycle = max(busy, script.load(rng, dut, free, tile, False))
        free = cycle + dut.RELOAD
        lines = activations(rng, count + 3 * dut.taps, 3, columns)
        for n in range(count):
            script.put(cycle + n, swap=n == 0, lines=lines[n].tolist())
            sums = [sum(lines[n + row, row // dut.taps] * tile[row, half * columns :][:columns]
                        for row in range(3 * dut.taps)) for half in range(2)]  # fmt: skip
            script.outputs[cycle + n] = np.concatenate(sums).tolist()
        # The values behind the last output's first are those that the next stream begins with.
        for n in range(count, count + 3 * dut.taps):
            script.put(cycle + n, lines=lines[n].tolist())
        busy = cycle + count + 3 * dut.taps
    return busy


@pytest.mark.parametrize(("rows", "columns", "taps"), [(4, 2, 1), (6, 3, 2), (16, 2, 5)])
def test_depthwise(rows, columns, taps):
    rng = np.random.default_rng(rows)
    dut = SystolicArray(rows, columns, depthwise=True, taps=taps)
    script = Script()
    cycle = gemm(rng, dut, script, 0, [5], gaps=False) + dut.latency
    script.put(cycle, depthwise=1)
    cycle = depthwise(rng, dut, script, cycle, [1, 2 * rows, 7]) + dut.latency
    script.put(cycle, depthwise=0)
    gemm(rng, dut, script, cycle + 2 * columns, [3, rows], gaps=False)
    script.run(dut)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 1, "columns": 2}, "rows must be at least 2, not 1"),
        ({"rows": 4, "columns": 0}, "columns must be positive, not 0"),
        (
            {"rows": 8, "columns": 2, "depthwise": True, "taps": 3},
            "taps must be 1 to 2, a third of the rows, not 3",
        ),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        SystolicArray(**arguments)


def test_pe_refuses():
    with pytest.raises(ValueError, match=r"^above must not be negative, not -1$"):
        SystolicPe(-1, split=False)
