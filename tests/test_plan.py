"""Where the plan puts things, and what it refuses."""

import numpy as np
import pytest
from networks import random_network

from prunus.compiler.allocate import Span, allocate
from prunus.compiler.assign import assign_rows
from prunus.compiler.plan import Options, default_lanes, plan


def test_live_tensors_never_share_words():
    rng = np.random.default_rng(0)
    for _ in range(50):
        spans = []
        for n in range(12):
            first = int(rng.integers(0, 10))
            spans.append(
                Span(f"t{n}", int(rng.integers(1, 9)), first, first + int(rng.integers(4)))
            )
        bases, words = allocate(spans)
        used = np.zeros((14, words), int)
        for span in spans:
            base = bases[span.name]
            used[span.first : span.last + 1, base : base + span.words] += 1
        assert used.max() == 1
        assert words <= sum(span.words for span in spans)


@pytest.mark.parametrize(("pes", "lanes"), [(1, 1), (4, 2), (64, 8), (6, 2)])
def test_rows_are_dealt_evenly(pes, lanes):
    rng = np.random.default_rng(pes)
    work = rng.integers(0, 400, 301)
    pe, row = assign_rows(work, pes, lanes, max_rows=310)
    assert (pe % lanes == np.arange(301) % lanes).all()
    assert len(set(zip(pe.tolist(), row.tolist(), strict=True))) == 301
    for lane in range(lanes):
        load = np.bincount(pe, weights=work, minlength=pes)[lane::lanes]
        assert load.max() - load.min() <= work.max()
    rows = np.bincount(pe, minlength=pes)
    assert [row[pe == n].max(initial=-1) + 1 for n in range(pes)] == rows.tolist()


def test_row_limit_holds_where_work_would_break_it():
    work = np.array([1000] + [0] * 31)
    pe, row = assign_rows(work, 4, 1, max_rows=8)
    assert np.bincount(pe).tolist() == [8, 8, 8, 8]
    with pytest.raises(ValueError, match=r"^work must be at most 32 outputs, not 33$"):
        assign_rows(np.zeros(33, int), 4, 1, max_rows=8)


def test_balance_beats_interleaving():
    work = np.tile([400, 1, 1, 1], 64)  # interleaving over 4 PEs would give one of them all
    pe, _ = assign_rows(work, 4, 1, max_rows=256)
    assert np.bincount(pe, weights=work).max() < 1.01 * work.sum() / 4


def network(*args, **kwargs):
    return random_network(*args, **kwargs)


def test_sparse_only_where_it_pays():
    assert plan(network([64, 64]), Options(pes=4)).layers[0].matrix.dense
    assert not plan(network([64, 64], density=0.1), Options(pes=4)).layers[0].matrix.dense
    assert plan(network([64, 64], density=0.95), Options(pes=4)).layers[0].matrix.dense
    forced = plan(network([64, 64], density=0.1), Options(pes=4, sparse=False))
    assert forced.layers[0].matrix.dense and not forced.config.sparse


@pytest.mark.parametrize(
    "outputs, pes, options, uneven",
    [
        (3, 2, {}, True),
        (4, 2, {}, False),
        (24, 3, {"acc_rows": 7, "act_word": 4}, True),  # a pass of 20, then one of 4
    ],
)
def test_padded_dense_places_hold_zeros(outputs, pes, options, uneven):
    # Two weights, neither of them zero.
    sizes = Options(pes=pes, code_bits=4, sparse=False, **options)
    (layer,) = plan(network([16, outputs], bits=1), sizes).layers
    assert [step.count for step in layer.matrix.passes] == ([20, 4] if options else [outputs])
    assert (0 in layer.matrix.values) == uneven


def test_code_bits_follow_the_weights():
    assert plan(network([30, 30], bits=4), Options(pes=2)).config.code_bits == 4
    assert plan(network([30, 30]), Options(pes=2)).config.code_bits == 8
    with pytest.raises(ValueError, match=r"^code_bits must be at least \d for these weights"):
        plan(network([30, 30]), Options(pes=2, code_bits=3))


def test_lanes_divide():
    for pes in range(1, 257):
        for word in (1, 8, 16):
            lanes = default_lanes(pes, word)
            assert pes % lanes == 0 and word % lanes == 0


def test_passes_cover_every_output():
    placed = plan(network([10, 100], density=0.2), Options(pes=2, acc_rows=8, act_word=4))
    passes = placed.layers[0].matrix.passes
    assert [step.first for step in passes] == list(range(0, 100, 16))
    assert sum(step.count for step in passes) == 100
    assert all(step.rows <= 8 for step in passes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pes": 0}, r"^pes must be 1 to 256, not 0$"),
        ({"pes": 257}, r"^pes must be 1 to 256, not 257$"),
        ({"pes": 1, "acc_rows": 4}, r"^acc_rows must be at least 16, not 4$"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        plan(network([10, 10]), Options(**options))
