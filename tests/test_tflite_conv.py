"""Convolutional .tflite models: the reference interpreter's bits, and lines for all else."""

import numpy as np
import pytest
from spatial import clamp_of, convolution, draw_window, scale_of
from tflite_builder import OpSpec, TensorSpec, build, reference

from prunus.compiler.evaluate import output, split_host
from prunus.compiler.importers.tflite import parse
from prunus.compiler.ir import ModelError

SAME, VALID = 0, 1


@pytest.fixture
def interpreter():
    pytest.importorskip("ai_edge_litert.interpreter")


def check(raw, x):
    graph = parse(raw, "m.tflite")
    assert np.array_equal(output(graph, x), reference(raw, x))
    return graph


def image(rng, *shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("seed", range(100, 120))
def test_convolutions(seed, depthwise, interpreter):
    rng = np.random.default_rng(seed)
    case = convolution(rng, depthwise=depthwise, powers=seed % 3 == 0, per_channel=seed % 4 > 0)
    graph = check(case.raw, image(rng, 4, *case.shape))
    (node,) = graph.nodes
    assert node.attrs["clamp"] == case.clamp
    assert node.attrs["padding"] == case.window.padding


def tensors_of(rng, *shapes, zero=None, scale=None):
    """Int8 activations, each with a scale and zero point of its own unless they are given."""
    return [
        TensorSpec(
            f"t{n}",
            (1, *shape),
            scale=scale or scale_of(rng, False),
            zero_point=int(rng.integers(-128, 128)) if zero is None else zero,
        )
        for n, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize("groups", [2, 3])
def test_a_convolution_in_groups(groups, interpreter):
    rng = np.random.default_rng(groups)
    before, after = tensors_of(rng, (5, 5, 6), (5, 5, 12))
    weight = image(rng, 12, 3, 3, 6 // groups)
    constants = [
        TensorSpec("w", weight.shape, scale=[0.01] * 12, data=weight),
        TensorSpec("b", (12,), "int32", data=rng.integers(-99, 99, 12).astype(np.int32)),
    ]
    options = {"Padding": SAME, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1,
               "DilationWFactor": 1}  # fmt: skip
    op = OpSpec("CONV_2D", [0, 2, 3], [1], options, 3)
    check(build([before, after, *constants], [op], [0], [1]), image(rng, 3, 5, 5, 6))


@pytest.mark.parametrize("code", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("seed", range(8))
def test_pools(seed, code, interpreter):
    rng = np.random.default_rng(seed)
    window = draw_window(rng, dilated=False)
    scale, zero = scale_of(rng, False), int(rng.integers(-128, 128))
    shapes = [(*window.size, 3), (*window.output, 3)]
    tensors = tensors_of(rng, *shapes, scale=scale, zero=zero)
    options = window.options("pool") | {"FusedActivationFunction": seed % 4}
    raw = build(tensors, [OpSpec(code, [0], [1], options, 2)], [0], [1])
    graph = check(raw, image(rng, 5, *window.size, 3))
    assert graph.nodes[0].attrs["clamp"] == clamp_of(seed % 4, np.float32(scale), zero)


def residual(rng, *, activation=0, other=None):
    """Two branches of one input, a ReLU and a change of scale, added."""
    tensors = tensors_of(rng, (4, 4, 3), (4, 4, 3), other or (4, 4, 3), (4, 4, 3))
    options = {"FusedActivationFunction": activation}
    ops = [
        OpSpec("RELU6", [0], [1], {}, 2),
        OpSpec("QUANTIZE", [0], [2], {}, 2),
        OpSpec("ADD", [1, 2], [3], options, 2),
    ]
    return tensors, ops


@pytest.mark.parametrize("seed", range(8))
def test_residuals(seed, interpreter):
    rng = np.random.default_rng(seed)
    tensors, ops = residual(rng, activation=seed % 4)
    graph = check(build(tensors, ops, [0], [3]), image(rng, 40, 4, 4, 3))
    assert [node.op for node in graph.nodes] == ["rescale", "rescale", "add"]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [(1, 2), (-2, -3)])
def test_mean(axes, keep, interpreter):
    rng = np.random.default_rng(len(axes))
    tensors = tensors_of(rng, (5, 7, 6), (1, 1, 6) if keep else (6,))
    tensors.append(TensorSpec("axes", (2,), "int32", data=np.array(axes, np.int32)))
    raw = build(tensors, [OpSpec("MEAN", [0, 2], [1], {"KeepDims": keep}, 2)], [0], [1])
    check(raw, image(rng, 30, 5, 7, 6))


def padded(rng, widths, shape=(3, 4, 2)):
    total = tuple(s + sum(w) for s, w in zip(shape, widths[1:], strict=True))
    tensors = tensors_of(rng, shape, total, scale=0.5, zero=-7)
    tensors.append(TensorSpec("w", (4, 2), "int32", data=np.array(widths, np.int32)))
    return tensors, [OpSpec("PAD", [0, 2], [1], {}, 2)]


def test_pad(interpreter):
    rng = np.random.default_rng(0)
    raw = build(*padded(rng, [(0, 0), (1, 2), (0, 3), (2, 1)]), [0], [1])
    check(raw, image(rng, 3, 3, 4, 2))


def joined(rng, axis):
    tensors = tensors_of(rng, (4, 4, 3), (4, 4, 3), (4, 4, 6), scale=0.25, zero=11)
    ops = [
        OpSpec("RELU", [0], [1], {}, 2),
        OpSpec("CONCATENATION", [0, 1], [2], {"Axis": axis}, 2),
    ]
    return tensors, ops


@pytest.mark.parametrize("axis", [3, -1])
def test_concatenation(axis, interpreter):
    rng = np.random.default_rng(axis + 9)
    check(build(*joined(rng, axis), [0], [2]), image(rng, 9, 4, 4, 3))


def network(rng):
    """A small residual network: convolutions, pools, an addition, a layer, float at both ends."""
    spec = [
        ("real", (8, 8, 3), None), ("x", (8, 8, 3), 0.05), ("c", (8, 8, 8), 0.02),
        ("d", (8, 8, 8), 0.02), ("p", (8, 8, 8), 0.06), ("s", (8, 8, 8), 0.05),
        ("m", (4, 4, 8), 0.05), ("g", (1, 1, 8), 0.05), ("f", (8,), 0.05), ("l", (5,), 0.1),
        ("y", (5,), 1 / 256),
    ]  # fmt: skip
    tensors = [
        TensorSpec(name, (1, *shape), "int8" if scale else "float32", scale=scale,
                   zero_point=-128 if name == "y" else 3)
        for name, shape, scale in spec
    ]  # fmt: skip
    index = {name: n for n, (name, *_) in enumerate(spec)}

    def constant(name, array, scale=None, axis=0):
        dtype = str(array.dtype)
        tensors.append(TensorSpec(name, array.shape, dtype, scale=scale, axis=axis, data=array))
        index[name] = len(tensors) - 1

    for name, shape, axis, outputs in (
        ("wc", (8, 3, 3, 3), 0, 8), ("wd", (1, 3, 3, 8), 3, 8), ("wp", (8, 1, 1, 8), 0, 8),
        ("wl", (5, 8), 0, 1),
    ):  # fmt: skip
        constant(name, image(rng, *shape), (rng.uniform(1, 4, outputs) / 1000).tolist(), axis)
    for name, outputs in (("bc", 8), ("bd", 8), ("bp", 8), ("bl", 5)):
        constant(name, rng.integers(-2000, 2000, outputs).astype(np.int32))
    constant("shape", np.array([1, 8], np.int32))
    move = {"Padding": SAME, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1,
            "DilationWFactor": 1, "FusedActivationFunction": 1}  # fmt: skip
    pool = {"Padding": VALID, "StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2}
    wide = pool | {"FilterHeight": 4, "FilterWidth": 4}
    steps = [
        ("QUANTIZE", "real", "x", {}, 1), ("CONV_2D", "x wc bc", "c", move, 3),
        ("DEPTHWISE_CONV_2D", "c wd bd", "d", move | {"DepthMultiplier": 1}, 3),
        ("CONV_2D", "d wp bp", "p", move | {"FusedActivationFunction": 0}, 3),
        ("ADD", "p c", "s", {"FusedActivationFunction": 1}, 2),
        ("MAX_POOL_2D", "s", "m", pool, 2), ("AVERAGE_POOL_2D", "m", "g", wide, 2),
        ("RESHAPE", "g shape", "f", {"NewShape": [1, 8]}, 1),
        ("FULLY_CONNECTED", "f wl bl", "l", {}, 4), ("SOFTMAX", "l", "y", {"Beta": 1.0}, 2),
    ]  # fmt: skip
    ops = [
        OpSpec(code, [index[name] for name in ins.split()], [index[out]], options, version)
        for code, ins, out, options, version in steps
    ]
    return build(tensors, ops, [0], [index["y"]])


@pytest.mark.parametrize("seed", range(3))
def test_a_network(seed, interpreter):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(20, 8, 8, 3)) * 3).astype(np.float32)
    graph = check(network(rng), x)
    pre, core, post = split_host(graph)
    assert [node.op for node in (*pre.nodes, *post.nodes)] == ["quantize", "softmax"]
    parts = output(post, output(core, output(pre, x)))
    assert np.array_equal(parts, output(graph, x))


def single(rng, code="CONV_2D", **changes):
    """One 3x3 convolution, or pool, of a 6x6 image; options and tensors can be changed."""
    shapes = {"size": (6, 6, 4), "result": (6, 6, 4), "w": (4, 3, 3, 4), "b": (4,)}
    shapes |= {key: changes.pop(key) for key in tuple(changes) if key in shapes}
    wrong = changes.pop("wrong", {})
    options = {"Padding": SAME, "StrideH": 1, "StrideW": 1} | changes
    if code.endswith("POOL_2D"):
        options = {"FilterHeight": 2, "FilterWidth": 2} | options
        inputs = [0]
    else:
        options = {"DilationHFactor": 1, "DilationWFactor": 1} | options
        inputs = [0, 2, 3]
    tensors = tensors_of(rng, shapes["size"], shapes["result"], scale=0.1, zero=0)
    axis = 3 if code == "DEPTHWISE_CONV_2D" else 0
    tensors += [
        TensorSpec("w", shapes["w"], scale=[0.01] * shapes["w"][axis], axis=axis,
                   data=image(rng, *shapes["w"])),
        TensorSpec("b", shapes["b"], "int32", data=np.zeros(shapes["b"], np.int32)),
    ]  # fmt: skip
    for number, fields in wrong.items():
        for key, value in fields.items():
            setattr(tensors[number], key, value)
    return build(tensors, [OpSpec(code, inputs, [1], options, 3)], [0], [1])


def made(function, *args):
    def make(rng):
        tensors, ops = function(rng, *args)
        return build(tensors, ops, [0], ops[-1].outputs)

    return make


def with_scale(rng):
    tensors, ops = joined(rng, 3)
    tensors[0].scale = 0.3
    return build(tensors, ops, [0], [2])


def constant_term(rng):
    tensors, ops = residual(rng)
    tensors[2].data = image(rng, 1, 4, 4, 3)
    return build(tensors, [ops[0], ops[2]], [0], [3])


@pytest.mark.parametrize(
    "make, message",
    [
        ({"StrideH": 0}, r"operator 0, CONV_2D: stride must be positive, not \(0, 1\)"),
        ({"DilationWFactor": -1}, r"dilation must be positive, not \(1, -1\)"),
        ({"Padding": 7}, "padding 7 is not supported"),
        ({"FusedActivationFunction": 4}, "fused activation TANH is not supported"),
        ({"StrideH": 7, "result": (1, 6, 4)}, r"conv_2d_0: stride \(7, 1\) is larger than the"),
        ({"w": (4, 9, 3, 4), "Padding": VALID}, r"kernel \(9, 3\) does not fit the input \(6, 6\)"),
        ({"result": (5, 6, 4)}, r"output shape must be \(6, 6, 4\), not \(5, 6, 4\)"),
        ({"size": (0, 6, 4)}, "sizes must be fixed and positive"),
        ({"size": (24, 6)}, "must have 4 axes, not 3, 4 and 4"),
        ({"w": (4, 3, 3, 3)}, "4 outputs of 3 channels do not divide its 4 channels"),
        ({"b": (3,)}, r"bias 'b' must have shape \(4,\)"),
        ({"wrong": {2: {"scale": None}}}, "weight 'w' must have a scale, or one for each"),
        ({"wrong": {2: {"axis": 3}}}, "weight 'w' must have a scale, or one for each"),
        ({"wrong": {0: {"scale": None}}}, "tensor 't0' is INT8 without one scale and zero point"),
        ({"wrong": {1: {"scale": None}}}, "tensor 't1' is INT8 without one scale and zero point"),
        ({"wrong": {2: {"zero_point": 1}}}, "weight zero points must be 0"),
        ({"wrong": {3: {"data": np.full(4, 2**31 - 1, np.int32)}}}, "accumulators can overflow"),
        ({"wrong": {2: {"scale": [1e12] * 4}}}, "scale must be 2|can overflow int32"),
        ({"wrong": {1: {"dtype": "float32", "scale": None}}}, "must both be INT8 or both FLOAT32"),
        ({"code": "DEPTHWISE_CONV_2D", "w": (1, 3, 3, 6), "b": (6,), "result": (6, 6, 6)},
         "depthwise_conv_2d_0: outputs must be a multiple of its 4 channels, not 6"),
        ({"code": "MAX_POOL_2D", "FilterHeight": 0}, r"kernel must be positive, not \(0, 2\)"),
        ({"code": "MAX_POOL_2D", "wrong": {1: {"scale": 0.2}}},
         "max_pool_2d_0: max_pool_2d must keep the scale and the zero point of its input"),
        (made(residual), None),
        (lambda rng: build(*residual(rng, other=(4, 3, 4)), [0], [3]),
         r"ADD: its inputs must have one shape, not \(4, 4, 3\) and \(4, 3, 4\)"),
        (constant_term, "tensor 't2' is constant, where an activation is needed"),
        (with_scale, "CONCATENATION: input 't0' must have the scale and the zero point of the out"),
        (made(joined, 0), "CONCATENATION: axis must be 1 to 3, not 0"),
        (made(joined, 2), "concatenation_1: t0 has shape .* which does not fit"),
        (made(padded, [(0, 0), (1, 1), (-1, 1), (0, 0)]), "PAD: padding must be two sizes of 0 or"),
        (made(padded, [(1, 0), (1, 1), (1, 1), (0, 0)]), "none for the batch"),
    ],
)  # fmt: skip
def test_refusals_name_what_was_found(make, message):
    rng = np.random.default_rng(0)
    raw = single(rng, **make) if isinstance(make, dict) else make(rng)
    if message is None:
        parse(raw, "net.tflite")
        return
    with pytest.raises(ModelError, match=message) as error:
        parse(raw, "net.tflite")
    assert str(error.value).startswith("net.tflite: ")
    assert "\n" not in str(error.value)


def test_damaged_files():
    rng = np.random.default_rng(0)
    raw = network(rng)
    for _ in range(300):
        damaged = bytearray(raw)
        for _ in range(int(rng.integers(1, 6))):
            damaged[rng.integers(len(raw))] = rng.choice([0, 1, 0x7F, 0x80, rng.integers(256)])
        try:
            parse(bytes(damaged), "net.tflite")
        except ModelError as error:
            assert "\n" not in str(error)
