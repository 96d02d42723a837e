"""Random shapes and one-operator .tflite models of convolutions, for tests against the reference.

What is drawn covers strides, paddings, dilations, zero points, scales and fused activations.
"""

from dataclasses import dataclass

import numpy as np
from tflite_builder import OpSpec, TensorSpec, build

SAME, VALID = 0, 1
ACTIVATIONS = {0: (None, None), 1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


@dataclass
class Window:
    """Kernel, stride, dilation and padding along both axes, with what they make of a size."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    scheme: int

    @property
    def output(self):
        return tuple(
            -(-s // d) if self.scheme == SAME else (s - self._reach(n)) // d + 1
            for n, (s, d) in enumerate(zip(self.size, self.stride, strict=True))
        )

    @property
    def padding(self):
        if self.scheme == VALID:
            return (0, 0, 0, 0)
        ends = []
        for n, (size, stride) in enumerate(zip(self.size, self.stride, strict=True)):
            total = max(0, (self.output[n] - 1) * stride + self._reach(n) - size)
            ends += [total // 2, total - total // 2]
        return tuple(ends)

    def _reach(self, axis):
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def options(self, kind):
        """The fields of the options table of a convolution or a pool."""
        options = {"Padding": self.scheme, "StrideH": self.stride[0], "StrideW": self.stride[1]}
        if kind == "pool":
            names = ("FilterHeight", "FilterWidth")
            return options | dict(zip(names, self.kernel, strict=True))
        names = ("DilationHFactor", "DilationWFactor")
        return options | dict(zip(names, self.dilation, strict=True))


def draw_window(rng, dilated=True):
    """A window that fits its input; one axis is dilated only where its stride is 1."""
    scheme = int(rng.integers(2))
    dilation = (1, 1)
    stride = tuple(int(v) for v in rng.integers(1, 4, 2))
    if dilated and rng.integers(3) == 0:
        stride, dilation = (1, 1), tuple(int(v) for v in rng.integers(1, 4, 2))
    kernel = tuple(int(v) for v in rng.integers(1, 5, 2))
    least = [max(s, d * (k - 1) + 1) for k, s, d in zip(kernel, stride, dilation, strict=True)]
    size = tuple(int(low + rng.integers(0, 8)) for low in least)
    return Window(size, kernel, stride, dilation, scheme)


def scale_of(rng, powers):
    """A float32 scale; a power of two makes exact halves occur."""
    if powers:
        return float(2.0 ** -rng.integers(0, 6))
    return float(np.float32(rng.uniform(0.01, 0.5)))


def clamp_of(activation, scale, zero):
    """The int8 range of a fused activation."""
    low, high = ACTIVATIONS[activation]
    lo = -128 if low is None else max(-128, zero + _away(low / scale))
    hi = 127 if high is None else min(127, zero + _away(high / scale))
    return lo, max(lo, hi)


def _away(x):
    return int(np.copysign(np.floor(abs(x) + 0.5), x))


@dataclass
class Convolution:
    """A drawn convolution: its model, and what its golden operator needs."""

    raw: bytes
    window: Window
    weight: np.ndarray
    bias: np.ndarray
    zeros: tuple[int, int]
    scales: list[float]  # input x weight / output
    clamp: tuple[int, int]
    shape: tuple[int, int, int]


def convolution(rng, *, depthwise=False, powers=False, per_channel=True, bias=True):
    """A CONV_2D or DEPTHWISE_CONV_2D of random shape."""
    window = draw_window(rng)
    channels = int(rng.integers(1, 7))
    multiplier = int(rng.integers(1, 4))
    outputs = channels * multiplier if depthwise else int(rng.integers(1, 9))
    shape = (*window.size, channels)
    dims = (1, *window.kernel, outputs) if depthwise else (outputs, *window.kernel, channels)
    before, after = scale_of(rng, powers), scale_of(rng, powers) * 16
    count = outputs if per_channel else 1
    scales = np.array([scale_of(rng, powers) / 32 for _ in range(count)], np.float32)
    zeros = tuple(int(v) for v in rng.integers(-128, 128, 2))
    weight = rng.integers(-127, 128, dims).astype(np.int8)
    offset = rng.integers(-9000, 9000, outputs).astype(np.int32)
    activation = int(rng.integers(4))
    axis = 3 if depthwise else 0
    tensors = [
        TensorSpec("x", (1, *shape), scale=before, zero_point=zeros[0]),
        TensorSpec("w", dims, scale=scales.tolist(), axis=axis, data=weight),
        TensorSpec(
            "b", (outputs,), "int32", scale=(scales * np.float32(before)).tolist(), data=offset
        ),
        TensorSpec("y", (1, *window.output, outputs), scale=after, zero_point=zeros[1]),
    ]
    options = window.options("conv") | {"FusedActivationFunction": activation}
    if depthwise:
        options["DepthMultiplier"] = multiplier
    code = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    inputs = [0, 1, 2] if bias else [0, 1]
    op = OpSpec(code, inputs, [3], options, 3)
    return Convolution(
        build(tensors, [op], [0], [3]),
        window,
        weight,
        offset if bias else np.zeros_like(offset),
        zeros,
        [before * float(value) / after for value in scales],
        clamp_of(activation, np.float32(after), zeros[1]),
        shape,
    )
