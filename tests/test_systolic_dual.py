# amaranth: UnusedElaboratable=no
"""Two products from one block: right, and the same in the same cycles from every block."""

import pytest
from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from dual_model import LATENCY, expected, steps
from test_multiplier import Ecp5, Ice40, Placed, vendor_model

from prunus.hw.systolic.dual import DualMultiplier, pack, products_layout, splits
from prunus.sim import verilator
from prunus.sim.generate import to_verilog


class Products(wiring.Component):
    """``p0`` and ``p1``, put together from whatever the multiplier hands out, a cycle later."""

    def __init__(self, *, split=False, platform=None, shared=None):
        self.split, self.platform, self.shared = split, platform, shared
        others = {
            "turn": In(1),
            "x": In(signed(15)),
            "y": In(signed(14)),
            "product": Out(signed(29)),
        }
        super().__init__({
            **(others if shared else {}),
            "a": In(signed(8)),
            "w0": In(signed(8)),
            "w1": In(signed(8)),
            "load": In(1),
            "p0": Out(signed(16)),
            "p1": Out(signed(16)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        dual = DualMultiplier(split=self.split, shared=self.shared)
        m.submodules.dual = Placed(dual, self.platform)
        m.d.comb += [dual.a.eq(self.a), dual.load.eq(self.load)]
        m.d.comb += [dual.w[name].eq(value) for name, value in pack(self.w0, self.w1).items()]
        if self.shared:
            m.d.comb += [dual.turn.eq(self.turn), dual.x.eq(self.x), dual.y.eq(self.y)]
            m.d.sync += self.product.eq(dual.product)
        late = Signal(products_layout(self.split))
        m.d.sync += late.eq(dual.p)
        if self.split:
            m.d.comb += [
                self.p0.eq((dual.p.high << 10) + late.low),
                self.p1.eq(late.far - dual.p.high),
            ]
        else:
            m.d.comb += [self.p0.eq(late.p0), self.p1.eq(late.p1)]
        return m


@pytest.mark.parametrize("split", [False, True])
def test_products_after_the_latency(split):
    dut = Products(split=split)
    script = list(steps())[: 256 * 12]
    got = []

    async def bench(ctx):
        for a, w0, w1, load in [*script, *[(0, 0, 0, 0)] * LATENCY]:
            for port, value in ((dut.a, a), (dut.w0, w0), (dut.w1, w1), (dut.load, load)):
                ctx.set(port, value)
            await ctx.tick()
            got.append((ctx.get(dut.p0), ctx.get(dut.p1)))

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert got[LATENCY - 1 : -1] == list(expected(script))


@pytest.mark.parametrize(("platform", "split"), [(Ecp5, True), (Ice40, False), (Ice40, True)])
def test_block_equals_products(platform, split, tmp_path):
    assert splits(platform()) == (platform is Ecp5)
    verilog = to_verilog(Products(split=split, platform=platform()), "products")
    assert ("MULT18X18D" if platform is Ecp5 else "SB_MAC16") in verilog
    model = verilator.build([verilog, *vendor_model(platform)], "products")
    verilator.run(model, "benches.dual", work_dir=tmp_path)


@pytest.mark.parametrize(("platform", "split"), [(Ecp5, True), (None, True), (None, False)])
def test_other_products_by_turns(platform, split, tmp_path):
    products = Products(split=split, platform=platform and platform(), shared=(15, 14))
    verilog = to_verilog(products, "products")
    assert verilog.count("MULT18X18D") == (1 if platform else 0)
    models = vendor_model(platform) if platform else []
    model = verilator.build([verilog, *models], "products")
    verilator.run(model, "benches.dual_shared", work_dir=tmp_path)


def test_refuses_factors_that_are_too_wide():
    with pytest.raises(ValueError, match=r"^shared must be widths of 8 to 18, not 19 of y$"):
        DualMultiplier(shared=(15, 19))


def test_refuses_no_terms():
    with pytest.raises(ValueError, match=r"^terms must be positive, not 0$"):
        products_layout(True, 0)
