"""Whole networks through the embedded accelerator's pins, against the golden model."""

import dataclasses
import importlib.util

import numpy as np
import pytest
from networks import random_network

from prunus.compiler.plan import Options
from prunus.flow.arrange import arrange_input
from prunus.flow.compile import compile_graph
from prunus.flow.simulate import simulate
from prunus.hw.embed.top import BUSES, EmbeddedAccelerator
from prunus.sim import lint, verilator
from prunus.sim.generate import to_verilog
from prunus.sim.machine import Machine

# Sizes, how it is compiled, bus, bits of the streams, image in block RAM.
CASES = {
    "axi 32": ([19, 23, 11], {"pes": 3}, "axi", 32, False),
    "axi 8": ([9, 5, 1], {"pes": 1, "act_word": 4, "queue_depth": 1}, "axi", 8, False),
    "axi 64, rom": ([45, 30, 37], {"pes": 8, "act_word": 8}, "axi", 64, True),
    "wishbone 128": ([33, 23, 50], {"pes": 4, "act_word": 8}, "wishbone", 128, False),
}
SAMPLES = 3


def image_id(image):
    """The CRCs of an image, exclusive-ored."""
    value, place = int.from_bytes(image[12:16], "big"), 16
    while place < len(image):
        place += 8 + int.from_bytes(image[place + 1 : place + 4], "big")
        value ^= int.from_bytes(image[place - 4 : place], "big")
    return value


def write_case(case, path):
    """The model, and its image, inputs and outputs for the bench."""
    sizes, options, bus, bits, rom = CASES[case]
    build = compile_graph(random_network(sizes), options=Options(**options))
    other = compile_graph(random_network(sizes), options=Options(**options | {"pes": 2}))
    x = np.random.default_rng(5).integers(-128, 128, (SAMPLES, sizes[0])).astype(np.int8)
    inputs = arrange_input(build, x)
    np.savez(
        path,
        image=np.frombuffer(build.image, np.uint8),
        foreign=np.frombuffer(other.image, np.uint8),
        image_id=image_id(build.image),
        inputs=inputs,
        outputs=Machine(build.config, build.image).run_batch(inputs).outputs,
        hash=build.config.hash,
        lanes=build.config.lanes,
        act_word=build.config.act_word,
        stream_bytes=bits // 8,
        rom=rom,
        thorough=case == "axi 32",  # every kind of damage
        cycles=simulate(build, x).cycles if case == "axi 32" else (),
    )
    return build


@pytest.mark.skipif(not importlib.util.find_spec("cocotbext"), reason="no cocotbext-axi")
@pytest.mark.parametrize("case", CASES)
def test_answers_like_the_golden_model(case, tmp_path):
    build = write_case(case, tmp_path / "case.npz")
    *_, bus, bits, rom = CASES[case]
    image = build.image if rom else None
    top = f"accelerator_{bus}"
    dut = EmbeddedAccelerator(build.config, image, bus=bus, stream_bits=bits)
    verilog = to_verilog(dut, top)
    assert lint.lint([verilog], top) == []
    model = verilator.build([verilog], top)
    env = {"CASE": str(tmp_path / "case.npz")}
    results = verilator.run(
        model, "benches.embedded", env=env, work_dir=tmp_path, seed=1, timeout=1800
    )
    assert len(results) == 9


@pytest.mark.parametrize("bus", BUSES)
def test_verilog_is_read_by_yosys(bus):
    config = compile_graph(random_network([9, 5, 1]), options=Options(pes=1, act_word=4)).config
    top = f"accelerator_{bus}"
    config = dataclasses.replace(config, trace=True)
    verilog = to_verilog(EmbeddedAccelerator(config, bus=bus, stream_bits=16), top)
    assert verilog == to_verilog(EmbeddedAccelerator(config, bus=bus, stream_bits=16), top)
    assert "trace__valid" in verilog
    assert lint.read_with_yosys([verilog], top) == []
