"""TensorFlow Lite models: fully int8 ones, kept bit for bit, and float ones, to be calibrated."""

import struct
from collections.abc import Callable
from pathlib import Path

from ..ir import Graph, GraphError, ModelError, live, verify
from .files import read_model
from .flatbuffer import Model, Operator, read
from .tflite_base import ACTIVATIONS, Builder, at, short
from .tflite_layers import convolution, fully_connected
from .tflite_ops import (
    add,
    concatenation,
    dequantize,
    logistic,
    mean,
    pad,
    pool,
    quantize,
    relu,
    reshape,
    softmax,
)

__all__ = ["import_tflite", "parse"]

_CONVERT: dict[str, Callable[[Builder, Operator], None]] = {
    "ADD": add,
    "AVERAGE_POOL_2D": pool,
    "CONCATENATION": concatenation,
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": convolution,
    "DEQUANTIZE": dequantize,
    "FULLY_CONNECTED": fully_connected,
    "LOGISTIC": logistic,
    "MAX_POOL_2D": pool,
    "MEAN": mean,
    "PAD": pad,
    "QUANTIZE": quantize,
    "RELU": relu,
    "RELU6": relu,
    "RESHAPE": reshape,
    "SOFTMAX": softmax,
}


def import_tflite(path: str | Path) -> Graph:
    """The graph of a ``.tflite`` file.

    Raises
    ------
    ModelError
        One line that names the file and what in it cannot be taken.
    """
    return parse(read_model(path, ".tflite"), str(path))


def parse(raw: bytes, name: str) -> Graph:
    """The graph of the bytes of a ``.tflite`` file; ``name`` stands in messages."""
    if raw[4:8] != b"TFL3":
        raise ModelError(f"{name}: not a .tflite file (its identifier is {raw[4:8]!r})")
    try:
        model = read(raw)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    except (struct.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise ModelError(f"{name}: damaged: a table points outside the file") from None
    try:
        return _graph(model, Path(name).stem or "model")
    except (ModelError, GraphError) as error:
        raise ModelError(f"{name}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{name}: damaged: a value is out of its range") from error


def _graph(model: Model, name: str) -> Graph:
    build = Builder(model)
    _refuse(build)
    source, target = build.activation(model.inputs[0]), build.activation(model.outputs[0])
    for operator in model.operators:
        _CONVERT[operator.code](build, operator)
    nodes = live(build.nodes, (target.name,))
    graph = Graph(name, (source.name,), (target.name,), build.tensors, nodes)
    return verify(graph.with_nodes(nodes))


def _refuse(build: Builder) -> None:
    """Name the first thing that rules the whole model out."""
    model = build.model
    for kind, numbers in (("input", model.inputs), ("output", model.outputs)):
        if len(numbers) != 1:
            raise ModelError(f"has {len(numbers)} {kind}s; one is supported")
        build.raw(numbers[0])
    for op in model.operators:
        tensors = [build.raw(number) for number in op.inputs if number >= 0]
        moving = [t for t in tensors if t.data is None]
        fixed = [t for t in tensors if t.data is not None]
        if op.code == "DEQUANTIZE" and fixed:
            raise ModelError(
                f"{at(op)}: {fixed[0].dtype} weights, dequantized at run time (tensor "
                f"{short(fixed[0])}); convert with full-integer quantization, or to float32"
            )
        if (
            op.code not in ("QUANTIZE", "DEQUANTIZE")
            and any(t.dtype == "FLOAT32" for t in moving)
            and any(t.dtype in ("INT8", "INT4", "UINT8") for t in fixed)
        ):
            raise ModelError(
                f"{at(op)}: float activations with int8 weights: dynamic-range quantization; "
                "convert with full-integer quantization"
            )
    for op in model.operators:
        if op.code not in _CONVERT:
            output = f" (tensor {short(build.raw(op.outputs[0]))})" if op.outputs else ""
            raise ModelError(
                f"{at(op)}{output} is not supported; supported are {', '.join(_CONVERT)}"
            )
        if op.activation not in ACTIVATIONS:
            raise ModelError(f"{at(op)}: fused activation {op.activation} is not supported")
