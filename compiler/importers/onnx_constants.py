"""Constants of an ONNX graph: initialisers, Constant nodes, and what can be computed from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.reference

from ..ir import Array, ModelError

__all__ = ["FOLDED", "attributes", "constant", "first_line", "fold", "initializer"]

# Operators that are evaluated when all inputs are constant: what exporters use to compute shapes
# and to transpose weights.
FOLDED = ("Cast", "Concat", "Gather", "Identity", "Pow", "Reshape", "Slice", "Sqrt", "Squeeze",
          "Transpose", "Unsqueeze")  # fmt: skip
_GROWING = ("Concat", "Gather", "Pow")
_MOST_GROWING = 4096  # elements: enough for shapes, and no file can make memory explode with it


def attributes(node: Any) -> dict[str, Any]:
    """The attributes of a node by name."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def initializer(tensor: Any) -> Array:
    """The value of a TensorProto."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ModelError(
            f"initializer {tensor.name!r} is in another file; save the model with its data inside"
        )
    if tensor.data_type in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16):
        raise ModelError(f"initializer {tensor.name!r} is float16; convert the model to float32")
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except Exception as error:  # the reader's own types vary with the damage
        raise ModelError(f"initializer {tensor.name!r} is damaged: {first_line(error)}") from error


def constant(node: Any) -> Array:
    """The value of a Constant node."""
    given = attributes(node)
    for key, dtype in (("value_float", np.float32), ("value_floats", np.float32),
                       ("value_int", np.int64), ("value_ints", np.int64)):  # fmt: skip
        if key in given:
            return np.array(given[key], dtype)
    if "value" in given:
        return initializer(given["value"])
    raise ModelError(f"node {node.name!r}, Constant, has no number as its value")


def fold(node: Any, values: Sequence[Array | None], opsets: Sequence[Any]) -> Array:
    """The output of a node of :data:`FOLDED` whose inputs are known."""
    present = [value for value in values if value is not None]
    if node.op_type in _GROWING and sum(value.size for value in present) > _MOST_GROWING:
        raise ModelError(f"node {node.name!r}, {node.op_type}, on constants is too large")
    given = zip(node.input, values, strict=True)
    inputs = {name: value for name, value in given if value is not None}
    infos = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in inputs.items()
    ]
    outputs = [onnx.ValueInfoProto(name=node.output[0])]
    graph = onnx.helper.make_graph([node], "constant", infos, outputs)
    model = onnx.helper.make_model(graph, opset_imports=list(opsets))
    try:
        (result,) = onnx.reference.ReferenceEvaluator(model).run(None, inputs)
    except Exception as error:  # any: the evaluator does not document its errors
        raise ModelError(f"node {node.name!r}, {node.op_type}: {first_line(error)}") from error
    return np.asarray(result)


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
