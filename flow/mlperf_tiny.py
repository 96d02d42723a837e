"""Which of MLPerf Tiny's models the boards hold: a table that is kept.

It is what :mod:`.fit` says, which counts memory and multipliers and estimates logic, with the
weights not in block RAM but brought by the host. ``python benchmarks/fits.py --write`` renews it.
"""

import json
from pathlib import Path
from typing import Any

__all__ = ["MODELS", "TABLE", "fits"]

MODELS = {
    "kws": "models/kws/kws_ref_model.tflite",
    "ic": "models/ic/pretrainedResnet_quant.tflite",
    "vww": "models/vww/vww_96_int8.tflite",
    "ad": "models/ad/ad01_int8.tflite",
}
TABLE = Path(__file__).with_suffix(".json")


def fits() -> dict[str, dict[str, dict[str, Any]]]:
    """For each board and model ``cycles``, predicted, or ``refused``, why it does not fit."""
    table: dict[str, dict[str, dict[str, Any]]] = json.loads(TABLE.read_text())
    return table
