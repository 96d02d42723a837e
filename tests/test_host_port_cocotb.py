"""The host port's Verilog under Verilator, against the device of host_model.py."""

import pytest
from host_model import small_config

from prunus.hw.host.port import HostPort
from prunus.sim import verilator
from prunus.sim.generate import to_verilog


@pytest.fixture(scope="module", params=[1, 2, 8])
def model(request):
    dut = HostPort(small_config(lanes=request.param, pes=8))
    return request.param, verilator.build([to_verilog(dut, "host_port")], "host_port")


@pytest.mark.parametrize("gap, stall", [("0", "0"), ("0.5", "0.2"), ("0.1", "0.7")])
def test_answers_like_the_model(model, tmp_path, gap, stall):
    lanes, built = model
    env = {"GAP": gap, "STALL": stall, "LANES": str(lanes)}
    (result,) = verilator.run(built, "benches.host_port", env=env, work_dir=tmp_path, seed=lanes)
    assert result.name == "answers_like_the_model"
