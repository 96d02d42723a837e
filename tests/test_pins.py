"""The board's own top level, simulated at its pins: power-up, loading, inference, and faults."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from int8_graphs import Int8, samples
from networks import random_network
from support import needs_data
from tiny import golden, model

from prunus.boards.registry import BOARDS
from prunus.compiler.plan import Options
from prunus.flow.arrange import arrange_input
from prunus.flow.compile import compile_graph, compile_model
from prunus.flow.pins import build_pins
from prunus.hw.accelerator import Accelerator
from prunus.hw.image import LoadError
from prunus.sim import verilator
from prunus.sim.machine import Machine

SIZES = [20, 9, 5]
OPTIONS = dict(pes=2, lanes=1, queue_depth=1, act_word=2, huffman_bits=8, frame_bytes=16)
MULT18X18D = Path(__file__).parent / "mult18x18d.v"


@pytest.fixture(scope="module")
def build():
    return compile_graph(random_network(SIZES), options=Options(**OPTIONS))


def another_image(build):
    """A good image, but for another configuration."""
    options = Options(**(OPTIONS | {"act_word": 4}))
    other = compile_graph(random_network(SIZES), options=options)
    assert other.config.hash != build.config.hash
    return other.image


def run(model, build, folder, *tests, flash, load_error=0, bit_error=0.0, x=None, other=b""):
    """Run cocotb tests of benches/pins.py; ``flash`` is what the flash holds."""
    if x is None:
        x = np.random.default_rng(5).integers(-128, 128, (6, SIZES[0])).astype(np.int8)
    machine = Machine(build.config, build.image)
    data = {
        "image": build.image.hex(),
        "other": other.hex(),
        "inputs": x.tolist(),
        "outputs": [machine.run(vector).outputs.tolist() for vector in x],
        "frame_bytes": build.config.frame_bytes,
        "lanes": build.config.lanes,
    }
    (folder / "pins.json").write_text(json.dumps(data))
    (folder / "flash.bin").write_bytes(flash)
    env = {"COCOTB_TEST_FILTER": rf"\.({'|'.join(tests)})$", "LOAD_ERROR": str(load_error)}
    results = verilator.run(
        model, "benches.pins", env=env, work_dir=folder,
        plusargs=[f"+bit_ps={round(1e6 * (1 + bit_error))}"],
    )  # fmt: skip
    assert {result.name for result in results} == set(tests)


@pytest.fixture(scope="module")
def icebreaker(build):
    core = Accelerator(dataclasses.replace(build.config, trace=False), image_stream=True)
    return build_pins(BOARDS["icebreaker"], core)


@pytest.mark.parametrize("bit_error", [-0.02, 0.0, 0.02])
def test_power_up_load_infer(icebreaker, build, tmp_path, bit_error):
    tests = "image_from_flash", "host_library"
    run(icebreaker, build, tmp_path, *tests, flash=build.image, bit_error=bit_error)
    times = json.loads((tmp_path / "times.json").read_text())
    assert times["streamed"] < 0.8 * times["sequential"]


def test_faults_on_the_wire(icebreaker, build, tmp_path):
    tests = "damaged_frames", "refused_requests", "noise_on_the_wire"
    run(icebreaker, build, tmp_path, *tests, flash=build.image)


def test_faults_of_images(icebreaker, build, tmp_path):
    other = another_image(build)
    run(icebreaker, build, tmp_path, "images_from_the_host", flash=build.image, other=other)


def test_resets(icebreaker, build, tmp_path):
    tests = "reset_in_mid_inference", "reset_in_a_batch"
    run(icebreaker, build, tmp_path, *tests, flash=build.image)


def test_the_host_beside_the_flash(icebreaker, build, tmp_path):
    run(icebreaker, build, tmp_path, "host_is_faster_than_the_flash", flash=build.image)


@pytest.mark.parametrize("case", ["erased", "another configuration", "a wrong bit"])
def test_faults_of_the_flash(icebreaker, build, tmp_path, case):
    image = build.image
    flash, error = {
        "erased": (b"", LoadError.MAGIC),
        "another configuration": (another_image(build), LoadError.CONFIG),
        "a wrong bit": (image[:-9] + bytes([image[-9] ^ 1]) + image[-8:], LoadError.SECTION_CRC),
    }[case]
    run(icebreaker, build, tmp_path, "image_refused_from_flash", flash=flash, load_error=int(error))


COMPACT = "image_from_flash", "host_library", "damaged_frames", "reset_in_mid_inference"


def test_the_compact_core_on_its_blocks(tmp_path):
    """Multiplier blocks and SPRAM are models of the part's own."""
    g = Int8((8, 6, 3))
    t = g.conv(g.conv(g.x, 8, (3, 3), (2, 2), (1, 1, 1, 1)), 10)
    graph = g.graph(g.fully_connected(g.mean(t, flat=True), 5))
    options = Options(engine="compact", huffman_bits=8, frame_bytes=16)
    build = compile_graph(graph, options=options)
    x = arrange_input(build, samples(graph, 6))
    run(compact(build), build, tmp_path, *COMPACT, flash=build.image, x=x)


@needs_data
def test_kws_from_the_flash(tmp_path):
    """The whole network on an iCE40UP5K, as ``prunus build --image flash`` makes it."""
    board = BOARDS["icebreaker"]
    build, reference = compile_model(model("kws"), board=board), golden("kws")
    assert build.config.compact
    shape = build.graph.tensors[build.graph.inputs[0]].shape
    x = np.stack([reference["s0_in"], reference["s1_in"]]).reshape(-1, *shape)
    x = arrange_input(build, x)
    tests = "image_from_flash", "host_library"
    run(compact(build), build, tmp_path, *tests, flash=build.image, x=x)
    times = json.loads((tmp_path / "times.json").read_text())
    assert max(times["cycles"]) < 250_000


def compact(build):
    core = Accelerator(dataclasses.replace(build.config, trace=False), image_stream=True)
    return build_pins(BOARDS["icebreaker"], core)


@pytest.mark.slow
def test_ulx3s(build, tmp_path):
    """The other family: another PLL, a gated clock in the place of a reset, the flash's clock."""
    core = Accelerator(dataclasses.replace(build.config, trace=False), image_stream=True)
    model = build_pins(BOARDS["ulx3s-12f"], core, sources=(MULT18X18D,))
    tests = "image_from_flash", "host_library", "damaged_frames", "images_from_the_host"
    other = another_image(build)
    run(model, build, tmp_path, *tests, flash=build.image, other=other)
