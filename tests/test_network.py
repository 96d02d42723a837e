"""The harness against a stand-in for the accelerator: what it lets pass, and what it finds."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from prunus.hw.config import Config
from prunus.sim.cplusplus import HDL
from prunus.sim.lint import lint
from prunus.sim.network import LayerSpan, build_harness, simulate
from prunus.sim.verilator import BenchError

MOCK = Path(__file__).parent / "accelerator_mock.sv"
CONFIG = Config(pes=4, lanes=4, act_word=8, act_depth=16, trace=True)
# Layer 3 ends inside a lane group; layer 5 has gaps between its pixels.
LAYERS = [LayerSpan(3, 2, 22), LayerSpan(5, 8, 3, pixels=4, pitch=2)]
SCRIPT = bytes.fromhex("7e09aa557e 7e017e7e017e 7e02037e7e7e 7e017e")
REPLIES = bytes.fromhex("7e097e7e017e7e017e7e027e7e017e")
SAMPLES = 3


def outputs(sample, span):
    """The pixels of layer 5 are a lane group each."""
    place = np.arange(span.bytes) + CONFIG.lanes * np.arange(span.pixels)[:, None]
    return (16 * span.number + place.ravel() + 64 * sample).astype(np.uint8)


def crcs():
    return [
        [zlib.crc32(outputs(sample, span).tobytes()) for span in LAYERS]
        for sample in range(SAMPLES)
    ]


@pytest.fixture(scope="module")
def model():
    return build_harness([MOCK], CONFIG)


def run_mock(model, fault=0, samples=SAMPLES, **options):
    script = bytes((0x7E, 0xF0 + fault, 0x7E)) + SCRIPT
    return simulate(model, script, LAYERS, crcs()[:samples], wait_ready=True, **options)


@pytest.mark.parametrize(("stall", "seed"), [(0.0, 0), (0.5, 1), (0.9, 2)])
def test_a_good_run(model, stall, seed, tmp_path):
    run = run_mock(model, stall=stall, seed=seed, work_dir=tmp_path)
    assert run.replies == bytes.fromhex("7ef07e") + REPLIES
    assert (run.mismatches, run.mismatch_count) == ([], 0)
    # Two passes of 16 cycles, the second ending 11 cycles after its start; then one pass.
    assert run.layer_cycles(SAMPLES, LAYERS).tolist() == [[27, 11]] * SAMPLES
    assert [(t.array, t.drain) for t in run.timings] == [(10, 12), (5, 6)] * SAMPLES
    assert run.timings[0].start < run.timings[1].start < run.timings[2].start < run.cycles


def test_the_same_seed_pauses_the_same_way(model):
    runs = [run_mock(model, stall=0.7, seed=s) for s in (4, 4, 5)]
    assert runs[0].cycles == runs[1].cycles != runs[2].cycles


def test_a_script_may_start_before_the_image_is_loaded(model):
    run = simulate(model, bytes.fromhex("7e097e"), LAYERS, np.zeros((0, 2)))
    assert run.replies == bytes.fromhex("7ebb7e")


def test_a_wrong_byte_is_found_and_the_layer_dumped(model):
    run = run_mock(model, 1)
    (found,) = run.mismatches
    assert (found.sample, found.layer, found.stray, run.mismatch_count) == (1, 3, 0, 1)
    assert np.flatnonzero(found.got != outputs(1, LAYERS[0])).tolist() == [21]
    assert found.got[21] == 0xEE
    assert found.written.all()


def test_a_group_that_was_not_written_is_found(model):
    run = run_mock(model, 2)
    (found,) = run.mismatches
    assert (found.sample, found.layer) == (1, 3)
    assert np.flatnonzero(~found.written).tolist() == [20, 21]


def test_a_stray_write_is_found(model):
    (found,) = run_mock(model, 3).mismatches
    assert (found.sample, found.layer, found.stray) == (1, 3, 1)


def test_a_write_into_the_gap_between_pixels_is_found(model):
    (found,) = run_mock(model, 5).mismatches
    assert (found.sample, found.layer, found.stray) == (1, 5, 1)
    assert np.flatnonzero(~found.written).tolist() == [3, 4, 5]
    assert (found.got == outputs(1, LAYERS[1]))[found.written].all()


def test_a_write_behind_the_last_pixel_is_found(model):
    (found,) = run_mock(model, 6).mismatches
    assert (found.sample, found.layer, found.stray) == (1, 5, 1)
    assert found.written.all()


@pytest.mark.parametrize("span", [LayerSpan(3, 2, 8, 3), LayerSpan(3, 2, 8, 3, 1)])
def test_pixels_without_a_pitch_are_contiguous(model, span):
    """Layer 3 as three pixels of a word each, its last two bytes included."""
    expected = [
        [zlib.crc32(outputs(sample, LayerSpan(3, 2, 24)).tobytes()), crcs()[sample][1]]
        for sample in range(SAMPLES)
    ]
    run = simulate(model, SCRIPT, [span, LAYERS[1]], expected, wait_ready=True)
    assert run.mismatch_count == 0


def test_a_hang_is_ended_by_the_watchdog(model):
    with pytest.raises(
        BenchError,
        match=r"^nothing happened for 500 cycles: in cycle \d+, after 1 of 3 runs and 3 of 6 repl",
    ):
        run_mock(model, 4, watchdog=500)


def test_a_run_too_many_is_an_error(model):
    with pytest.raises(BenchError, match=r"^the network ran more often than 2 times: "):
        run_mock(model, samples=2)


def test_only_so_many_layers_are_dumped(model):
    run = simulate(model, SCRIPT, LAYERS, np.zeros((SAMPLES, 2)), wait_ready=True, dumps=2)
    assert (len(run.mismatches), run.mismatch_count) == (2, 6)


def test_arguments_are_checked(model):
    with pytest.raises(ValueError, match=r"^config.trace must be True, not False$"):
        build_harness([MOCK], Config())
    with pytest.raises(ValueError, match=r"^expected_crcs must be \(samples, 2\), not of shape"):
        simulate(model, SCRIPT, LAYERS, np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"^stall must be at least 0 and below 1, not 1\.0$"):
        run_mock(model, stall=1.0)
    with pytest.raises(ValueError, match=r"^layers must have different numbers$"):
        simulate(model, SCRIPT, [LAYERS[0]] * 2, crcs())
    with pytest.raises(ValueError, match=r"^layers must have bytes and pixels, and a pitch of at"):
        simulate(model, SCRIPT, [LAYERS[0], LayerSpan(5, 0, 4, 0)], crcs())


def test_the_harness_is_clean():
    sizes = {"LANES": 4, "GROUPS": 2, "GROUP_BITS": 1, "DEPTH": 16, "ADDRESS_BITS": 4}
    assert lint([HDL / "harness.sv", MOCK.read_text()], "harness", parameters=sizes) == []
