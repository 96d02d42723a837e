"""Models are built once, run under cocotb, and fail with the bench's own words."""

import re
import time

import pytest
from amaranth import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from prunus.sim import cplusplus, verilator
from prunus.sim.generate import to_verilog


class Adder(wiring.Component):
    """A stream of pairs in, their sums out, one cycle later; for this test alone."""

    i: In(stream.Signature(data.StructLayout({"a": signed(8), "b": signed(8)})))
    o: Out(stream.Signature(signed(9)))

    def elaborate(self, platform):
        m = Module()
        total = Signal(signed(9), reset_less=True)
        m.d.comb += [self.o.payload.eq(total), self.i.ready.eq(~self.o.valid | self.o.ready)]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            m.d.sync += total.eq(self.i.p.a + self.i.p.b)
        return m


@pytest.fixture(scope="module")
def model():
    return verilator.build([to_verilog(Adder(), "adder")], "adder")


@pytest.mark.parametrize(("gap", "stall"), [("0", "0"), ("0.5", "0"), ("0.3", "0.6")])
def test_a_bench_passes(model, tmp_path, gap, stall):
    env = {"GAP": gap, "STALL": stall}
    (result,) = verilator.run(model, "benches.adder", env=env, work_dir=tmp_path, seed=5)
    assert result.name == "adds"
    assert result.sim_ns >= 2000


def test_a_failure_has_the_message_of_the_bench(model, tmp_path):
    env = {"GAP": "0", "STALL": "0", "BENCH_FAIL": "1"}
    with pytest.raises(verilator.BenchError, match=r"^benches\.adder\.adds: .*sums differ at 199"):
        verilator.run(model, "benches.adder", env=env, work_dir=tmp_path)


def test_a_missing_bench_is_an_error(model, tmp_path):
    with pytest.raises(verilator.BenchError, match="benches.nothing"):
        verilator.run(model, "benches.nothing", work_dir=tmp_path)


def test_a_bench_that_hangs_is_stopped(model, tmp_path):
    env = {"GAP": "0", "STALL": "0"}
    with pytest.raises(verilator.BenchError, match=r"^benches.adder: no end after 0.01 s"):
        verilator.run(model, "benches.adder", env=env, work_dir=tmp_path, timeout=0.01)


def test_an_unchanged_design_is_not_compiled_again(model, monkeypatch):
    for module in (verilator, cplusplus):
        monkeypatch.setattr(module, "call", lambda *_: pytest.fail("a tool was called"))
    again = verilator.build([to_verilog(Adder(), "adder")], "adder")
    assert again.cached
    assert again.executable == model.executable


def test_an_error_names_the_line():
    text = "module top(input clk);\n  assign nothing_here = clk + ;\nendmodule\n"
    with pytest.raises(verilator.BuildError, match=r"top\.v:2:\d+: syntax error") as caught:
        verilator.build([text], "top")
    assert re.match(r"verilator(_bin)?: %Error", str(caught.value))


def test_a_change_is_compiled(model):
    changed = f"{to_verilog(Adder(), 'adder')}// {time.time_ns()}\n"
    other = verilator.build([changed], "adder")
    assert not other.cached
    assert other.executable != model.executable


@pytest.mark.slow  # compiles a second runtime
def test_a_model_with_trace_writes_waves(tmp_path):
    traced = verilator.build([to_verilog(Adder(), "adder")], "adder", trace=True)
    env = {"GAP": "0", "STALL": "0"}
    verilator.run(traced, "benches.adder", env=env, work_dir=tmp_path)
    assert "$enddefinitions" in (tmp_path / "dump.vcd").read_text()


def test_parameters_and_defines_reach_the_design():
    text = """
    module top #(parameter int N = 1, parameter NAME = "none") (input logic clk);
      if (N != 5 || NAME != "five") $error("N is %0d and NAME %s", N, NAME);
    `ifndef GIVEN
      $error("GIVEN is not defined");
    `endif
    endmodule
    """
    verilator.build([text], "top", parameters={"N": 5, "NAME": "five"}, defines={"GIVEN": 1})
    with pytest.raises(verilator.BuildError, match="N is 4 and NAME five"):
        verilator.build([text], "top", parameters={"N": 4, "NAME": "five"}, defines={"GIVEN": 1})


def test_burst_is_checked():
    with pytest.raises(ValueError, match=r"^burst must be positive, and 1 with trace, not 0$"):
        verilator.build([], "top", burst=0)
