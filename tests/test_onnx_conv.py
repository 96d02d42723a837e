"""Convolutional ONNX models against ONNX's own evaluator, and a line for everything else."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from prunus.compiler.evaluate import output
from prunus.compiler.importers.onnx import parse
from prunus.compiler.ir import ModelError

RNG = np.random.default_rng(0)


def array(*shape):
    return np.random.default_rng(sum(shape) + len(shape)).normal(size=shape).astype(np.float32)


def model(nodes, consts=None, shape=("n", 3, 9, 8), rank=4, opset=17):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (consts or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def node(op, inputs, outputs="y", name="", **attrs):
    return helper.make_node(op, inputs.split(), outputs.split(), name=name, **attrs)


def check(proto, shape=(3, 9, 8), ops=None, last=False):
    """Equal to the evaluator; ``last``: the file has channels last itself."""
    graph = parse(proto.SerializeToString(), "net.onnx")
    x = RNG.normal(size=(3, *shape)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(proto).run(None, {"x": x})
    result = output(graph, x if last else x.transpose(0, 2, 3, 1))
    if result.ndim == 4 and not last:
        result = result.transpose(0, 3, 1, 2)
    assert result.shape == wanted.shape
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)
    if ops:
        assert [item.op for item in graph.nodes] == ops.split()
    return graph


@pytest.mark.parametrize("group, outputs, op", [
    (1, 4, "convolution"), (3, 3, "depthwise_convolution"), (3, 6, "depthwise_convolution"),
])  # fmt: skip
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 2, 1], [2, 1, 0, 0]])
@pytest.mark.parametrize("place", [
    {}, {"strides": [2, 1]}, {"dilations": [2, 3]}, {"strides": [2, 2], "dilations": [1, 2]},
])  # fmt: skip
def test_conv(group, outputs, op, pads, place):
    consts = {"w": array(outputs, 3 // group, 3, 2), "b": array(outputs)}
    check(model([node("Conv", "x w b", group=group, pads=pads, **place)], consts), ops=op)


@pytest.mark.parametrize("groups", [2, 3])
def test_conv_in_groups(groups):
    consts = {"w": array(12, 6 // groups, 3, 3)}
    proto = model([node("Conv", "x w", group=groups)], consts, shape=("n", 6, 5, 4))
    check(proto, shape=(6, 5, 4), ops="convolution")


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
def test_auto_pad(auto_pad, strides):
    place = {"auto_pad": auto_pad, "strides": strides}
    check(model([node("Conv", "x w", **place)], {"w": array(2, 3, 4, 2)}))
    check(model([node("AveragePool", "x", kernel_shape=[4, 2], **place)]))
    if auto_pad != "SAME_LOWER":  # the evaluator's MaxPool then has other shapes than the standard
        check(model([node("MaxPool", "x", kernel_shape=[4, 2], **place)]))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("kernel, strides, pads", [
    ([2, 2], [2, 2], [0, 0, 0, 0]), ([3, 3], [2, 2], [1, 1, 0, 0]), ([3, 2], [3, 3], [0, 1, 1, 0]),
    ([4, 3], [1, 2], [0, 0, 0, 0]), ([3, 3], [2, 3], [1, 1, 1, 1]),
])  # fmt: skip
def test_pools(op, ceil, kernel, strides, pads):
    place = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": ceil}
    check(model([node(op, "x", **place)], opset=19))


@pytest.mark.parametrize("pads", [[1, 1, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0]])
def test_padding_that_counts(pads):
    place = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": pads, "count_include_pad": 1}
    graph = check(model([node("AveragePool", "x", **place)]))
    assert graph.nodes[0].op == ("pad" if any(pads) else "average_pool_2d")


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pools(op):
    nodes = [node(op, "x", "p"), node("Flatten", "p", "f"), node("Gemm", "f w")]
    check(model(nodes, {"w": array(3, 4)}, rank=2))


@pytest.mark.parametrize("keep, opset", [(0, 13), (1, 13), (0, 18)])
def test_reduce_mean(keep, opset):
    consts = {"axes": np.array([-1, -2])} if opset == 18 else {}
    attrs = {} if consts else {"axes": [2, 3]}
    inputs = "x axes" if consts else "x"
    nodes = [node("ReduceMean", inputs, keepdims=keep, **attrs)]
    check(model(nodes, consts, opset=opset, rank=4 if keep else 2), ops="mean")


def test_flatten_keeps_the_order_of_the_file():
    nodes = [node("Conv", "x w", "c"), node("Flatten", "c", "f"), node("Gemm", "f m b")]
    consts = {"w": array(2, 3, 3, 3), "m": array(84, 5), "b": array(5)}
    check(model(nodes, consts, rank=2), ops="convolution reshape dense")


def test_constants_keep_the_order_of_the_file():
    nodes = [
        node("Conv", "x w", "c"),
        node("Flatten", "c", "f"),
        node("Mul", "f s", "m"),
        node("Relu", "m", "r"),
        node("MatMul", "r u"),
    ]
    consts = {"w": array(2, 3, 9, 8), "s": array(2), "u": array(2, 5)}
    check(model(nodes, consts, rank=2))
    nodes = [node("Flatten", "x", "f"), node("Mul", "f s", "m"), node("MatMul", "m u")]
    pool = node("MaxPool", "x", "p", kernel_shape=[2, 2])
    nodes = [pool, node("Flatten", "p", "f"), *nodes[1:]]
    check(model(nodes, {"s": array(168), "u": array(168, 5)}, rank=2))


def norm(inputs, outputs="y"):
    return node("BatchNormalization", f"{inputs} g o m v", outputs, epsilon=1e-3)


def norm_consts(size):
    return {"g": array(size), "o": array(1, size)[0], "m": array(size), "v": array(size) ** 2 + 0.1}


@pytest.mark.parametrize("group", [1, 3])
def test_batch_normalization_folds(group):
    w = {"w": array(6, 3 // group, 3, 3)}
    behind = [node("Conv", "x w", "h", group=group, pads=[1, 1, 1, 1]), norm("h")]
    kind = "depthwise_convolution" if group > 1 else "convolution"
    check(model(behind, w | norm_consts(6)), ops=kind)
    in_front = [norm("x", "h"), node("Conv", "h w", group=group)]
    check(model(in_front, w | norm_consts(3)), ops=kind)


def test_batch_normalization_that_cannot_fold():
    w = {"w": array(6, 3, 3, 3)}
    padded = [norm("x", "h"), node("Conv", "h w", pads=[1, 1, 1, 1])]
    check(model(padded, w | norm_consts(3)), ops="depthwise_convolution convolution")
    alone = [node("Relu", "x", "r"), norm("r", "n"), node("MaxPool", "n", kernel_shape=[2, 2])]
    check(model(alone, norm_consts(3)), ops="relu depthwise_convolution max_pool_2d")


def test_bias_as_an_addition():
    consts = {"w": array(4, 3, 3, 3), "b": array(4, 1, 1)}
    check(model([node("Conv", "x w", "c"), node("Add", "c b")], consts), ops="convolution")
    consts["b"] = array(4, 7, 6)  # one for each pixel
    with pytest.raises(ModelError, match="must stand beside a dense layer or a convolution"):
        proto = model([node("Conv", "x w", "c"), node("Add", "c b")], consts)
        parse(proto.SerializeToString(), "net.onnx")


def test_residual():
    consts = {"w": array(3, 3, 3, 3)}
    nodes = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("Add", "c x", "s"),
        node("Relu", "s"),
    ]
    check(model(nodes, consts), ops="convolution add relu")


def shortcut(**changes):
    """The subsampling shortcut without weights that residual networks have."""
    consts = {
        "st": np.array([0, 0]), "en": np.array([2**31 - 1] * 2), "ax": np.array([2, 3]),
        "sp": np.array([2, 2]), "pads": np.array([0, 1, 0, 0, 0, 2, 0, 0]),
        "w": array(6, 3, 3, 3),
    } | changes  # fmt: skip
    nodes = [
        node("Slice", "x st en ax sp", "s"),
        node("Pad", "s pads", "p"),
        node("Conv", "x w", "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Add", "c p"),
    ]
    return model(nodes, consts)


def test_subsampling_shortcut():
    check(shortcut(), ops="max_pool_2d pad convolution add")


@pytest.mark.parametrize("opset", [10, 13, 18])
def test_pad(opset):
    pads = [0, 0, 1, 2, 0, 0, 0, 3]
    if opset == 10:
        check(model([node("Pad", "x", pads=pads)], opset=10))
    elif opset == 13:
        consts = {"p": np.array(pads), "v": np.float32(0)}
        check(model([node("Pad", "x p v")], consts, opset=13))
    else:
        consts = {"p": np.array([1, 2, 0, 3]), "a": np.array([2, -1])}
        proto = model([helper.make_node("Pad", ["x", "p", "", "a"], ["y"])], consts, opset=18)
        check(proto, ops="pad")


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concat(axis):
    nodes = [node("Relu", "x", "r"), node("Concat", "r x r", axis=axis)]
    graph = parse(model(nodes).SerializeToString(), "net.onnx")
    assert graph.tensors["x"].shape == (3, 9, 8)  # without operators on images, as in the file
    nodes += [node("MaxPool", "x", "p", kernel_shape=[1, 1])]
    nodes += [node("Relu", "p", "r"), node("Concat", "r p r", axis=axis)]
    check(model(nodes[2:]), ops="max_pool_2d relu concatenation")


def test_concat_of_vectors():
    nodes = [
        node("GlobalAveragePool", "x", "a"), node("GlobalMaxPool", "x", "m"),
        node("Flatten", "a", "f"), node("Flatten", "m", "g"), node("Concat", "f g", axis=1),
    ]  # fmt: skip
    check(model(nodes, rank=2))


def test_a_file_with_channels_last():
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w", "c"),
        node("Transpose", "c", perm=[0, 2, 3, 1]),
    ]
    proto = model(nodes, {"w": array(4, 3, 3, 3)}, shape=("n", 9, 8, 3))
    check(proto, shape=(9, 8, 3), ops="convolution", last=True)


def test_a_vector_becomes_an_image():
    nodes = [node("Reshape", "x s", "i"), node("Conv", "i w")]
    proto = model(nodes, {"s": np.array([0, 1, 4, 6]), "w": array(2, 1, 3, 3)}, shape=("n", 24))
    graph = parse(proto.SerializeToString(), "net.onnx")
    assert [item.op for item in graph.nodes] == ["reshape", "reshape", "convolution"]
    x = RNG.normal(size=(3, 24)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(output(graph, x).transpose(0, 3, 1, 2), wanted, rtol=1e-4, atol=1e-5)


def test_tanh():
    check(model([node("Conv", "x w", "c"), node("Tanh", "c")], {"w": array(2, 3, 3, 3)}))


def conv(consts=None, **attrs):
    return model([node("Conv", "x w", **attrs)], {"w": array(4, 3, 3, 3)} | (consts or {}))


PAD = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}


@pytest.mark.parametrize(
    "proto, message",
    [
        (conv({"w": array(4, 2, 3, 3)}), "Conv: weights of shape .* in 1 groups do not fit 3 chan"),
        (conv({"w": array(4, 3, 3)}), "Conv: weights must have 4 axes, not shape"),
        (conv({"w": np.zeros((4, 3, 0, 3), np.float32)}), "Conv: weights of shape .* do not fit"),
        (conv(group=0), "Conv: weights of shape .* in 0 groups"),
        (conv(strides=[0, 1]), r"strides and dilations must be positive, not \(0, 1\)"),
        (conv(strides=[10, 1]), r"strides \(10, 1\) are larger than the input \(9, 8\)"),
        (conv(strides=[1]), r"strides must have 2 entries, not \(1,\)"),
        (conv(pads=[3, 0, 0, 0]), r"padding \[3, 0\] must be 0 or more and smaller than the kern"),
        (conv(pads=[-1, 0, 0, 0]), r"padding \[-1, 0\] must be 0 or more and smaller"),
        (conv(dilations=[5, 1]), r"makes an image of \(-1, 6, 4\); the window does not fit"),
        (conv(auto_pad="SAME"), "auto_pad 'SAME' is not supported"),
        (conv(kernel_shape=[3, 2]), r"kernel_shape must be that of the weights, \(3, 3\)"),
        (model([node("MaxPool", "x", kernel_shape=[3])]), "kernel_shape must be 2 positive sizes"),
        (model([node("MaxPool", "x", kernel_shape=[3, 3], dilations=[2, 1])]), "dilations other"),
        (model([node("MaxPool", "x", "y z", kernel_shape=[3, 3])]), "second output is not support"),
        (model([node("Pad", "x p", mode="reflect")], PAD), "mode 'reflect' is not supported"),
        (model([node("Pad", "x p v")], PAD | {"v": np.float32(1)}), "only padding with 0 is supp"),
        (model([node("Pad", "x p")], {"p": -PAD["p"]}), "pads must be 0 or more, none for the bat"),
        (model([node("Pad", "x p")], {"p": np.array([1, 1])}), "pads must be two sizes for each"),
        (shortcut(st=np.array([1, 0])), "Slice: only whole axes with a step .* not 1:"),
        (shortcut(en=np.array([5, 8])), "Slice: only whole axes with a step .* not 0:5:2 on axis"),
        (shortcut(ax=np.array([1, 3])), "a step over the batch or the channels is not supported"),
        (shortcut(pads=np.zeros(8, np.int64)), "what is added must have one shape, not"),
        (model([node("ReduceMean", "x", axes=[1])]), "ReduceMean: must be over axes 2 and 3"),
        (model([node("Mul", "x x")]), "two activations are combined; one must be constant"),
        (model([node("Concat", "x x", axis=0)]), "Concat: axis must be 1 to 3, not 0"),
        (
            model([node("MaxPool", "x", "c", kernel_shape=[3, 3]),
                   node("Concat", "x c", axis=1)]),
            "Concat: inputs of .3, 9, 8. and .3, 7, 6. do not fit",
        ),
        (
            model([node("Transpose", "x", "t", perm=[0, 1, 3, 2]), node("Conv", "t w")],
                  {"w": array(4, 3, 3, 3)}),
            "Conv: its input would have to be transposed, which is not supported",
        ),
        (model([node("Transpose", "x", perm=[1, 0, 2, 3])]), "the batch must stay the first axis"),
        (
            model([node("MaxPool", "x", "p", kernel_shape=[2, 2]),
                   node("Transpose", "p", perm=[0, 1, 3, 2])]),
            "output 'y' would have to be transposed",
        ),
        (conv(), None),
        (model([node("Conv", "x w")], {"w": array(4, 3, 3)}, shape=("n", 3, 9), rank=3),
         r"Conv: input must be an image \(batch, channels, rows, columns\), not of shape"),
        (model([node("Conv", "x w")], {"w": array(4, 3, 3, 3)}, shape=("n", 3, 0, 8)),
         "sizes must be fixed and positive"),
    ],
)  # fmt: skip
def test_refusals_name_what_was_found(proto, message):
    if message is None:
        parse(proto.SerializeToString(), "net.onnx")
        return
    with pytest.raises(ModelError, match=message) as error:
        parse(proto.SerializeToString(), "net.onnx")
    assert str(error.value).startswith("net.onnx: ")
    assert "\n" not in str(error.value)


def test_damaged_files():
    rng = np.random.default_rng(0)
    raw = shortcut().SerializeToString()
    for _ in range(300):
        damaged = bytearray(raw)
        for _ in range(int(rng.integers(1, 5))):
            damaged[rng.integers(len(raw))] = rng.choice([0, 1, 0x7F, 0xFF, rng.integers(256)])
        try:
            parse(bytes(damaged), "net.onnx")
        except ModelError as error:
            assert "\n" not in str(error)
