"""What a user without the extra is told; runs with and without it."""

import importlib.util

import pytest

from prunus.compiler.train.extra import ExtraMissing, need_train


@pytest.mark.parametrize("missing", ["torch", "matplotlib"])
def test_the_missing_package_is_named(monkeypatch, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != missing or None)
    message = f"^training needs {missing}, which is not installed; install it with pip install "
    with pytest.raises(ExtraMissing, match=message):
        need_train("matplotlib")


def test_nothing_is_said_where_all_is_there(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    need_train("matplotlib")
