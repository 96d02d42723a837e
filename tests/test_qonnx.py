"""QONNX models: int8 graphs whose every level is what ONNX's own evaluator gives."""

import gzip

import numpy as np
import pytest
from lowered import check as check_hardware
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from support import data_dir, needs_data

from prunus.compiler.evaluate import output, quantize_input, run, split_host
from prunus.compiler.importers.onnx import import_onnx, parse
from prunus.compiler.ir import GraphError, ModelError
from prunus.compiler.passes.calibrate import calibrate
from prunus.compiler.store import load, save

DOMAIN = "qonnx.custom_op.general"


class Quant(OpRun):
    op_domain = DOMAIN

    def _run(self, x, scale, zero, bits, narrow=0, rounding_mode="ROUND", signed=1):
        lo = narrow - 2 ** (bits - 1) if signed else 0
        hi = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
        levels = np.clip(np.rint(x / scale + zero), lo, hi) - zero
        return (np.asarray(levels * scale, np.float32),)


class BipolarQuant(OpRun):
    op_domain = DOMAIN

    def _run(self, x, scale):
        return (np.asarray(np.where(x >= 0, scale, -scale), np.float32),)


class Model:
    """Nodes and constants of a file."""

    def __init__(self, seed=0, shape=(1, 20), source="x"):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.consts, self.shape, self.last = [], {}, shape, source

    def const(self, value):
        name = f"c{len(self.consts)}"
        self.consts[name] = np.asarray(value)
        return name

    def node(self, op, *inputs, **attrs):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], f"{op}_{name}", **attrs))
        return name

    def then(self, op, *values, **attrs):
        """An operator on the last value, and constants."""
        self.last = self.node(op, self.last, *(self.const(value) for value in values), **attrs)
        return self

    def quant(self, scale=0.25, zero=0, bits=3, source=None, **attrs):
        """A quantizer of the last value, or of a constant, whose name is returned."""
        values = [self.const(np.float32(v)) for v in (scale, zero, bits)]
        name = self.node("Quant", source or self.last, *values, domain=DOMAIN, **attrs)
        if source is not None:
            return name
        self.last = name
        return self

    def bipolar(self, scale=1.0, source=None):
        name = self.node("BipolarQuant", source or self.last, self.const(np.float32(scale)),
                         domain=DOMAIN)  # fmt: skip
        if source is not None:
            return name
        self.last = name
        return self

    def weight(self, shape, kind, axis=None):
        source = self.const(self.rng.normal(size=shape).astype(np.float32))
        if kind == "binary":
            return self.bipolar(0.4, source=source)
        scale = np.float32(0.3)
        if axis is not None:
            sizes = [n if a == axis else 1 for a, n in enumerate(shape)]
            scale = self.rng.uniform(0.2, 0.5, sizes).astype(np.float32)
        return self.quant(scale, 0, kind, source=source, narrow=1)

    def matmul(self, inputs, outputs, kind="binary", axis=None):
        self.last = self.node("MatMul", self.last, self.weight((inputs, outputs), kind, axis))
        return self

    def norm(self, channels, spread=1.0):
        draw = self.rng.normal
        return self.then(
            "BatchNormalization", draw(0, 1, channels).astype(np.float32),
            draw(0, 1, channels).astype(np.float32), draw(0, 1, channels).astype(np.float32),
            (self.rng.uniform(0.5, 2, channels) * spread).astype(np.float32),
        )  # fmt: skip

    def proto(self, every=False):
        names = [node.output[0] for node in self.nodes] if every else [self.last]
        float_info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes, "g", [float_info("x", TensorProto.FLOAT, self.shape)],
            [ValueInfoProto(name=name) for name in names] if every
            else [float_info(self.last, TensorProto.FLOAT, [None, None])],
            [numpy_helper.from_array(v, k) for k, v in self.consts.items()],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", 19), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def graph(self):
        return parse(self.proto().SerializeToString(), "net.onnx")

    def reference(self, x):
        """Every value of the file, by name."""
        evaluator = ReferenceEvaluator(self.proto(every=True), new_ops=[Quant, BipolarQuant])
        names = [node.output[0] for node in self.nodes]
        return dict(zip(names, evaluator.run(None, {"x": x}), strict=True))


def check(model, x, hardware=True, strict=True, **options):
    """Every quantized value has the levels of the reference, the output is within a step.

    Not ``strict``: levels that are closer than a layer's sums may differ by one, rarely.
    """
    graph, wanted = model.graph(), model.reference(x)
    images = x.ndim == 4 and graph.tensors[graph.inputs[0]].shape != x.shape[1:]
    got = run(graph, quantize_input(graph, x.transpose(0, 2, 3, 1) if images else x))
    quantizers = [n.output[0] for n in model.nodes if n.domain and n.input[0] not in model.consts]
    assert quantizers and all(name in got for name in quantizers)
    for name in quantizers:
        real = wanted[name]
        real = real.transpose(0, 2, 3, 1) if real.ndim == 4 else real
        real, levels = real.ravel(), got[name].ravel().astype(int)
        if not strict:
            scale, zero = graph.tensors[name].scale, graph.tensors[name].zero_point
            off = np.rint(real / scale) - (levels - zero)
            assert np.abs(off).max() <= 1 and np.count_nonzero(off) < 0.02 * off.size, name
            continue
        # One level for each real value, at equal distances.
        pairs = sorted(set(zip(np.round(real, 5).tolist(), levels.tolist(), strict=True)))
        assert len({p[0] for p in pairs}) == len({p[1] for p in pairs}) == len(pairs), name
        scale = graph.tensors[name].scale
        for a, b in zip(pairs, pairs[1:], strict=False):
            assert abs((b[0] - a[0]) / scale - (b[1] - a[1])) < 1e-3
    tensor = graph.tensors[graph.outputs[0]]
    values = (got[tensor.name].astype(float) - tensor.zero_point) * tensor.scale
    error = np.abs(values - wanted[tensor.name].reshape(values.shape))
    assert not strict or error.max() < 0.6 * tensor.scale
    if hardware:
        check_hardware(split_host(graph)[1], pes=8, **options)
    return graph


def vectors(count=60, size=20, seed=5):
    return np.random.default_rng(seed).uniform(0, 1, (count, size)).astype(np.float32)


@pytest.mark.parametrize("weights", ["binary", 2, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_binary_activations(weights, seed):
    model = Model(seed).then("Sub", np.float32(0.5)).bipolar(0.7).matmul(20, 16, weights)
    model.norm(16, 8).bipolar(1.3).matmul(16, 5, weights)
    check(model, vectors(), engine=("eie", "systolic")[seed])


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("form", [{}, {"narrow": 1}, {"signed": 0}])
@pytest.mark.parametrize("axis", [None, 1])
def test_quantized_activations(bits, form, axis):
    model = Model(bits).quant(0.25, 0, 3).matmul(20, 16, 3, axis).norm(16, 4)
    model.quant(0.037, 0, bits, **form).matmul(16, 9, 2, axis)
    model.then("Relu").quant(0.11, 0, bits, **form).matmul(9, 4, "binary")
    check(model, vectors(), hardware=bits == 2, strict=bits < 8)


def test_a_zero_point_and_offsets_at_the_end():
    model = Model(3).quant(0.25, 2, 4, signed=0).matmul(20, 12, 3)
    model.then("Mul", np.float32(0.3)).quant(0.2, -1, 4).matmul(12, 6, "binary")
    model.then("Sub", np.float32(0.8)).then("Div", np.float32(18.0)).then("Mul", np.float32(0.7))
    check(model, vectors())


def test_scales_of_both_signs_and_none():
    model = Model(4).quant(0.25, 0, 3).matmul(20, 6, 3)
    model.then("Mul", np.array([1, -1, 0, 1e-9, -0.3, 2], np.float32))
    model.then("Add", np.array([0.1, -0.2, 0.3, 0.3, -9.1, 0], np.float32))
    check(model.quant(0.347, 0, 4).matmul(6, 3, 2), vectors())


@pytest.mark.parametrize(
    ("scale", "offset", "table"),
    [(2.0, -1.0, False), (1.0, 0.0, False), (2.0, 1.0, False), (2.0, -0.71, False),
     (-2.0, 1.0, True)],
)  # fmt: skip
def test_where_the_input_changes_its_sign(scale, offset, table):
    model = Model(1).then("Mul", np.float32(scale)).then("Add", np.float32(offset)).bipolar()
    model.matmul(20, 12).norm(12).bipolar().matmul(12, 4)
    x = vectors() - np.float32(0.5)
    if table:  # of bytes: a threshold lies on one of their steps
        x = (np.rint(x * 85) / 85).astype(np.float32)
        x[np.abs(x - 0.5) < 0.02] = 0
    graph = check(model, x, hardware=False)
    assert ("lut" in [node.op for node in graph.nodes]) == table


def test_an_input_whose_steps_are_not_those_of_int8_takes_a_table():
    model = Model(2).then("Sub", np.float32(0.37)).then("Div", np.float32(0.2)).quant(1.0, 0, 3)
    graph = model.matmul(20, 12).norm(12).bipolar().matmul(12, 4).graph()
    assert [node.op for node in graph.nodes][0] == "lut"
    x = np.round(vectors() * 255) / 255
    wanted = model.reference(x.astype(np.float32))[model.nodes[2].output[0]]
    got = run(graph, quantize_input(graph, x))[model.nodes[2].output[0]]
    # Only values that lie beside a threshold, within a step of the bytes, may differ.
    assert (np.abs(got - wanted) > 0).mean() < 0.03
    check_hardware(split_host(graph)[1], pes=8)


def test_a_convolutional_network():
    model = Model(0, (1, 3, 8, 8)).then("Sub", np.float32(0.5)).quant(0.125, 0, 4)
    last = model.weight((12, 3, 3, 3), 3, 0)
    model.last = model.node("Conv", model.last, last, pads=[1, 1, 1, 1])
    model.norm(12, 4).then("Relu").quant(0.3, 0, 2, signed=0)
    model.last = model.node("MaxPool", model.last, kernel_shape=[2, 2], strides=[2, 2])
    last = model.weight((12, 1, 3, 3), "binary")
    model.last = model.node("Conv", model.last, last, group=12, pads=[1, 1, 1, 1])
    model.norm(12).bipolar(0.5)
    model.last = model.node("Flatten", model.last)
    model.matmul(192, 5, 2)
    x = np.random.default_rng(1).uniform(0, 1, (10, 3, 8, 8)).astype(np.float32)
    check(model, x)


def test_halves_are_rounded_up_where_even_numbers_cannot_be_had():
    """Scales that are powers of two put sums in the middle between levels."""
    model = Model(1).quant(1 / 8, 0, 4).matmul(20, 16, 4)
    model.consts["c4"] = np.float32(1 / 8)  # the scale of the weights
    graph = model.quant(1 / 8, 0, 6).matmul(16, 3, 2).graph()
    x = vectors()
    name = model.nodes[3].output[0]
    got = run(graph, quantize_input(graph, x))[name].astype(int) / 8
    wanted = model.reference(x)[name]
    middle = model.reference(x)[model.nodes[2].output[0]] * 8 % 1 == 0.5
    assert middle.any() and np.array_equal(got[~middle], wanted[~middle])
    assert set(np.unique((got - wanted)[middle])) <= {0, 1 / 8}


def test_a_second_quantizer_is_a_table():
    model = Model(1).quant(0.125, 0, 4).then("Relu").quant(0.3, 0, 3).matmul(20, 4)
    graph = check(model, vectors())
    assert [node.op for node in graph.nodes] == ["rescale", "lut", "fully_connected"]


def test_an_input_without_a_quantizer_is_calibrated(tmp_path):
    model = Model(6).matmul(20, 16, 4)
    model.then("Add", model.rng.normal(size=16).astype(np.float32)).then("Relu")
    model.quant(0.1, 0, 6, signed=0).matmul(16, 5, 4).then("Softmax", axis=1)
    graph, x = model.graph(), vectors(200)
    assert not graph.quantized
    wanted = model.reference(x)[model.last]
    assert np.abs(output(graph, x) - wanted).max() < 1e-5
    save(graph, tmp_path / "graph.npz")
    int8 = calibrate(load(tmp_path / "graph.npz"), x)
    got = output(int8, quantize_input(int8, x)).astype(float) / 256 + 0.5
    assert np.abs(got - wanted).max() < 0.1
    check_hardware(split_host(int8)[1], pes=8)


def refused(model, message, error=ModelError):
    with pytest.raises(error, match=f"^net.onnx: {message}"):
        model.graph()


def test_what_is_refused():
    def start():
        return Model().quant().matmul(20, 4)

    refused(start().quant(bits=9), "node [0-9]+ 'Quant_.*, Quant: bit width must be one integer, ")
    refused(start().quant(rounding_mode="FLOOR"), ".*, Quant: rounding_mode 'FLOOR' is not supp")
    refused(start().quant(zero=0.5), ".*, Quant: zero point must be an integer")
    refused(start().quant(scale=-1), ".*, Quant: scale must be positive$")
    refused(start().quant(scale=[0.1] * 4), ".*, Quant: an activation must have one scale")
    refused(start().quant(bits=1, narrow=1), ".*, Quant: has one level alone, 0; use Bipolar")
    refused(start().matmul(4, 4), "MatMul_.*: its input is not quantized; a quantizer must stand")
    refused(start().quant().then("Tanh").quant(), "Tanh_.*: tanh is not supported beside quant")
    refused(start().bipolar(), "t[0-9]+: an output must not be binary$")
    refused(Model().quant().then("MatMul", np.ones((20, 3), np.float32)),
            "MatMul_.*: its weights are not quantized; put a quantizer there$")  # fmt: skip
    model = start()
    model.nodes.append(helper.make_node("Trunc", [model.last], ["y"], domain=DOMAIN))
    refused(model, f"node 3, Trunc of domain '{DOMAIN}' is not supported$")
    images = Model(0, (1, 2, 4, 4)).then("Sub", np.float32(0.5)).bipolar()
    images.last = images.node("Conv", images.last, images.weight((3, 2, 3, 3), 2), pads=[1] * 4)
    refused(images, "Conv_.*: pads with zeros what has no level of zero$")
    with pytest.raises(GraphError, match="^x: the input has no quantizer; calibrate with samp"):
        from prunus.compiler.passes.settle import settle

        settle(Model().matmul(20, 4).quant().graph())


@needs_data
@pytest.mark.parametrize(("name", "right"), [("1W1A", 913), ("1W2A", 938), ("2W2A", 966)])
def test_networks_of_brevitas(name, right):
    """Of the first 1,000 digits; every level of every layer is that of the float network."""
    folder = data_dir()
    raw = gzip.decompress((folder / "mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    x = np.frombuffer(raw, np.uint8, 784_000, 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    raw = gzip.decompress((folder / "mnist/t10k-labels-idx1-ubyte.gz").read_bytes())
    labels = np.frombuffer(raw, np.uint8, 1000, 8)
    graph = import_onnx(folder / f"qonnx/TFC_{name}.onnx")
    found = output(graph, quantize_input(graph, x)).argmax(axis=1)
    assert (found == labels).sum() == right
    if name == "2W2A":
        check_hardware(split_host(graph)[1], pes=16)


@needs_data
def test_the_network_of_qkeras():
    graph = import_onnx(data_dir() / "qonnx/qkeras_jettagging.onnx")
    x = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    int8 = calibrate(graph, x)
    same = output(int8, quantize_input(int8, x)).argmax(axis=1) == output(graph, x).argmax(axis=1)
    assert same.mean() > 0.95
    check_hardware(split_host(int8)[1], pes=16, engine="eie")
