"""The tables of a .tflite file as plain values, every count and offset checked first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite

from ..ir import Array, ModelError

__all__ = ["Model", "Operator", "RawTensor", "read"]

_MOST = 1 << 16  # tensors, axes, scales; a damaged count must not start a long loop
_MOST_OPERATORS = 2048
_NAME_BYTES = 4096
_DTYPES = {"INT8": np.int8, "INT32": np.int32, "FLOAT32": np.float32}


@dataclass(frozen=True, slots=True)
class RawTensor:
    """A tensor as the file has it; ``data`` is None for activations."""

    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    data: bytes | None

    def array(self) -> Array:
        """The constant; its buffer has been found to have the right size."""
        assert self.data is not None
        return np.frombuffer(self.data, np.dtype(_DTYPES[self.dtype]).newbyteorder("<")).reshape(
            self.shape
        )


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator, with the options that the supported ones have; pairs are (rows, columns)."""

    number: int
    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    activation: str = "NONE"
    weights_format: str = "DEFAULT"
    beta: float = 1.0
    padding: str = "SAME"
    stride: tuple[int, int] = (0, 0)  # as the format has it; not one that is supported
    dilation: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] = (0, 0)
    axis: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """One subgraph; only the tensors that it uses."""

    tensors: dict[int, RawTensor]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(raw: bytes) -> Model:
    """The model in a file.

    Raises
    ------
    ModelError
        Naming what is not supported. Damage may also raise whatever the reader stumbles on:
        struct.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError.
    """
    root = tflite.Model.GetRootAs(raw, 0)
    if root.Version() != 3:
        raise ModelError(f"has schema version {root.Version()}, not 3")
    if root.SubgraphsLength() != 1:
        raise ModelError(f"has {root.SubgraphsLength()} subgraphs; one is supported")
    graph = root.Subgraphs(0)
    codes = [_code(root.OperatorCodes(n)) for n in range(_count(root.OperatorCodesLength()))]
    if graph.OperatorsLength() > _MOST_OPERATORS:
        raise ModelError(f"has {graph.OperatorsLength()} operators, more than {_MOST_OPERATORS}")
    operators = tuple(
        _operator(n, graph.Operators(n), codes) for n in range(_count(graph.OperatorsLength()))
    )
    inputs = _ints(graph.InputsLength(), graph.InputsAsNumpy)
    outputs = _ints(graph.OutputsLength(), graph.OutputsAsNumpy)
    used = {*inputs, *outputs}
    used.update(number for op in operators for number in (*op.inputs, *op.outputs))
    total, budget = _count(graph.TensorsLength()), 16 * len(raw)
    tensors, names = {}, set[str]()
    for number in sorted(used):
        if number == -1:  # an optional input that is not there
            continue
        if not 0 <= number < total:
            raise ModelError(f"damaged: there is no tensor {number} among {total}")
        tensor = _tensor(root, graph.Tensors(number), number, names)
        budget -= len(tensor.data or b"")
        if budget < 0:
            raise ModelError("damaged: its tensors share their data too often")
        names.add(tensor.name)
        tensors[number] = tensor
    return Model(tensors, operators, inputs, outputs)


def _count(length: int) -> int:
    if not 0 <= length <= _MOST:
        raise ModelError(f"damaged, or larger than supported: a list of {length} entries")
    return length


def _ints(length: int, values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values()) if _count(length) else ()


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


_OPERATORS = _names(tflite.BuiltinOperator)
_TYPES = _names(tflite.TensorType)
_ACTIVATIONS = _names(tflite.ActivationFunctionType)
_FORMATS = _names(tflite.FullyConnectedOptionsWeightsFormat)


def _code(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == tflite.BuiltinOperator.CUSTOM:
        custom = code.CustomCode() or b""
        return f"custom operator {custom[:64].decode('utf-8', 'replace')!r}"
    return _OPERATORS.get(number, f"unknown operator {number}")


def _operator(number: int, operator: Any, codes: list[str]) -> Operator:
    code = codes[operator.OpcodeIndex()]
    inputs = _ints(operator.InputsLength(), operator.InputsAsNumpy)
    outputs = _ints(operator.OutputsLength(), operator.OutputsAsNumpy)
    table = operator.BuiltinOptions()
    if code not in _OPTIONS or table is None:
        return Operator(number, code, inputs, outputs)
    name, read = _OPTIONS[code]
    if operator.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, name):
        raise ModelError(f"damaged: operator {number}, {code}, has other options")
    options = getattr(tflite, name)()
    options.Init(table.Bytes, table.Pos)
    return Operator(number, code, inputs, outputs, **read(options))


def _fused(options: Any) -> dict[str, Any]:
    activation = options.FusedActivationFunction()
    return {"activation": _ACTIVATIONS.get(activation, f"{activation}")}


def _matrix(options: Any) -> dict[str, Any]:
    weights = options.WeightsFormat()
    return {**_fused(options), "weights_format": _FORMATS.get(weights, f"{weights}")}


def _strided(options: Any) -> dict[str, Any]:
    padding = options.Padding()
    return {
        **_fused(options),
        "padding": _PADDINGS.get(padding, f"{padding}"),
        "stride": (int(options.StrideH()), int(options.StrideW())),
    }


def _dilated(options: Any) -> dict[str, Any]:
    dilation = (int(options.DilationHFactor()), int(options.DilationWFactor()))
    return {**_strided(options), "dilation": dilation}


def _pool(options: Any) -> dict[str, Any]:
    kernel = (int(options.FilterHeight()), int(options.FilterWidth()))
    return {**_strided(options), "kernel": kernel}


_PADDINGS = _names(tflite.Padding)
_OPTIONS: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "ADD": ("AddOptions", _fused),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _pool),
    "CONCATENATION": (
        "ConcatenationOptions",
        lambda options: {**_fused(options), "axis": int(options.Axis())},
    ),
    "CONV_2D": ("Conv2DOptions", _dilated),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _dilated),
    "FULLY_CONNECTED": ("FullyConnectedOptions", _matrix),
    "MAX_POOL_2D": ("Pool2DOptions", _pool),
    "SOFTMAX": ("SoftmaxOptions", lambda options: {"beta": float(options.Beta())}),
}


def _tensor(root: Any, tensor: Any, number: int, names: set[str]) -> RawTensor:
    label = tensor.Name() or b""
    if len(label) > _NAME_BYTES:
        raise ModelError(f"damaged: the name of tensor {number} has {len(label)} bytes")
    name = label.decode("utf-8", "replace") or f"tensor_{number}"
    if name in names:
        name = f"{name}#{number}"
    dtype = _TYPES.get(tensor.Type(), f"type {tensor.Type()}")
    if tensor.Sparsity() is not None:
        raise ModelError(f"tensor {name!r} is sparse; only dense tensors are supported")
    if tensor.IsVariable():
        raise ModelError(f"tensor {name!r} is a variable; only constants are supported")
    shape = _ints(tensor.ShapeLength(), tensor.ShapeAsNumpy)
    signature = _ints(tensor.ShapeSignatureLength(), tensor.ShapeSignatureAsNumpy)
    quantization = tensor.Quantization()
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis = 0
    if quantization is not None:
        if _count(quantization.ScaleLength()):
            scales = tuple(float(value) for value in quantization.ScaleAsNumpy())
        zero_points = _ints(quantization.ZeroPointLength(), quantization.ZeroPointAsNumpy)
        axis = int(quantization.QuantizedDimension())
        if not all(np.isfinite(scale) and scale > 0 for scale in scales):
            raise ModelError(f"tensor {name!r} has a scale that is not positive and finite")
    data = _data(root, tensor, name)
    if data is not None and dtype in _DTYPES:
        wanted = np.dtype(_DTYPES[dtype]).itemsize
        for size in shape:
            wanted *= size
        if wanted != len(data) or any(size < 1 for size in shape):
            raise ModelError(f"tensor {name!r} has {len(data)} bytes for shape {shape} of {dtype}")
    return RawTensor(name, shape, signature, dtype, scales, zero_points, axis, data)


def _data(root: Any, tensor: Any, name: str) -> bytes | None:
    index = tensor.Buffer()
    if index >= root.BuffersLength():
        raise ModelError(f"damaged: tensor {name!r} has no buffer {index}")
    if index == 0:  # by definition empty
        return None
    buffer = root.Buffers(index)
    if buffer.Offset() > 1:
        raise ModelError(f"tensor {name!r} lies outside the flatbuffer, which is not supported")
    if buffer.DataLength() == 0:
        return None
    if buffer.DataLength() > len(tensor._tab.Bytes):
        raise ModelError(f"damaged: tensor {name!r} has {buffer.DataLength()} bytes")
    return bytes(buffer.DataAsNumpy())
