# amaranth: UnusedElaboratable=no
"""The single-port memory and the iCE40UP's blocks: equal reads in equal cycles."""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from test_multiplier import Ice40, Placed, ice40_model

from prunus.hw.spram import SPRAM_DEPTH, SinglePort
from prunus.sim import verilator
from prunus.sim.generate import to_verilog

PORTS = ("addr", "en", "w_en", "w_data")


def accesses(width, depth, parts, count, seed):
    """(addr, en, w_en, w_data), among few rows, and what a read gives a cycle later or None."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(depth, min(depth, 9), replace=False).tolist() + [depth - 1]
    part = width // parts
    held = {row: 0 for row in rows}
    for row in rows:  # what was never written is undefined
        yield (row, 1, (1 << parts) - 1, 0), None
    for _ in range(count):
        row, value = int(rng.choice(rows)), int.from_bytes(rng.bytes(width // 8), "little")
        enable = int(rng.integers(0, 4) != 0)
        mask = int(rng.integers(0, 1 << parts)) if rng.integers(0, 2) else 0
        if enable:
            for n in range(parts):
                if mask >> n & 1:
                    where = ((1 << part) - 1) << n * part
                    held[row] = held[row] & ~where | value & where
        yield (row, enable, mask, value), held[row] if enable and not mask else None


@pytest.mark.parametrize(("width", "depth", "parts"), [(8, 2, 1), (32, 100, 4), (12, 5, 3)])
def test_reads_what_was_written(width, depth, parts):
    dut = SinglePort(width=width, depth=depth, parts=parts)
    script = list(accesses(width, depth, parts, 300, seed=width))

    async def bench(ctx):
        expected = None
        for (values, found), _ in zip([*script, ((0, 0, 0, 0), None)], range(400), strict=False):
            for name, value in zip(PORTS, values, strict=True):
                ctx.set(getattr(dut, name), value)
            if expected is not None:
                assert ctx.get(dut.r_data) == expected
            await ctx.tick()
            if values[1]:  # data holds until the next access
                expected = found

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


class Twins(wiring.Component):
    """The memory, and the same on blocks, side by side."""

    def __init__(self, width, depth, parts):
        self.sizes = {"width": width, "depth": depth, "parts": parts}
        super().__init__({
            "addr": In(range(depth)),
            "en": In(1),
            "w_en": In(parts),
            "w_data": In(width),
            "inferred": Out(width),
            "block": Out(width),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        for name, place in (("inferred", None), ("block", Ice40())):
            memory = SinglePort(**self.sizes)
            m.submodules[name] = Placed(memory, place)
            m.d.comb += [getattr(memory, port).eq(getattr(self, port)) for port in PORTS]
            m.d.comb += getattr(self, name).eq(memory.r_data)
        return m


@pytest.mark.parametrize(("width", "depth", "parts"), [(32, SPRAM_DEPTH, 4), (24, 500, 3)])
def test_blocks_equal_inferred(width, depth, parts, tmp_path):
    verilog = to_verilog(Twins(width, depth, parts), "twins")
    assert verilog.count("SB_SPRAM256KA") == 2
    model = verilator.build([verilog, ice40_model("SB_SPRAM256KA")], "twins")
    sizes = {"WIDTH": str(width), "DEPTH": str(depth), "PARTS": str(parts)}
    verilator.run(model, "benches.spram", env=sizes, work_dir=tmp_path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 0, "depth": 4}, r"^width must be positive, not 0$"),
        ({"width": 8, "depth": 1}, r"^depth must be 2 to 16384, not 1$"),
        ({"width": 8, "depth": 20000}, r"^depth must be 2 to 16384, not 20000$"),
        ({"width": 8, "depth": 4, "parts": 3}, r"^parts must divide width \(8\), not 3$"),
    ],
)
def test_refuses(sizes, message):
    with pytest.raises(ValueError, match=message):
        SinglePort(**sizes)
