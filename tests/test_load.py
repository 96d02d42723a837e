import numpy as np
import onnx
import pytest
from graphs import float_mlp
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPRegressor
from test_tflite import whole_network

from prunus.compiler.ir import ModelError
from prunus.compiler.load import load_model


def test_every_kind_of_model(tmp_path):
    graph = float_mlp()
    assert load_model(graph) is graph
    path = tmp_path / "NET.TFLITE"
    path.write_bytes(whole_network(np.random.default_rng(0)))
    assert load_model(str(path)).name == "NET"
    proto = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2))],
        [numpy_helper.from_array(np.ones((3, 2), np.float32), "w")],
    )
    onnx.save(helper.make_model(proto, ir_version=8), tmp_path / "net.onnx")
    assert load_model(tmp_path / "net.onnx").name == "net"
    mlp = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1)
    with pytest.warns(Warning):
        mlp.fit(np.zeros((4, 2)), np.zeros(4))
    assert load_model(mlp).name == "MLPRegressor"


@pytest.mark.parametrize(
    "model, message",
    [
        ("net.h5", "^net.h5: a model must be a .tflite, an .onnx or an .npz file$"),
        ("net", "^net: a model must be "),
        (3, "^int is not a model; a path to a .tflite or .onnx file, or a fitted MLP"),
    ],
)
def test_others_are_refused(model, message):
    with pytest.raises(ModelError, match=message):
        load_model(model)
