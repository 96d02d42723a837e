# amaranth: UnusedElaboratable=no
"""The compact engine's sixteen products: right, and the same in the same cycles from the blocks."""

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from test_multiplier import Ice40, Placed, ice40_model

from prunus.hw.compact.mac import OUTPUTS, ROWS, MacArray
from prunus.sim import verilator
from prunus.sim.generate import to_verilog

LATENCY = MacArray.LATENCY


def steps(count=3000):
    """(a, load, w): bytes, rows that take weights, and these; ends and random ones."""
    rng = np.random.default_rng(0)
    yield [0] * ROWS, (1 << ROWS) - 1, [0] * OUTPUTS
    for _ in range(count):
        ends = rng.integers(0, 4) == 0
        a = rng.choice([-128, 127], ROWS) if ends else rng.integers(-128, 128, ROWS)
        w = rng.choice([-127, 127], OUTPUTS) if ends else rng.integers(-127, 128, OUTPUTS)
        load = int(rng.integers(0, 1 << ROWS)) if rng.integers(0, 3) == 0 else 0
        yield a.tolist(), load, w.tolist()


def expected(script):
    """The sums of every step."""
    used = np.zeros((ROWS, OUTPUTS), np.int64)
    for a, load, w in script:
        for row in range(ROWS):
            if load >> row & 1:
                used[row] = w
        products = np.array(a)[:, None] * used
        yield [[int(pair.sum()) for pair in np.split(products[:, n], 2)] for n in range(OUTPUTS)]


class Twins(wiring.Component):
    """The array, and the same on blocks, side by side."""

    def __init__(self):
        size = 16 * 2 * OUTPUTS
        super().__init__({
            "a": In(8 * ROWS),
            "load": In(ROWS),
            "w": In(8 * OUTPUTS),
            "inferred": Out(size),
            "block": Out(size),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        for name, place in (("inferred", None), ("block", Ice40())):
            array = MacArray()
            m.submodules[name] = Placed(array, place)
            found = Signal(len(self.inferred), name=f"{name}_found")
            m.d.comb += [
                array.a.as_value().eq(self.a),
                array.load.eq(self.load),
                array.w.as_value().eq(self.w),
                found.eq(array.o.as_value()),
                getattr(self, name).eq(found),
            ]
        return m


def test_blocks_equal_products(tmp_path):
    verilog = to_verilog(Twins(), "twins")
    assert verilog.count("SB_MAC16") == 8
    model = verilator.build([verilog, ice40_model("SB_MAC16")], "twins")
    verilator.run(model, "benches.compact_mac", work_dir=tmp_path)
