"""Writes small .tflite files, so that tests need no converter."""

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite

TYPES = {
    "float32": tflite.TensorType.FLOAT32,
    "float16": tflite.TensorType.FLOAT16,
    "int32": tflite.TensorType.INT32,
    "uint8": tflite.TensorType.UINT8,
    "int8": tflite.TensorType.INT8,
    "int16": tflite.TensorType.INT16,
    "int4": tflite.TensorType.INT4,
    "int64": tflite.TensorType.INT64,
}


@dataclass
class TensorSpec:
    """One tensor: a constant when ``data`` is given."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float | list[float] | None = None
    zero_point: int | list[int] = 0
    axis: int = 0
    data: np.ndarray | None = None
    signature: tuple[int, ...] | None = None


@dataclass
class OpSpec:
    """One operator; ``options`` maps a field of its options table to a value."""

    code: str
    inputs: list[int]
    outputs: list[int]
    options: dict = field(default_factory=dict)
    version: int = 1
    custom: str | None = None


def vector(builder, start, values, kind):
    start(builder, len(values))
    for value in reversed(values):
        getattr(builder, f"Prepend{kind}")(value)
    return builder.EndVector()


def quantization(builder, spec):
    if spec.scale is None:
        return None
    scales = np.atleast_1d(np.asarray(spec.scale, np.float32)).tolist()
    zeros = np.atleast_1d(spec.zero_point).tolist()
    zeros = zeros * len(scales) if len(zeros) == 1 else zeros
    scale = vector(builder, tflite.QuantizationParametersStartScaleVector, scales, "Float32")
    zero = vector(builder, tflite.QuantizationParametersStartZeroPointVector, zeros, "Int64")
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scale)
    tflite.QuantizationParametersAddZeroPoint(builder, zero)
    tflite.QuantizationParametersAddQuantizedDimension(builder, spec.axis)
    return tflite.QuantizationParametersEnd(builder)


def options(builder, op):
    """The options table of an operator, and its type."""
    name = {
        "FULLY_CONNECTED": "FullyConnectedOptions",
        "SOFTMAX": "SoftmaxOptions",
        "RESHAPE": "ReshapeOptions",
        "QUANTIZE": "QuantizeOptions",
        "DEQUANTIZE": "DequantizeOptions",
        "CONV_2D": "Conv2DOptions",
        "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
        "AVERAGE_POOL_2D": "Pool2DOptions",
        "MAX_POOL_2D": "Pool2DOptions",
        "ADD": "AddOptions",
        "MEAN": "ReducerOptions",
        "PAD": "PadOptions",
        "CONCATENATION": "ConcatenationOptions",
    }.get(op.code)
    if name is None or op.custom:
        return None, 0
    values = dict(op.options)
    if "NewShape" in values:
        values["NewShape"] = vector(
            builder, tflite.ReshapeOptionsStartNewShapeVector, values["NewShape"], "Int32"
        )
    getattr(tflite, f"{name}Start")(builder)
    for key, value in values.items():
        getattr(tflite, f"{name}Add{key}")(builder, value)
    return getattr(tflite, f"{name}End")(builder), getattr(tflite.BuiltinOptions, name)


def build(tensors, ops, inputs, outputs, subgraphs=1):
    """The bytes of a model with one subgraph, repeated ``subgraphs`` times."""
    builder = flatbuffers.Builder(1024)
    buffers = [None] + [None if t.data is None else np.ascontiguousarray(t.data) for t in tensors]
    buffer_offsets = []
    for data in buffers:
        payload = None
        if data is not None:
            builder.StartVector(1, data.nbytes, 16)
            builder.head -= data.nbytes
            builder.Bytes[builder.Head() : builder.Head() + data.nbytes] = data.tobytes()
            payload = builder.EndVector()
        tflite.BufferStart(builder)
        if payload is not None:
            tflite.BufferAddData(builder, payload)
        buffer_offsets.append(tflite.BufferEnd(builder))
    tensor_offsets = []
    for number, spec in enumerate(tensors):
        name = builder.CreateString(spec.name)
        shape = vector(builder, tflite.TensorStartShapeVector, spec.shape, "Int32")
        signature = None
        if spec.signature is not None:
            start = tflite.TensorStartShapeSignatureVector
            signature = vector(builder, start, spec.signature, "Int32")
        quant = quantization(builder, spec)
        tflite.TensorStart(builder)
        tflite.TensorAddShape(builder, shape)
        tflite.TensorAddType(builder, TYPES[spec.dtype])
        tflite.TensorAddBuffer(builder, number + 1)
        tflite.TensorAddName(builder, name)
        if quant is not None:
            tflite.TensorAddQuantization(builder, quant)
        if signature is not None:
            tflite.TensorAddShapeSignature(builder, signature)
        tensor_offsets.append(tflite.TensorEnd(builder))
    code_offsets, op_offsets = [], []
    for op in ops:
        custom = builder.CreateString(op.custom) if op.custom else None
        code = tflite.BuiltinOperator.CUSTOM if custom else getattr(tflite.BuiltinOperator, op.code)
        tflite.OperatorCodeStart(builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, 127))
        tflite.OperatorCodeAddBuiltinCode(builder, code)
        tflite.OperatorCodeAddVersion(builder, op.version)
        if custom:
            tflite.OperatorCodeAddCustomCode(builder, custom)
        code_offsets.append(tflite.OperatorCodeEnd(builder))
    for number, op in enumerate(ops):
        ins = vector(builder, tflite.OperatorStartInputsVector, op.inputs, "Int32")
        outs = vector(builder, tflite.OperatorStartOutputsVector, op.outputs, "Int32")
        table, kind = options(builder, op)
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, number)
        tflite.OperatorAddInputs(builder, ins)
        tflite.OperatorAddOutputs(builder, outs)
        if table is not None:
            tflite.OperatorAddBuiltinOptions(builder, table)
            tflite.OperatorAddBuiltinOptionsType(builder, kind)
        op_offsets.append(tflite.OperatorEnd(builder))
    t = vector(builder, tflite.SubGraphStartTensorsVector, tensor_offsets, "UOffsetTRelative")
    i = vector(builder, tflite.SubGraphStartInputsVector, inputs, "Int32")
    o = vector(builder, tflite.SubGraphStartOutputsVector, outputs, "Int32")
    n = vector(builder, tflite.SubGraphStartOperatorsVector, op_offsets, "UOffsetTRelative")
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, t)
    tflite.SubGraphAddInputs(builder, i)
    tflite.SubGraphAddOutputs(builder, o)
    tflite.SubGraphAddOperators(builder, n)
    graph = tflite.SubGraphEnd(builder)
    graphs = vector(
        builder, tflite.ModelStartSubgraphsVector, [graph] * subgraphs, "UOffsetTRelative"
    )
    codes = vector(builder, tflite.ModelStartOperatorCodesVector, code_offsets, "UOffsetTRelative")
    data = vector(builder, tflite.ModelStartBuffersVector, buffer_offsets, "UOffsetTRelative")
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, data)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def reference(model, *x):
    """Every output of the reference kernels for each sample of the inputs ``x``, as one array."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    runner = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    runner.allocate_tensors()
    inputs, (o,) = runner.get_input_details(), runner.get_output_details()
    results = []
    for samples in zip(*x, strict=True):
        for i, sample in zip(inputs, samples, strict=True):
            runner.set_tensor(i["index"], np.asarray(sample)[None].astype(i["dtype"]))
        runner.invoke()
        results.append(runner.get_tensor(o["index"])[0].copy())
    return np.array(results)
