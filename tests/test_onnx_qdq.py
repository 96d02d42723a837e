"""ONNX models in QDQ form: int8 graphs, within a step of ONNX's own evaluator."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from prunus.compiler.evaluate import output, quantize_input
from prunus.compiler.importers.onnx import parse
from prunus.compiler.ir import ModelError
from prunus.sim.ops import dequantize


class Model:
    """Nodes and constants of a file, with the pairs that quantize."""

    def __init__(self, seed=0, unsigned=False, shape=("n", 3, 8, 8)):
        self.rng = np.random.default_rng(seed)
        self.kind = np.uint8 if unsigned else np.int8
        self.nodes, self.consts, self.shape = [], {}, shape

    def node(self, op, inputs, result, **attrs):
        self.nodes.append(helper.make_node(op, inputs.split(), [result], **attrs))
        return result

    def const(self, name, value):
        self.consts[name] = np.asarray(value)
        return name

    def grid(self, name, scale, zero):
        zero = zero + 128 if self.kind == np.uint8 else zero
        return f"{self.const(name + '_s', np.float32(scale))} " + self.const(
            name + "_z", self.kind(zero)
        )

    def pair(self, name, scale, zero=0):
        """Quantize and dequantize an activation."""
        grid = self.grid(name, scale, zero)
        self.node("QuantizeLinear", f"{name} {grid}", f"{name}_q")
        return self.node("DequantizeLinear", f"{name}_q {grid}", f"{name}_dq")

    def weight(self, name, shape, axis=0, per_channel=True):
        """Int8 weights and what dequantizes them."""
        self.const(f"{name}_q", self.rng.integers(-128, 128, shape).astype(np.int8))
        count = shape[axis] if per_channel else 1
        scale = self.rng.uniform(0.002, 0.01, count).astype(np.float32)
        scale, zero = (scale, np.zeros(count, np.int8)) if per_channel else (scale[0], np.int8(0))
        inputs = f"{name}_q {self.const(name + '_s', scale)} {self.const(name + '_z', zero)}"
        return self.node("DequantizeLinear", inputs, name, axis=axis)

    def bias(self, name, weight, in_scale, count):
        scale = np.broadcast_to(self.consts[f"{weight}_s"] * np.float32(in_scale), (count,))
        self.const(f"{name}_q", self.rng.integers(-2000, 2000, count).astype(np.int32))
        inputs = f"{name}_q {self.const(name + '_s', scale)}"
        return self.node("DequantizeLinear", inputs, name, axis=0)

    def proto(self, result, rank=4):
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, [None] * rank)],
            [numpy_helper.from_array(v, k) for k, v in self.consts.items()],
        )
        opsets = [helper.make_opsetid("", 19)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def check(proto, steps, ops=None):
    graph = parse(proto.SerializeToString(), "net.onnx")
    assert graph.tensors[graph.inputs[0]].quantized
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim][1:]
    x = np.random.default_rng(5).normal(size=(20, *shape)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(proto).run(None, {"x": x})
    entering = quantize_input(graph, x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)
    result = output(graph, entering)
    target = graph.tensors[graph.outputs[0]]
    if result.ndim == 4:
        result = result.transpose(0, 3, 1, 2)
    real = dequantize(result, target.scale, target.zero_point)
    assert np.abs(real - wanted).max() <= steps * target.scale * 1.001
    if ops:
        assert [node.op for node in graph.nodes] == ops.split()
    return graph


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_convolution(seed, per_channel, unsigned):
    m = Model(seed, unsigned)
    x = m.pair("x", 0.03, 5)
    w = m.weight("w", (6, 3, 3, 3), per_channel=per_channel)
    b = m.bias("b", "w", 0.03, 6)
    m.node("Conv", f"{x} {w} {b}", "c", pads=[1, 1, 1, 1])
    m.node("Relu", "c", "r")
    graph = check(m.proto(m.pair("r", 0.02, -128)), 1, "conv_2d")
    (node,) = graph.nodes
    assert np.array_equal(node.consts["weight"], m.consts["w_q"].transpose(0, 2, 3, 1))
    assert np.array_equal(node.consts["bias"], m.consts["b_q"])
    assert graph.tensors["r"].zero_point == -128


@pytest.mark.parametrize("op", ["Gemm", "MatMul", "Transposed"])
def test_a_matrix(op):
    m = Model(1, shape=("n", 9))
    x = m.pair("x", 0.03, 5)
    if op == "Gemm":
        m.node("Gemm", f"{x} {m.weight('w', (4, 9))} {m.bias('b', 'w', 0.03, 4)}", "y", transB=1)
    elif op == "Transposed":
        m.node("Transpose", m.weight("w", (4, 9)), "wt", perm=[1, 0])
        m.node("Gemm", f"{x} wt {m.bias('b', 'w', 0.03, 4)}", "y")
    else:
        m.node("MatMul", f"{x} {m.weight('w', (9, 4), axis=1)}", "p")
        m.node("Add", f"p {m.bias('b', 'w', 0.03, 4)}", "y")
    graph = check(m.proto(m.pair("y", 0.02, 3), rank=2), 1, "fully_connected")
    weight = m.consts["w_q"].T if op == "MatMul" else m.consts["w_q"]
    assert np.array_equal(graph.nodes[0].consts["weight"], weight)
    assert np.array_equal(graph.nodes[0].consts["bias"], m.consts["b_q"])


@pytest.mark.parametrize("unsigned", [False, True])
def test_a_residual_network(unsigned):
    m = Model(2, unsigned)
    x = m.pair("x", 0.03, 5)
    m.node("Conv", f"{x} {m.weight('w', (4, 3, 3, 3))} {m.bias('b', 'w', 0.03, 4)}", "c",
           pads=[1, 1, 1, 1])  # fmt: skip
    m.node("Relu", "c", "r")
    r = m.pair("r", 0.02, -128)
    m.node("Conv", f"{r} {m.weight('v', (4, 1, 3, 3))} {m.bias('a', 'v', 0.02, 4)}", "d",
           pads=[1, 1, 1, 1], group=4)  # fmt: skip
    m.node("Add", f"{m.pair('d', 0.03, 7)} {r}", "s")
    m.node("Relu", "s", "t")
    m.node("GlobalAveragePool", m.pair("t", 0.02, -128), "g")
    m.node("Flatten", m.pair("g", 0.01, -128), "f")
    f = m.pair("f", 0.01, -128)
    m.node("Gemm", f"{f} {m.weight('u', (5, 4))} {m.bias('e', 'u', 0.01, 5)}", "y", transB=1)
    check(
        m.proto(m.pair("y", 0.01, 0), rank=2),
        3,
        "conv_2d depthwise_conv_2d add mean reshape fully_connected",
    )


def test_scales_that_change_where_they_cannot():
    m = Model(3)
    x = m.pair("x", 0.03, 5)
    m.node("MaxPool", x, "p", kernel_shape=[2, 2], strides=[2, 2])
    p = m.pair("p", 0.04, 9)
    m.node("Relu", x, "r")
    m.node("MaxPool", m.pair("r", 0.02, -128), "q", kernel_shape=[2, 2], strides=[2, 2])
    m.node("Concat", f"{p} {m.pair('q', 0.02, -128)}", "y", axis=1)
    with pytest.raises(
        ModelError, match="node .*relu must follow a dense layer|relu_.*: relu must"
    ):
        parse(m.proto(m.pair("y", 0.04, 9)).SerializeToString(), "net.onnx")
    m = Model(3)
    m.node("MaxPool", m.pair("x", 0.03, 5), "p", kernel_shape=[2, 2], strides=[2, 2])
    m.node("AveragePool", m.pair("p", 0.04, 9), "q", kernel_shape=[2, 2], strides=[2, 2])
    check(m.proto(m.pair("q", 0.04, 9)), 2, "max_pool_2d rescale average_pool_2d")


def single(change=None, **kinds):
    """One quantized convolution, with something wrong."""
    m = Model(4)
    x = m.pair("x", 0.03, 5)
    w = m.weight("w", (6, 3, 3, 3))
    m.node("Conv", f"{x} {w} {m.bias('b', 'w', 0.03, 6)}", "c")
    m.pair("c", 0.02, 1)
    if change:
        change(m)
    return m.proto(kinds.get("result", "c_dq"))


def without_output_grid(m):
    m.nodes = [node for node in m.nodes if node.output[0] not in ("c_q", "c_dq")]


def constant(name, value):
    def change(m):
        m.consts[name] = value

    return change


@pytest.mark.parametrize(
    "proto, message",
    [
        (single(without_output_grid, result="c"), "c: the tensor has no scale and zero point"),
        (single(constant("x_s", np.float32(-1))), "QuantizeLinear: scale must be positive"),
        (
            single(constant("x_s", np.float32([1, 2, 3]))),
            "scale and zero point must have one shape",
        ),
        (single(constant("w_z", np.full(6, 3, np.int8))), "weights are not int8 steps of their sc"),
        (
            single(constant("w_q", np.zeros((6, 3, 3, 3), np.int16))),
            "not a valid model|must be INT8",
        ),
        (single(constant("x_z", np.int16(0))), "not a valid model|only INT8 and UINT8"),
    ],
)
def test_refusals_name_what_was_found(proto, message):
    with pytest.raises(ModelError, match=message) as error:
        parse(proto.SerializeToString(), "net.onnx")
    assert str(error.value).startswith("net.onnx: ")
    assert "\n" not in str(error.value)


def test_two_scales_of_one_tensor():
    m = Model(6)
    x = m.pair("x", 0.03)
    m.node("Add", f"{x} {x}", "s")
    grid = m.grid("again", 0.04, 0)
    m.node("QuantizeLinear", f"x {grid}", "again_q")
    m.node("DequantizeLinear", f"again_q {grid}", "again_dq")
    m.node("Add", "s again_dq", "y")
    with pytest.raises(
        ModelError, match="QuantizeLinear: input 'x' has scale and zero point .* el"
    ):
        parse(m.proto(m.pair("y", 0.1)).SerializeToString(), "net.onnx")
