import numpy as np
import pytest

from prunus.compiler.assign import assign_rows


@pytest.mark.parametrize("outputs, pes, lanes", [(1, 1, 1), (7, 8, 8), (130, 8, 4), (1000, 64, 8)])
@pytest.mark.parametrize("slack", [0, 3])
def test_every_output_has_its_own_accumulator(outputs, pes, lanes, slack):
    rng = np.random.default_rng(outputs)
    work = rng.integers(0, 50, outputs)
    in_lane = -(-outputs // lanes)
    most = -(-in_lane // (pes // lanes)) + slack
    pe, row = assign_rows(work, pes, lanes, most)
    assert (pe % lanes == np.arange(outputs) % lanes).all()
    assert pe.max() < pes and row.max() < most
    assert len({*zip(pe.tolist(), row.tolist(), strict=True)}) == outputs
    for index in range(pes):
        mine = row[pe == index]
        assert mine.tolist() == list(range(len(mine)))


def test_rows_that_are_alike_are_balanced():
    """1000 rows do not divide by 64 PEs: the PEs with one more row get the lighter ones."""
    work = np.random.default_rng(0).binomial(4096, 0.25, 1000)
    pe, _ = assign_rows(work, 64, 1, 16)
    loads = np.bincount(pe, weights=work)
    assert loads.max() < 1.01 * loads.mean()
    assert set(np.bincount(pe)) == {15, 16}


def test_one_heavy_row():
    pe, _ = assign_rows(np.array([100, 1, 1, 1, 1, 1]), 2, 1, 5)
    assert np.bincount(pe, weights=[100, 1, 1, 1, 1, 1]).max() == 100


def test_refuses_too_many_outputs():
    with pytest.raises(ValueError, match=r"^work must be at most 8 outputs, not 9$"):
        assign_rows(np.ones(9, int), 4, 2, 2)
