"""Where the measuring data is, and what to skip without it."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_dir() -> Path | None:
    """The folder of models and data sets; None when there is none."""
    path = Path(os.environ.get("PRUNUS_DATA", ROOT.parent / "shared" / "data"))
    return path if path.is_dir() else None


needs_data = pytest.mark.skipif(data_dir() is None, reason="PRUNUS_DATA has no models")
