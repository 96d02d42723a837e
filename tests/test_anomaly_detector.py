"""MLPerf Tiny's anomaly detector with fewer weights than it came with.

As it came: test_mlperf_tiny.py.
"""

import numpy as np
from support import needs_data
from tiny import golden, model

from prunus.flow.compile import compile_model
from prunus.flow.simulate import simulate

pytestmark = needs_data


def test_four_bits():
    reference = golden("ad")
    exact, shared = compile_model(model("ad")), compile_model(model("ad"), weight_bits=4)
    assert exact.lossless and exact.config.pes == 64
    assert not shared.lossless and shared.rom_bytes < 0.6 * exact.rom_bytes
    assert all(layer.distinct <= 17 for layer in shared.layers)
    x = reference["in"][:20].reshape(20, 640)
    ran = simulate(shared, x, golden=True)
    assert ran.bit_exact
    error = np.abs(ran.outputs.astype(int) - reference["out_ref_first"][:20]).mean()
    assert 0 < error < 20
