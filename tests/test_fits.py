"""The table of what the boards hold of MLPerf Tiny is complete, and true."""

import re

import pytest
from support import data_dir, needs_data
from test_benchmarks import load

from prunus.boards.registry import BOARDS
from prunus.flow.mlperf_tiny import MODELS, fits


def test_every_board_and_model_is_in_it():
    table = fits()
    assert list(table) == list(BOARDS)
    for board, entries in table.items():
        assert list(entries) == list(MODELS)
        for entry in entries.values():
            assert ("cycles" in entry) != ("refused" in entry)
            refusal = entry.get("refused", f"{board}: the model needs at least 1 DSP of 0; x")
            assert re.match(rf"{board}: the model needs at least \d+ [A-Z]+ of \d+[,;] ", refusal)


def test_a_refusal_names_a_board_that_takes_it():
    table = fits()
    for entries in table.values():
        for model, entry in entries.items():
            named = re.search(r"; ([\w-]+) would take it$", entry.get("refused", ""))
            assert named is None or "cycles" in table[named[1]][model]


@needs_data
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("ic", "vww") else ())
        for name in MODELS
    ],
)
def test_it_is_true(monkeypatch, model):
    command = load("fits")
    monkeypatch.setattr(command, "MODELS", {model: MODELS[model]})
    table = fits()
    for board, name, entry in command.survey(data_dir() / "mlperf_tiny"):
        assert table[board][name] == entry
