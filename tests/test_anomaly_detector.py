"""MLPerf Tiny's anomaly detector, from its file through the gates, against the reference's outputs.

The 200 samples through the gates are behind the slow marker.
"""

import numpy as np
import pytest
from support import data_dir, needs_data

from prunus.flow.compile import compile_model
from prunus.flow.simulate import simulate

pytestmark = needs_data


@pytest.fixture(scope="module")
def reference():
    with np.load(data_dir() / "mlperf_tiny/golden/ad_int8_golden.npz") as file:
        return dict(file)


def compiled(**settings):
    return compile_model(data_dir() / "mlperf_tiny/models/ad/ad01_int8.tflite", **settings)


def test_two_samples_through_the_gates(reference):
    build = compiled()
    assert build.lossless and build.config.pes == 64
    x = np.stack([reference["s0_in"], reference["s1_in"]]).reshape(2, 640)
    ran = simulate(build, x)
    assert ran.bit_exact, ran.first_mismatches[0]  # every layer equals the graph's
    assert max(ran.cycles) < 6000
    last = "op09_FULLY_CONNECTED"
    stored = np.concatenate([reference[f"s{n}_{last}"] for n in range(2)])
    assert np.array_equal(ran.outputs, stored)


def test_all_samples_through_the_image(reference):
    ran = simulate(compiled(), reference["in"][:200].reshape(200, 640), golden=True)
    assert ran.bit_exact
    assert np.array_equal(ran.outputs, reference["out_ref_first"])


def test_four_bits(reference):
    exact, shared = compiled(), compiled(weight_bits=4)
    assert not shared.lossless and shared.rom_bytes < 0.6 * exact.rom_bytes
    assert all(layer.distinct <= 17 for layer in shared.layers)
    x = reference["in"][:20].reshape(20, 640)
    ran = simulate(shared, x, golden=True)
    assert ran.bit_exact
    error = np.abs(ran.outputs.astype(int) - reference["out_ref_first"][:20]).mean()
    assert 0 < error < 20


@pytest.mark.slow
def test_all_samples_through_the_gates(reference):
    ran = simulate(compiled(), reference["in"][:200].reshape(200, 640))
    assert ran.bit_exact and max(ran.cycles) < 6000
    assert np.array_equal(ran.outputs, reference["out_ref_first"])
