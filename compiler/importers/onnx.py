"""ONNX models, float or int8 in QDQ form; images have channels last, wherever the file does."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..ir import Graph, GraphError, ModelError, Tensor, live, verify
from ..passes.calibrate import clamps_first
from ..passes.fold_affine import fold_affine
from ..passes.quantizer import Quantizer
from ..passes.settle import QUANTIZERS, settle, settles
from . import onnx_dense as dense
from . import onnx_quantized as quantized
from . import onnx_spatial as spatial
from . import qonnx
from .files import read_model
from .onnx_base import Builder, View, image_order, plain_order
from .onnx_constants import FOLDED, constant, first_line, fold, initializer
from .onnx_dense import FLOATS

__all__ = ["import_onnx", "parse"]

_MOST_NODES = 2048
_SPATIAL: dict[str, Callable[[Builder], None]] = {
    "AveragePool": spatial.pool,
    "Conv": spatial.conv,
    "GlobalAveragePool": spatial.global_pool,
    "GlobalMaxPool": spatial.global_pool,
    "MaxPool": spatial.pool,
    "Pad": spatial.pad,
    "ReduceMean": spatial.reduce_mean,
    "Slice": spatial.slice_,
}
_CONVERT: dict[str, Callable[[Builder], None]] = {
    **_SPATIAL,
    "Add": dense.arithmetic,
    "BatchNormalization": dense.batch_normalization,
    "Cast": dense.same,
    "Clip": dense.clip,
    "Concat": spatial.concat,
    "DequantizeLinear": quantized.dequantize_linear,
    "Div": dense.arithmetic,
    "Dropout": dense.same,
    "Flatten": dense.reshape,
    "Gemm": dense.gemm,
    "Identity": dense.same,
    "MatMul": dense.matmul,
    "Mul": dense.arithmetic,
    "QuantizeLinear": quantized.quantize_linear,
    "Relu": dense.relu,
    "Reshape": dense.reshape,
    "Sigmoid": dense.sigmoid,
    "Softmax": dense.softmax,
    "Squeeze": dense.reshape,
    "Sub": dense.arithmetic,
    "Tanh": dense.tanh,
    "Transpose": dense.transpose,
    "Unsqueeze": dense.reshape,
}
_QONNX: dict[str, Callable[[Builder], None]] = {
    "BipolarQuant": qonnx.binarize,
    "Quant": qonnx.quantize,
}
_SUPPORTED = ", ".join(sorted({**_CONVERT, **_QONNX}))
# what may stand between an input with channels last and the transposition behind it
_KEEPING = ("Add", "Cast", "Div", "Identity", "Mul", "Sub")


def import_onnx(path: str | Path) -> Graph:
    """The graph of an ``.onnx`` file, float or (QDQ) int8, with scales and offsets folded.

    Raises
    ------
    ModelError
        One line that names the file and what in it cannot be taken.
    """
    return parse(read_model(path, ".onnx"), str(path))


def parse(raw: bytes, name: str) -> Graph:
    """The graph of the bytes of an ``.onnx`` file; ``name`` stands in messages."""
    try:
        model = onnx.ModelProto.FromString(raw)
    except Exception as error:  # protobuf's implementations raise types of their own
        raise ModelError(f"{name}: not an .onnx file, or damaged") from error
    if not model.graph.node:
        raise ModelError(f"{name}: not an .onnx file, or one without nodes")
    if len(model.graph.node) > _MOST_NODES:
        raise ModelError(f"{name}: has {len(model.graph.node)} nodes, more than {_MOST_NODES}")
    try:
        with np.errstate(all="ignore"):  # the result is checked instead
            return _graph(model, Path(name).stem or "model")
    except (ModelError, GraphError) as error:
        raise ModelError(f"{name}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{name}: damaged: {first_line(error)}") from error


def _graph(model: Any, name: str) -> Graph:
    build, proto = Builder(model), model.graph
    _refuse(build)
    for tensor in proto.initializer:
        build.constants[tensor.name] = initializer(tensor)
    sources = [value for value in proto.input if value.name not in build.constants]
    for kind, values in (("input", sources), ("output", proto.output)):
        if len(values) != 1:
            raise ModelError(f"has {len(values)} {kind}s; one is supported")
    source = _source(build, sources[0]).tensor
    for number, node in enumerate(proto.node):
        build.number, build.node = number, node
        _step(build)
    target = build.known.get(proto.output[0].name)
    if target is None:
        raise ModelError(f"output {proto.output[0].name!r} is never computed from the input")
    if not (target.plain or (len(target.shape) == 3 and _is_image(target))):
        raise ModelError(
            f"output {proto.output[0].name!r} would have to be transposed, which is not supported"
        )
    nodes = live(build.nodes, (target.tensor.name,))
    graph = Graph(name, (source.name,), (target.tensor.name,), build.tensors, nodes)
    graph = verify(graph.with_nodes(nodes))
    steps = any(node.op in QUANTIZERS for node in nodes)
    graph = _with_scales(build, graph) if steps else verify(fold_affine(graph))
    for node in graph.nodes:
        if not all(np.isfinite(value).all() for value in node.consts.values()):
            raise ModelError(f"node {node.name!r}: a weight or a bias is not finite")
        if node.op in ("softmax", "logistic") and graph.consumers(node.output):
            raise ModelError(f"node {node.name!r}: {node.op} must close the network")
    if steps:
        if build.grids:
            raise ModelError("has QuantizeLinear beside Quant; one kind is supported in a model")
        return settle(graph) if settles(graph) else graph
    if not build.grids:
        return graph
    quantizer = Quantizer(
        clamps_first(graph), {}, False, grids=build.grids, weight_scales=build.weight_scales
    )
    return quantizer.graph()


def _with_scales(build: Builder, graph: Graph) -> Graph:
    """Layers with the scales of their weights, where these are quantized."""
    return graph.with_nodes(
        replace(node, attrs={**node.attrs, "weight_scales": tuple(scales.tolist())})
        if (scales := build.weight_scales.get(node.name)) is not None
        else node
        for node in graph.nodes
    )


def _is_image(view: View) -> bool:
    channels, rows, columns = view.shape
    return np.array_equal(view.order, image_order(channels, rows, columns))


def _step(build: Builder) -> None:
    """Convert one node, or compute it when all it needs is constant."""
    node = build.node
    fixed = all(not name or name in build.constants for name in node.input)
    if node.op_type == "Constant":
        build.constants[node.output[0]] = constant(node)
    elif node.op_type == "Shape" and not fixed:
        shape = np.array([1, *build.activation(0).shape], np.int64)
        part = shape[build.attr("start", 0) : build.attr("end", None)]
        build.constants[node.output[0]] = part
    elif node.op_type in FOLDED and fixed:
        values = [build.constants[name] if name else None for name in node.input]
        build.constants[node.output[0]] = fold(node, values, build.model.opset_import)
        if node.op_type == "Transpose":
            quantized.transposed(build)
    elif node.op_type in _QONNX:
        _QONNX[node.op_type](build)
    elif node.op_type in _CONVERT:
        _CONVERT[node.op_type](build)
    else:
        raise build.fail("is supported on constants only")


def _refuse(build: Builder) -> None:
    """Name the first node that is not supported, then let the checker look for damage."""
    for number, node in enumerate(build.model.graph.node):
        build.number, build.node = number, node
        kind, domain = node.op_type, node.domain
        if domain in qonnx.DOMAINS and kind in _QONNX:
            continue
        if domain not in ("", "ai.onnx"):
            raise ModelError(f"{build.at()} of domain {domain!r} is not supported")
        if kind not in _CONVERT and kind not in FOLDED and kind not in ("Constant", "Shape"):
            raise ModelError(f"{build.at()} is not supported; supported are {_SUPPORTED}")
    for tensor in build.model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            initializer(tensor)  # which refuses it
    try:
        onnx.checker.check_model(_checkable(build.model))
    except Exception as error:  # ValidationError, and others from the C++ underneath
        raise ModelError(f"not a valid model: {first_line(error)}") from error


def _checkable(model: Any) -> Any:
    """The model, with the versions that QONNX's files leave out of the operators they add."""
    used = {node.domain for node in model.graph.node} & set(qonnx.DOMAINS)
    missing = used - {opset.domain for opset in model.opset_import}
    if not missing:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.opset_import.extend(onnx.helper.make_opsetid(domain, 1) for domain in sorted(missing))
    return copy


def _source(build: Builder, value: Any) -> View:
    kind = value.type.tensor_type
    if kind.elem_type not in FLOATS:
        names = onnx.TensorProto.DataType.Name(kind.elem_type)
        raise ModelError(f"input {value.name!r} is {names}; only FLOAT models are supported")
    dims = [dim.dim_value for dim in kind.shape.dim]
    if len(dims) < 2 or dims[0] not in (0, 1):
        raise ModelError(
            f"input {value.name!r} has shape {tuple(dims)}; the first axis must be a batch, "
            "of 1 or of any size"
        )
    if min(dims[1:]) < 1 or math.prod(dims[1:]) > 1 << 26:
        raise ModelError(
            f"input {value.name!r} has shape {tuple(dims)}; sizes must be fixed and positive, "
            f"at most {1 << 26} together"
        )
    shape = tuple(dims[1:])
    spatial = any(node.op_type in _SPATIAL for node in build.model.graph.node)
    if len(shape) == 3 and spatial and not _channels_last(build.model.graph, value.name):
        channels, rows, columns = shape
        tensor = Tensor(value.name, (rows, columns, channels))
        return build.define(value.name, tensor, shape, image_order(channels, rows, columns))
    tensor = Tensor(value.name, shape)
    return build.define(value.name, tensor, shape, plain_order(tensor.size))


def _channels_last(graph: Any, name: str) -> bool:
    """Whether an input of 4 axes is transposed to channels first before anything else sees it."""
    while True:
        users = [node for node in graph.node if name in node.input]
        if len(users) != 1:
            return False
        (user,) = users
        if user.op_type == "Transpose":
            return [list(item.ints) for item in user.attribute] == [[0, 3, 1, 2]]
        if user.op_type not in _KEEPING:
            return False
        name = user.output[0]
