"""QONNX: the quantizers that Brevitas, QKeras and FINN write into ONNX models.

Source: Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks",
2022, and the operators' definitions in ``qonnx/custom_op/general``.
"""

import numpy as np

from ..ir import Array
from .onnx_base import Builder

__all__ = ["DOMAINS", "binarize", "quantize"]

DOMAINS = ("onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general")
_MOST_BITS = 8


def quantize(build: Builder) -> None:
    """Quant (x, scale, zero point, bits): of constants computed, of an activation a node."""
    scale, zero, bits = (_parameter(build, n) for n in (1, 2, 3))
    mode = build.attr("rounding_mode", b"ROUND").decode().upper()
    if mode not in ("ROUND", "HALF_EVEN"):
        raise build.fail(f"rounding_mode {mode!r} is not supported; only 'ROUND' is")
    if bits.size != 1 or float(bits.item()) % 1 or not 1 <= bits.item() <= _MOST_BITS:
        raise build.fail(f"bit width must be one integer, 1 to {_MOST_BITS}, not {bits.tolist()}")
    if (zero % 1).any():
        raise build.fail(f"zero point must be an integer, not {zero.tolist()}")
    lo, hi = _range(int(bits.item()), bool(build.attr("signed", 1)), bool(build.attr("narrow", 0)))
    if lo >= hi:
        raise build.fail(f"has one level alone, {lo}; use BipolarQuant for one bit")
    name = build.given(0)
    if name in build.constants:
        levels = np.clip(np.rint(build.floats(0) / scale + zero), lo, hi) - zero
        if zero.any():
            raise build.fail("constants must have the zero point 0")
        _constant(build, levels, scale)
        return
    if scale.size != 1 or zero.size != 1:
        raise build.fail("an activation must have one scale and zero point")
    before = build.activation(0)
    attrs = {
        "scale": float(scale.item()), "zero_point": int(zero.item()), "lo": lo, "hi": hi,
    }  # fmt: skip
    build.add("fake_quantize", before.tensor, before.tensor.shape, like=before, attrs=attrs)


def binarize(build: Builder) -> None:
    """BipolarQuant (x, scale): scale or -scale, by the sign."""
    scale = _parameter(build, 1)
    if build.given(0) in build.constants:
        _constant(build, np.where(build.floats(0) >= 0, 1.0, -1.0), scale)
        return
    if scale.size != 1:
        raise build.fail("an activation must have one scale")
    before = build.activation(0)
    attrs = {"scale": float(scale.item())}
    build.add("binarize", before.tensor, before.tensor.shape, like=before, attrs=attrs)


def _parameter(build: Builder, position: int) -> Array:
    """A scale, a zero point or a bit width, in float64."""
    value = build.constant(position)
    if value is None or not value.size or not np.isfinite(value.astype(np.float64)).all():
        raise build.fail(f"input {position} must be a finite constant")
    if position == 1 and not (value > 0).all():
        raise build.fail("scale must be positive")
    return value.astype(np.float64)


def _range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The least and the greatest level.

    >>> _range(2, True, True), _range(2, True, False), _range(3, False, False)
    ((-1, 1), (-2, 1), (0, 7))
    """
    if not signed:
        return 0, (1 << bits) - 1 - narrow
    return narrow - (1 << bits - 1), (1 << bits - 1) - 1


def _constant(build: Builder, levels: Array, scale: Array) -> None:
    """A quantized constant, and where the layer that takes it finds its scales."""
    output = build.node.output[0]
    build.constants[output] = levels * scale
    axes = [n for n, size in enumerate(scale.shape) if size > 1]
    if len(axes) > 1 or scale.ndim > levels.ndim:
        raise build.fail(f"scales must lie along one axis, not have the shape {scale.shape}")
    # An axis counts from the last one on where the scales have fewer axes than the constant.
    axis = axes[0] + levels.ndim - scale.ndim if axes else 0
    build.scales[output] = (scale.ravel(), axis)
