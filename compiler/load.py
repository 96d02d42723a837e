"""Any model that can be taken, as a graph."""

from pathlib import Path
from typing import Any

from .ir import Graph, ModelError

__all__ = ["load_model"]


def load_model(model: Any) -> Graph:
    """The graph of a model file, of a fitted scikit-learn perceptron, or itself.

    Files are ``.tflite``, ``.onnx``, and ``.npz``: a graph as ``prunus compress`` writes it.

    Raises
    ------
    ModelError
        One line that names what was found and what would be accepted.
    """
    # the readers are imported when they are needed: onnx alone takes half a second
    if isinstance(model, Graph):
        return model
    if isinstance(model, str | Path):
        suffix = Path(model).suffix.lower()
        if suffix == ".tflite":
            from .importers.tflite import import_tflite

            return import_tflite(model)
        if suffix == ".onnx":
            from .importers.onnx import import_onnx

            return import_onnx(model)
        if suffix == ".npz":
            from .store import load

            return load(model)
        raise ModelError(f"{model}: a model must be a .tflite, an .onnx or an .npz file")
    if hasattr(model, "get_params"):
        from .importers.sklearn import from_sklearn

        return from_sklearn(model)
    raise ModelError(
        f"{type(model).__name__} is not a model; a path to a .tflite or .onnx file, "
        "or a fitted MLPClassifier or MLPRegressor is"
    )
