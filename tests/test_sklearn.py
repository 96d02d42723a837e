"""Fitted scikit-learn perceptrons: the graph gives what the model predicts."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from prunus.compiler.evaluate import output
from prunus.compiler.importers.sklearn import from_sklearn
from prunus.compiler.ir import ModelError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)) * 3 + 1
CLOSE = {"rtol": 1e-9, "atol": 1e-12}  # sums in another order


def fitted(kind, y, **options):
    model = kind(hidden_layer_sizes=(7, 4), max_iter=2, random_state=0, **options)
    with pytest.warns(Warning):  # not converged, on purpose
        model.fit(X, y)
    return model


@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_classifier(activation):
    model = fitted(MLPClassifier, RNG.integers(0, 3, 60), activation=activation)
    graph = from_sklearn(model)
    assert graph.nodes[-1].op == "softmax"
    np.testing.assert_allclose(output(graph, X), model.predict_proba(X), **CLOSE)


def test_two_classes():
    model = fitted(MLPClassifier, RNG.integers(0, 2, 60))
    graph = from_sklearn(model)
    assert graph.nodes[-1].op == "logistic"
    np.testing.assert_allclose(output(graph, X)[:, 0], model.predict_proba(X)[:, 1], **CLOSE)


@pytest.mark.parametrize("targets", [1, 2])
def test_regressor(targets):
    y = RNG.normal(size=(60, targets))
    model = fitted(MLPRegressor, y if targets > 1 else y[:, 0])
    result = output(from_sklearn(model), X)
    np.testing.assert_allclose(result, model.predict(X).reshape(60, -1), **CLOSE)


@pytest.mark.parametrize("options", [{}, {"with_mean": False}, {"with_std": False}])
def test_scaler_is_folded(options):
    scaler = StandardScaler(**options)
    mlp = MLPRegressor(hidden_layer_sizes=(7,), max_iter=2, random_state=0)
    model = make_pipeline(scaler, mlp)
    with pytest.warns(Warning):
        model.fit(X, X[:, 0])
    graph = from_sklearn(model)
    assert [node.op for node in graph.nodes] == ["dense", "relu", "dense"]
    np.testing.assert_allclose(output(graph, X)[:, 0], model.predict(X), **CLOSE)


def test_other_models_are_refused():
    with pytest.raises(ModelError, match="^LogisticRegression is not supported; supported are MLP"):
        from_sklearn(LogisticRegression())
    with pytest.raises(ModelError, match="^MLPClassifier is not fitted; call fit first$"):
        from_sklearn(MLPClassifier())
    model = fitted(MLPRegressor, X[:, 0], activation="tanh")
    with pytest.raises(
        ModelError, match="^MLPRegressor: hidden activation 'tanh' is not supported"
    ):
        from_sklearn(model)
    model = fitted(MLPRegressor, X[:, 0])
    pipeline = make_pipeline(MinMaxScaler(), model)
    with pytest.raises(ModelError, match="^MinMaxScaler in a Pipeline is not supported"):
        from_sklearn(pipeline)
    with pytest.raises(ModelError, match="^StandardScaler is not fitted"):
        from_sklearn(make_pipeline(StandardScaler(), model))
