"""Fitted scikit-learn multi-layer perceptrons, alone or behind a StandardScaler."""

from typing import Any

import numpy as np

from ..ir import Graph, ModelError, Node, Tensor, verify
from ..passes.fold_affine import fold_affine

__all__ = ["from_sklearn"]


def from_sklearn(model: Any) -> Graph:
    """The float graph of an MLPClassifier or MLPRegressor, or of a Pipeline that ends in one.

    A classifier's softmax or logistic closes the graph, so that its output is ``predict_proba``
    (two classes: of the second alone). A StandardScaler in front is folded into the first layer.

    Raises
    ------
    ModelError
        The model is another one, is not fitted, or uses a hidden activation other than relu and
        identity.
    """
    scalers, mlp = [], model
    if type(model).__name__ == "Pipeline":
        *scalers, mlp = (step for _, step in model.steps if step not in (None, "passthrough"))
    kind = type(mlp).__name__
    if kind not in ("MLPClassifier", "MLPRegressor"):
        raise ModelError(f"{kind} is not supported; supported are MLPClassifier and MLPRegressor")
    if not hasattr(mlp, "coefs_"):
        raise ModelError(f"{kind} is not fitted; call fit first")
    if mlp.activation not in ("relu", "identity"):
        raise ModelError(
            f"{kind}: hidden activation {mlp.activation!r} is not supported; "
            "supported are 'relu' and 'identity'"
        )
    if mlp.out_activation_ not in ("identity", "softmax", "logistic"):
        raise ModelError(f"{kind}: output activation {mlp.out_activation_!r} is not supported")
    tensor = Tensor("input", (mlp.coefs_[0].shape[0],))
    builder = _Builder(tensor)
    for number, scaler in enumerate(scalers):
        builder.scaler(number, scaler)
    for number, (weight, bias) in enumerate(zip(mlp.coefs_, mlp.intercepts_, strict=True)):
        consts = {"weight": np.ascontiguousarray(weight.T), "bias": bias.copy()}
        builder.add("dense", f"dense_{number}", (len(bias),), consts=consts)
        if number + 1 < len(mlp.coefs_) and mlp.activation == "relu":
            builder.add("relu", f"relu_{number}", (len(bias),))
    if mlp.out_activation_ != "identity":
        builder.add(mlp.out_activation_, mlp.out_activation_, builder.last.shape)
    graph = Graph(kind, (tensor.name,), (builder.last.name,), builder.tensors, tuple(builder.nodes))
    return verify(fold_affine(verify(graph)))


class _Builder:
    """A chain of nodes; each output is named as its node."""

    def __init__(self, source: Tensor):
        self.last = source
        self.tensors = {source.name: source}
        self.nodes: list[Node] = []

    def add(self, op: str, name: str, shape: tuple[int, ...], **more: Any) -> None:
        self.nodes.append(Node(name, op, (self.last.name,), name, **more))
        self.last = self.tensors[name] = Tensor(name, shape)

    def scaler(self, number: int, scaler: Any) -> None:
        kind = type(scaler).__name__
        if kind != "StandardScaler":
            raise ModelError(f"{kind} in a Pipeline is not supported; supported is StandardScaler")
        if not hasattr(scaler, "n_features_in_"):
            raise ModelError(f"{kind} is not fitted; call fit first")
        (size,) = self.last.shape
        if scaler.n_features_in_ != size:
            raise ModelError(f"{kind} has {scaler.n_features_in_} features, not {size}")
        scale = 1.0 / scaler.scale_ if scaler.with_std else np.ones(size)
        mean = scaler.mean_ if scaler.with_mean else np.zeros(size)
        consts = {"scale": scale, "offset": -mean * scale}
        self.add("affine", f"scaler_{number}", (size,), consts=consts)
