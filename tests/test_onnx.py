"""The ONNX importer against ONNX's own evaluator, and a line for everything else."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from prunus.compiler.evaluate import output
from prunus.compiler.importers.onnx import import_onnx, parse
from prunus.compiler.ir import ModelError

RNG = np.random.default_rng(0)


def array(*shape):
    return np.random.default_rng(sum(shape) + len(shape)).normal(size=shape).astype(np.float32)


def model(nodes, consts=None, shape=("n", 6), result=("n", "m"), opset=17, kind=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (consts or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    # the newest opset of an installed onnx may be beyond the IR version of an older one
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def node(op, inputs, outputs="y", name="", **attrs):
    return helper.make_node(op, inputs.split(), outputs.split(), name=name, **attrs)


def check(proto, shape=(6,), ops=None):
    graph = parse(proto.SerializeToString(), "net.onnx")
    x = RNG.normal(size=(5, *shape)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(proto).run(None, {"x": x})
    result = output(graph, x)
    assert result.shape == wanted.shape
    # the evaluator computes in float32, the graph in float64
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)
    if ops:
        assert [item.op for item in graph.nodes] == ops.split()
    return graph


@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("alpha, beta", [(1.0, 1.0), (0.5, -2.0)])
@pytest.mark.parametrize("bias", [(), (4,), (1, 4), (1,), None])
def test_gemm(trans, alpha, beta, bias):
    consts = {"w": array(4, 6) if trans else array(6, 4)}
    if bias is not None:
        consts["b"] = array(*bias) if bias else np.float32(0.7)
    inputs = "x w b" if bias is not None else "x w"
    check(model([node("Gemm", inputs, transB=trans, alpha=alpha, beta=beta)], consts), ops="dense")


@pytest.mark.parametrize("order", ["h b", "b h"])
def test_matmul_and_add(order):
    nodes = [node("MatMul", "x w", "h"), node("Add", order, "s"), node("Relu", "s")]
    check(model(nodes, {"w": array(6, 4), "b": array(4)}), ops="dense relu")


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("order", ["x c", "c x"])
def test_arithmetic_folds_into_the_next_layer(op, order):
    nodes = [node(op, order, "h"), node("MatMul", "h w")]
    proto = model(nodes, {"c": array(6), "w": array(6, 4)})
    if (op, order) == ("Div", "c x"):
        with pytest.raises(ModelError, match="Div: only a division by a constant other than 0"):
            parse(proto.SerializeToString(), "net.onnx")
    else:
        check(proto, ops="dense")


def norm(inputs, outputs="y"):
    return node("BatchNormalization", f"{inputs} g o m v", outputs, epsilon=1e-3)


def norm_consts(size):
    return {"g": array(size), "o": array(1, size)[0], "m": array(size), "v": array(size) ** 2 + 0.1}


def test_batch_normalization_folds():
    w = {"w": array(6, 4)}
    check(model([node("MatMul", "x w", "h"), norm("h")], w | norm_consts(4)), ops="dense")
    check(model([norm("x", "h"), node("MatMul", "h w")], w | norm_consts(6)), ops="dense")
    nodes = [node("Gemm", "x w", "h"), node("Relu", "h", "r"), norm("r", "n"), node("Gemm", "n u")]
    check(model(nodes, w | norm_consts(4) | {"u": array(4, 3)}), ops="dense relu dense")


def test_batch_normalization_over_channels():
    nodes = [norm("x", "h"), node("Flatten", "h", "f"), node("MatMul", "f w")]
    proto = model(nodes, norm_consts(2) | {"w": array(6, 4)}, shape=("n", 2, 3))
    check(proto, shape=(2, 3), ops="reshape dense")


def test_batch_normalization_between_activations_is_refused():
    nodes = [node("Relu", "x", "h"), norm("h", "n"), node("Relu", "n")]
    with pytest.raises(ModelError, match="a scale or an offset must stand beside a dense layer"):
        parse(model(nodes, norm_consts(6)).SerializeToString(), "net.onnx")


@pytest.mark.parametrize("low, high", [(-0.5, 0.5), (0.0, 6.0), (0.0, None), (None, 1.0)])
def test_clip(low, high):
    consts = {"w": array(6, 4)}
    names = ["h"]
    for name, bound in (("lo", low), ("hi", high)):
        names.append(name if bound is not None else "''")
        if bound is not None:
            consts[name] = np.float32(bound)
    clip = helper.make_node("Clip", [n.strip("'") for n in names], ["y"])
    check(model([node("Gemm", "x w", "h"), clip], consts))
    bounds = {k: v for k, v in (("min", low), ("max", high)) if v is not None}
    old = [node("Gemm", "x w", "h"), node("Clip", "h", **bounds)]
    consts = {"w": consts["w"], "b": array(4)}
    old[0] = node("Gemm", "x w b", "h")
    check(model(old, consts, opset=10))


@pytest.mark.parametrize("opset", [10, 12, 13, 17, 21])
@pytest.mark.parametrize("close", ["Softmax", "Sigmoid"])
def test_closing(opset, close):
    attrs = {"axis": 1} if close == "Softmax" and opset < 13 else {}
    nodes = [node("Gemm", "x w b", "h"), node(close, "h", **attrs)]
    check(model(nodes, {"w": array(6, 4), "b": array(4)}, opset=opset))


def test_an_activation_function_inside_is_refused():
    nodes = [node("Gemm", "x w", "h"), node("Sigmoid", "h", "s"), node("Gemm", "s u")]
    with pytest.raises(ModelError, match="logistic must close the network"):
        parse(model(nodes, {"w": array(6, 4), "u": array(4, 2)}).SerializeToString(), "net.onnx")


def test_shapes():
    consts = {
        "w": array(24, 4),
        "flat": np.array([0, -1]),
        "cube": np.array([-1, 4, 3, 2]),
        "axes": np.array([1]),
    }
    nodes = [
        node("Unsqueeze", "x axes", "u"),
        node("Squeeze", "u axes", "s"),
        node("Reshape", "s cube", "c"),
        node("Identity", "c", "i"),
        node("Dropout", "i", "d"),
        node("Reshape", "d flat", "f"),
        node("MatMul", "f w"),
    ]
    check(model(nodes, consts, shape=("n", 2, 12)), shape=(2, 12))


def test_the_shape_computation_of_old_exporters():
    consts = {"w": array(4, 6), "zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n axes", "u"),
        node("Concat", "u rest", "t", axis=0),
        node("Reshape", "x t", "f"),
        node("Transpose", "w", "v", perm=[1, 0]),
        node("MatMul", "f v"),
    ]
    proto = model(nodes, consts, shape=("n", 2, 3))
    check(proto, shape=(2, 3), ops="reshape dense")


def test_constant_nodes():
    weight = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(array(6, 4)))
    bias = helper.make_node("Constant", [], ["b"], value_floats=[1.0, 2.0, 3.0, 4.0])
    check(model([weight, bias, node("Gemm", "x w b")]), ops="dense")


def test_more_axes():
    nodes = [node("MatMul", "x w", "h"), node("Add", "h b", "s"), node("Relu", "s")]
    proto = model(nodes, {"w": array(6, 4), "b": array(4)}, shape=("n", 1, 6))
    check(proto, shape=(1, 6), ops="reshape dense reshape relu")


DENSE = {"w": array(6, 4)}


@pytest.mark.parametrize(
    "proto, message",
    [
        (
            model([node("Resize", "x w", name="c1")], DENSE),
            "node 0 'c1', Resize is not supported; ",
        ),
        (model([node("LogSoftmax", "x")]), "node 0, LogSoftmax is not supported; supported are "),
        (model([node("ArgMax", "x")]), "node 0, ArgMax is not supported"),
        (model([node("Quant", "x", domain="other")]), "Quant of domain 'other' is not supported"),
        (model([node("Gemm", "x w", transA=1)], DENSE), "Gemm: transA exchanges the batch"),
        (model([node("Gemm", "x x")]), "Gemm: input 'x' must be constant"),
        (model([node("MatMul", "w x")], {"w": array(6, 6)}), "weights must be the second input"),
        (model([node("MatMul", "x w")], {"w": array(5, 4)}), "has shape .6,. a sample for 5 rows"),
        (model([node("MatMul", "x w")], {"w": array(2, 6, 4)}), "weights must have 2 axes"),
        (model([node("MatMul", "x w")], DENSE, shape=("n", 2, 6)), "a sample for 6 rows"),
        (model([node("Mul", "x x")]), "Mul: two activations are combined"),
        (model([node("Add", "x c")], {"c": array(3, 6)}), "constant of shape .3, 6. does not fit"),
        (model([node("Add", "x c")], {"c": array(6)}), "must stand beside a dense layer"),
        (model([node("Transpose", "x")]), "Transpose: perm .1, 0. of .1, 6.; the batch must stay"),
        (model([node("Gather", "x i")], {"i": np.array(0)}), "Gather: is supported on constants"),
        (
            model([node("Flatten", "x", axis=2)], shape=("n", 2, 3)),
            "Flatten: makes .2, 3. of .1, 2, 3.; the batch must stay the first axis",
        ),
        (model([node("Reshape", "x s")], {"s": np.array([-1])}), "the batch must stay the first"),
        (model([node("Reshape", "x s")], {"s": np.array([1, 0, 0])}), "copies an axis"),
        (model([node("Reshape", "x s")], {"s": np.array([-1, -1])}), "is not one"),
        (model([node("Softmax", "x", axis=0)]), "Softmax: must be over the last of 2 axes"),
        (model([node("Cast", "x", to=TensorProto.INT8)]), "only a cast to FLOAT is supported"),
        (model([node("Relu", "x")], shape=(8, 6)), "input 'x' has shape .8, 6.; the first axis"),
        (model([node("Relu", "x")], shape=(6,)), "input 'x' has shape .6,.; the first axis"),
        (model([node("Relu", "x")], shape=("n", "m")), "sizes must be fixed and positive"),
        (model([node("Relu", "x")], kind=TensorProto.FLOAT16), "input 'x' is FLOAT16; only FLOAT"),
        (model([node("Gemm", "x w")], {"w": array(6, 4).astype(np.float16)}), "'w' is float16"),
        (model([node("Gemm", "x w")], {"w": array(6, 4) * np.inf}), "input 'w' is not finite"),
        (model([node("Relu", "x x")]), "not a valid model: "),
        (model([node("Relu", "z")]), "not a valid model: "),
    ],
)
def test_refusals_name_what_was_found(proto, message):
    with pytest.raises(ModelError, match=message) as error:
        parse(proto.SerializeToString(), "net.onnx")
    assert str(error.value).startswith("net.onnx: ")
    assert "\n" not in str(error.value)


def test_two_inputs_are_refused():
    proto = model([node("Gemm", "x w")], DENSE)
    proto.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 2)))
    with pytest.raises(ModelError, match="has 2 inputs; one is supported"):
        parse(proto.SerializeToString(), "net.onnx")


def test_external_data_is_refused():
    proto = model([node("Gemm", "x w")], DENSE)
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL
    entry = proto.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "../secret"
    with pytest.raises(ModelError, match="initializer 'w' is in another file"):
        parse(proto.SerializeToString(), "net.onnx")


def test_constants_cannot_grow_without_end():
    nodes = [node("Concat", "a a", "c0", axis=0)]
    nodes += [node("Concat", f"c{n} c{n}", f"c{n + 1}", axis=0) for n in range(40)]
    proto = model([*nodes, node("Relu", "x")], {"a": array(8)})
    with pytest.raises(ModelError, match="Concat, on constants is too large"):
        parse(proto.SerializeToString(), "net.onnx")


def test_many_nodes_are_refused():
    proto = model([node("Relu", "x", f"y{n}") for n in range(2049)])
    with pytest.raises(ModelError, match="has 2049 nodes, more than 2048"):
        parse(proto.SerializeToString(), "net.onnx")


def test_files(tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(ModelError, match="net.onnx: no such file$"):
        import_onnx(path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="not an .onnx file, or one without nodes"):
        import_onnx(path)
    onnx.save(model([node("Gemm", "x w")], DENSE), path)
    assert import_onnx(path).name == "net"


def survives(raw):
    try:
        parse(raw, "net.onnx")
    except ModelError as error:
        assert "\n" not in str(error)


def test_damaged_files():
    rng = np.random.default_rng(0)
    consts = {"w": array(6, 4), "s": np.array([0, -1])} | norm_consts(4)
    nodes = [node("Reshape", "x s", "r"), node("Gemm", "r w", "h"), norm("h", "n")]
    raw = model([*nodes, node("Softmax", "n")], consts).SerializeToString()
    for size in range(0, len(raw), 11):
        survives(raw[:size])
    for _ in range(400):
        damaged = bytearray(raw)
        for _ in range(int(rng.integers(1, 5))):
            damaged[rng.integers(len(raw))] = rng.choice(
                [0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]
            )
        survives(bytes(damaged))
    for size in (1, 10, 1000):
        survives(rng.bytes(size))
