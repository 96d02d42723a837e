import dataclasses

import numpy as np
import pytest

from prunus.compiler.assign import assign_rows
from prunus.hw.config import Config
from prunus.sim.eie_core import build_core, run_core
from prunus.sim.eie_fill import dealt, fill

CONFIG = Config(
    pes=8, lanes=4, code_bits=4, weight_depth=4096, pointer_depth=512, acc_rows=20, act_depth=64
)


@pytest.fixture(scope="module")
def model():
    return build_core(CONFIG)


@pytest.mark.parametrize("outputs, columns", [(1, 1), (130, 301)])
@pytest.mark.parametrize("dense", [False, True])
def test_accumulators_of_the_verilog(model, outputs, columns, dense):
    """Twice in a row: the first pass leaves nothing behind."""
    rng = np.random.default_rng(outputs)
    columns = min(columns, 150) if dense else columns
    codes = rng.integers(0, 16, (outputs, columns))
    book = rng.integers(-128, 128, 16)
    book[0] = 0  # what places without an output hold
    kept = None if dense else rng.random((outputs, columns)) < 0.2
    weights = book[codes] if kept is None else np.where(kept, book[codes], 0)
    activations = np.where(rng.random(columns) < 0.5, rng.integers(-128, 128, columns), -7)
    activations[0] = 127
    if dense:
        pe, row = dealt(outputs, CONFIG.pes)
    else:
        pe, row = assign_rows(np.count_nonzero(kept, axis=1), CONFIG.pes, CONFIG.lanes, 20)
    filled = fill(CONFIG, codes, kept, pe, row)
    seen = run_core(
        model, CONFIG, filled, book, activations.astype(np.int8), pe, row, in_zero=-7, passes=2
    )
    expected = (weights @ (activations + 7)).tolist()
    assert seen.sums.tolist() == [expected, expected]
    assert seen.cycles[0] == seen.cycles[1]
    assert seen.drains[0] >= -(-outputs // CONFIG.lanes)


def test_fill_refuses_what_does_not_fit():
    config = dataclasses.replace(CONFIG, weight_depth=2)
    with pytest.raises(ValueError, match=r"^weight_depth must be at least 3, not 2$"):
        fill(config, np.zeros((1, 3), int), None, *dealt(1, 8))
    with pytest.raises(ValueError, match=r"^config must be sparse for a layer with missing"):
        fill(
            dataclasses.replace(CONFIG, sparse=False),
            np.zeros((1, 3), int),
            np.ones((1, 3), bool),
            *dealt(1, 8),
        )
