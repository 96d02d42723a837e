"""The TFLite importer: the reference interpreter's bits, and a line for everything else."""

import numpy as np
import pytest
from tflite_builder import OpSpec, TensorSpec, build, reference

from prunus.compiler.evaluate import output
from prunus.compiler.importers.tflite import import_tflite, parse
from prunus.compiler.ir import ModelError

NONE, RELU, RELU_N1_TO_1, RELU6, TANH = range(5)


def layer(rng, inputs, outputs, *, per_channel=False, powers=False, activation=NONE, bias=True):
    """Tensors and operator of one int8 layer from tensor 0 to tensor 3."""
    scales = outputs if per_channel else 1
    if powers:  # so that exact halves occur
        sx, so = 2.0 ** -rng.integers(0, 6), 2.0 ** rng.integers(-2, 6)
        sw = 2.0 ** -rng.integers(0, 6, scales)
    else:
        sx, so = rng.uniform(0.01, 0.5), rng.uniform(0.001, 0.5)
        sw = rng.uniform(0.001, 0.02, scales)
    sx, so, sw = np.float32(sx), np.float32(so), sw.astype(np.float32)
    zero = rng.integers(-128, 128, 2).tolist()
    weight = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    offset = rng.integers(-3000, 3000, outputs).astype(np.int32)
    tensors = [
        TensorSpec("x", (1, inputs), scale=float(sx), zero_point=zero[0]),
        TensorSpec("w", weight.shape, scale=sw.tolist(), data=weight),
        TensorSpec("b", (outputs,), "int32", scale=(sx * sw).tolist(), data=offset),
        TensorSpec("y", (1, outputs), scale=float(so), zero_point=zero[1]),
    ]
    options = {"FusedActivationFunction": activation}
    version = 12 if per_channel else 4
    return tensors, OpSpec("FULLY_CONNECTED", [0, 1, 2 if bias else -1], [3], options, version)


@pytest.mark.parametrize("seed", range(60))
def test_fully_connected_equals_the_reference(seed):
    pytest.importorskip("ai_edge_litert.interpreter")
    rng = np.random.default_rng(seed)
    inputs, outputs = int(rng.integers(1, 60)), int(rng.integers(1, 30))
    tensors, op = layer(
        rng,
        inputs,
        outputs,
        per_channel=seed % 2 == 1,
        powers=seed % 3 == 0,
        activation=seed % 4,
        bias=seed % 5 > 0,
    )
    raw = build(tensors, [op], [0], [3])
    x = rng.integers(-128, 128, (40, inputs)).astype(np.int8)
    assert np.array_equal(output(parse(raw, "m.tflite"), x), reference(raw, x))


def whole_network(rng):
    """float -> int8 -> reshape -> two layers -> softmax -> float."""
    first, op = layer(rng, 12, 7, activation=RELU)
    second, _ = layer(rng, 7, 5)
    second[2].scale = float(np.float32(first[3].scale) * np.float32(second[1].scale[0]))
    tensors = [
        TensorSpec("real", (1, 3, 4), "float32"),
        TensorSpec("image", (1, 3, 4), scale=first[0].scale, zero_point=first[0].zero_point),
        TensorSpec("shape", (2,), "int32", data=np.array([1, 12], np.int32)),
        *first,
        *second[1:],
        TensorSpec("soft", (1, 5), scale=1 / 256, zero_point=-128),
        TensorSpec("out", (1, 5), "float32"),
    ]
    ops = [
        OpSpec("QUANTIZE", [0], [1]),
        OpSpec("RESHAPE", [1, 2], [3], {"NewShape": [1, 12]}),
        OpSpec("FULLY_CONNECTED", [3, 4, 5], [6], op.options, 4),
        OpSpec("FULLY_CONNECTED", [6, 7, 8], [9], {}, 4),
        OpSpec("SOFTMAX", [9], [10], {"Beta": 1.0}, 2),
        OpSpec("DEQUANTIZE", [10], [11], {}, 2),
    ]
    return build(tensors, ops, [0], [11])


@pytest.mark.parametrize("seed", range(5))
def test_whole_network_equals_the_reference(seed):
    pytest.importorskip("ai_edge_litert.interpreter")
    rng = np.random.default_rng(seed)
    raw = whole_network(rng)
    x = rng.normal(size=(50, 3, 4)).astype(np.float32) * 20
    assert np.array_equal(output(parse(raw, "m.tflite"), x), reference(raw, x))


@pytest.mark.parametrize("keep", [False, True])
def test_more_axes_are_flattened(keep):
    pytest.importorskip("ai_edge_litert.interpreter")
    rng = np.random.default_rng(1)
    tensors, op = layer(rng, 12, 5)
    tensors[0].shape = (1, 1, 12) if keep else (1, 3, 4)
    tensors[3].shape = (1, 1, 5) if keep else (1, 5)
    op.options["KeepNumDims"] = keep
    raw = build(tensors, [op], [0], [3])
    x = rng.integers(-128, 128, (10, *tensors[0].shape[1:])).astype(np.int8)
    assert np.array_equal(output(parse(raw, "m.tflite"), x), reference(raw, x))


@pytest.mark.parametrize("activation", [NONE, RELU, RELU_N1_TO_1, RELU6])
def test_float_model(activation):
    rng = np.random.default_rng(activation)
    weight, bias = rng.normal(size=(5, 8)), rng.normal(size=5)
    tensors = [
        TensorSpec("x", (1, 8), "float32"),
        TensorSpec("w", (5, 8), "float32", data=weight.astype(np.float32)),
        TensorSpec("b", (5,), "float32", data=bias.astype(np.float32)),
        TensorSpec("y", (1, 5), "float32"),
    ]
    op = OpSpec("FULLY_CONNECTED", [0, 1, 2], [3], {"FusedActivationFunction": activation})
    graph = parse(build(tensors, [op], [0], [3]), "m.tflite")
    x = rng.normal(size=(20, 8)).astype(np.float32)
    wanted = x.astype(float) @ weight.astype(np.float32).T.astype(float) + bias.astype(np.float32)
    low, high = {NONE: (-1e9, 1e9), RELU: (0, 1e9), RELU_N1_TO_1: (-1, 1), RELU6: (0, 6)}[
        activation
    ]
    assert np.array_equal(output(graph, x), np.clip(wanted, low, high))
    assert graph.name == "m"


def refuse(change, message, **more):
    rng = np.random.default_rng(0)
    tensors, op = layer(rng, 6, 4)
    ops = [op]
    change(tensors, ops)
    raw = build(tensors, ops, more.get("inputs", [0]), [3], more.get("subgraphs", 1))
    with pytest.raises(ModelError, match=message) as error:
        parse(raw, "net.tflite")
    assert str(error.value).startswith("net.tflite: ")
    assert "\n" not in str(error.value)


def set_tensor(number, **values):
    def change(tensors, ops):
        for key, value in values.items():
            setattr(tensors[number], key, value)

    return change


def set_op(**values):
    def change(tensors, ops):
        for key, value in values.items():
            setattr(ops[0], key, value)

    return change


def dequantized_weights(tensors, ops):
    half = TensorSpec("half", (4, 6), "float16", data=np.zeros((4, 6), np.float16))
    tensors[0] = TensorSpec("x", (1, 6), "float32")
    tensors[1] = TensorSpec("w", (4, 6), "float32")
    tensors[2] = TensorSpec("b", (4,), "float32", data=np.zeros(4, np.float32))
    tensors[3] = TensorSpec("y", (1, 4), "float32")
    tensors.append(half)
    ops.insert(0, OpSpec("DEQUANTIZE", [4], [1]))


def dynamic_range(tensors, ops):
    tensors[0] = TensorSpec("x", (1, 6), "float32")
    tensors[2] = TensorSpec("b", (4,), "float32", data=np.zeros(4, np.float32))
    tensors[3] = TensorSpec("y", (1, 4), "float32")


def two_to_the_left(tensors, ops):
    ops.append(OpSpec("MUL", [3, 3], [3]))


@pytest.mark.parametrize(
    "change, message",
    [
        (set_op(code="TANH"), "operator 0, TANH .tensor 'y'. is not supported; supported are "),
        (set_op(code="CUSTOM", custom="My"), "operator 0, custom operator 'My' .*not supported"),
        (two_to_the_left, "operator 1, MUL .* is not supported"),
        (dynamic_range, "operator 0, .*: float activations with int8 weights: dynamic-range"),
        (dequantized_weights, "operator 0, DEQUANTIZE: FLOAT16 weights, .*full-integer"),
        (set_tensor(0, dtype="uint8"), "tensor 'x' is UINT8; activations must be INT8 or FLOAT32"),
        (set_tensor(0, dtype="int16"), "tensor 'x' is INT16; activations must be INT8"),
        (set_tensor(1, dtype="int4"), "weight 'w' is INT4, not INT8"),
        (set_tensor(0, scale=None), "tensor 'x' is INT8 without one scale and zero point"),
        (set_tensor(0, scale=[0.1, 0.2]), "tensor 'x' is INT8 without one scale and zero point"),
        (set_tensor(0, scale=float("nan")), "tensor 'x' has a scale that is not positive"),
        (set_tensor(0, zero_point=300), "tensor 'x' has zero point 300; it must be -128 to 127"),
        (set_tensor(1, zero_point=3), r"weight zero points must be 0, not \(3,\)"),
        (set_tensor(1, scale=[0.1, 0.2]), "must have a scale, or one for each of its 4 outputs"),
        (set_tensor(1, scale=1e-30), "scale must be 2..-32 to 2..31"),
        (set_tensor(2, scale=7.0), "bias scale must be that of input x weight"),
        (set_tensor(2, data=np.zeros(3, np.int32), shape=(3,)), r"bias 'b' must have shape \(4,\)"),
        (set_tensor(2, data=np.full(4, 2**31 - 1, np.int32)), "accumulators can overflow int32"),
        (set_tensor(0, shape=(2, 6)), "tensor 'x' has shape .*; the first axis must be a batch"),
        (set_tensor(0, shape=(6,)), "tensor 'x' has shape .*; the first axis must be a batch"),
        (set_tensor(0, shape=(1, 7)), "input 'x' has 7 values a sample for 6 of the weights"),
        (set_tensor(0, shape=(1, 0)), "sizes must be fixed and positive"),
        (set_tensor(0, shape=(1, 2**20, 2**20)), "tensor 'x' has .* elements, more than"),
        (set_tensor(0, signature=(1, -1)), "tensor 'x' has a dynamic shape"),
        (set_tensor(1, data=np.zeros(9, np.int8)), "tensor 'w' has 9 bytes for shape"),
        (set_tensor(1, data=None), "weight 'w' must be constant"),
        (set_op(options={"FusedActivationFunction": TANH}), "fused activation TANH is not"),
        (set_op(options={"WeightsFormat": 1}), "weights format SHUFFLED4x16INT8 is not supported"),
        (set_op(inputs=[0, 1, 99]), "damaged: there is no tensor 99 among 4"),
        (set_op(inputs=[0]), "must have 2 or 3 inputs, not 1"),
        (set_op(outputs=[0]), "output 'x' is defined twice|values a sample"),
    ],
)
def test_refusals_name_what_was_found(change, message):
    refuse(change, message)


def test_several_subgraphs_and_inputs_are_refused():
    refuse(set_op(), "has 2 subgraphs; one is supported", subgraphs=2)
    refuse(set_op(), "has 2 inputs; one is supported", inputs=[0, 3])


def test_a_cycle_is_refused():
    def cycle(tensors, ops):
        ops.insert(0, OpSpec("RESHAPE", [4], [5]))
        ops.insert(1, OpSpec("RESHAPE", [5], [4]))
        ops[2].inputs[0] = 4
        for name in ("p", "q"):
            tensors.append(TensorSpec(name, (1, 6), scale=tensors[0].scale, zero_point=1))

    refuse(cycle, "reshape_0: input 'p' is not defined before it")


def test_many_operators_are_refused():
    def repeat(tensors, ops):
        ops.extend(ops * 2048)

    refuse(repeat, "has 2049 operators, more than 2048")


def test_files(tmp_path):
    path = tmp_path / "net.tflite"
    with pytest.raises(ModelError, match="net.tflite: no such file$"):
        import_tflite(path)
    with pytest.raises(ModelError, match="no such file$"):
        import_tflite(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="not a .tflite file"):
        import_tflite(path)
    path.write_bytes(whole_network(np.random.default_rng(0)))
    assert import_tflite(path).name == "net"


def survives(raw):
    """A damaged file gives a graph or one line; nothing else."""
    try:
        parse(raw, "net.tflite")
    except ModelError as error:
        assert "\n" not in str(error)


def test_truncated_files():
    raw = whole_network(np.random.default_rng(0))
    for size in range(0, len(raw), 7):
        survives(raw[:size])


def test_damaged_files():
    rng = np.random.default_rng(0)
    raw = whole_network(rng)
    for _ in range(600):
        damaged = bytearray(raw)
        for _ in range(int(rng.integers(1, 6))):
            damaged[rng.integers(len(raw))] = rng.choice(
                [0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]
            )
        survives(bytes(damaged))


def test_random_files():
    rng = np.random.default_rng(1)
    for size in (8, 9, 64, 1000, 100_000):
        survives(b"\x10\0\0\0TFL3" + rng.bytes(size))
        survives(b"\x10\0\0\0TFL3" + bytes(size))
        survives(b"\x10\0\0\0TFL3" + b"\xff" * size)
