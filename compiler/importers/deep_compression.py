"""SqueezeNet as the authors of Deep Compression published it: ``compressed_SqueezeNet.net``.

The file has no names, shapes or version: it is read with the shapes of SqueezeNet v1.0, 26
convolutions in their order. Little-endian: for each layer the number of its entries, 32 bits; then,
for each layer, a codebook of 256 float32 of which the first is 0, a float32 bias for each output,
a code of 8 bits for each entry, and a gap of 4 bits for each, the low half of a byte first. An
entry lies ``gap + 1`` places behind the one before it, in the flat order (outputs, channels,
height, width); entries with code 0 bridge gaps of more than 15.

Source: https://github.com/songhan/SqueezeNet_compressed, ``decode.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..ir import Array, Graph, ModelError, Node, Tensor, verify

__all__ = ["CompressedLayer", "import_squeezenet", "read_squeezenet"]

CODES = 256
INPUT = (227, 227, 3)
# Outputs of the squeezing layer and of each of the two expanding ones.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOLED = (4, 8)  # the fires, numbered from 2 on as in the paper, with a pool behind them
CLASSES = 1000
Shape = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class CompressedLayer:
    """A convolution as it is stored; ``shape`` is (outputs, channels, height, width)."""

    name: str
    shape: Shape
    codebook: Array
    bias: Array
    codes: Array
    gaps: Array

    @property
    def places(self) -> Array:
        """The place of each entry in the flat weights."""
        places: Array = np.cumsum(self.gaps.astype(np.int64) + 1) - 1
        return places

    def dense_codes(self) -> Array:
        """The code of every weight, of the layer's shape; 0 is a weight of zero."""
        flat = np.zeros(int(np.prod(self.shape)), np.uint8)
        flat[self.places] = self.codes
        return flat.reshape(self.shape)

    def weight(self) -> Array:
        """The weights, float32, of the layer's shape."""
        weight: Array = self.codebook[self.dense_codes()]
        return weight

    @property
    def stored_bytes(self) -> int:
        """What the layer takes in the file."""
        entries = len(self.codes)
        return 4 + 4 * (len(self.codebook) + len(self.bias)) + entries + (entries + 1) // 2


def _layers() -> Iterator[tuple[str, Shape]]:
    """Name and shape of the 26 convolutions."""
    yield "conv1", (96, INPUT[2], 7, 7)
    channels = 96
    for number, (squeeze, expand) in enumerate(FIRES, 2):
        yield f"fire{number}/conv1x1_1", (squeeze, channels, 1, 1)
        yield f"fire{number}/conv1x1_2", (expand, squeeze, 1, 1)
        yield f"fire{number}/conv3x3_2", (expand, squeeze, 3, 3)
        channels = 2 * expand
    yield "conv_final", (CLASSES, channels, 1, 1)


def read_squeezenet(path: str | Path) -> tuple[CompressedLayer, ...]:
    """The 26 convolutions of ``compressed_SqueezeNet.net``, in their order.

    Raises
    ------
    ModelError
        The file is missing, or is not that network.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    shapes = tuple(_layers())
    position = 0

    def take(dtype: str, count: int) -> Array:
        nonlocal position
        size = np.dtype(dtype).itemsize * count
        if position + size > len(raw):
            raise ModelError(f"{path}: ends after {len(raw)} bytes, inside a layer")
        found = np.frombuffer(raw, dtype, count, position)
        position += size
        return found

    counts = take("<u4", len(shapes)).tolist()
    layers = []
    for (name, shape), count in zip(shapes, counts, strict=True):
        codebook, bias = take("<f4", CODES), take("<f4", shape[0])
        codes, halves = take("u1", count), take("u1", (count + 1) // 2)
        gaps = np.stack([halves & 15, halves >> 4], axis=1).ravel()[:count]
        layer = CompressedLayer(name, shape, codebook, bias, codes, gaps)
        if not (np.isfinite(codebook).all() and np.isfinite(bias).all()) or codebook[0]:
            raise ModelError(f"{path}: layer {name} has no codebook that begins with 0")
        if count and layer.places[-1] >= np.prod(shape):
            raise ModelError(f"{path}: layer {name} has more than its {np.prod(shape)} weights")
        layers.append(layer)
    if position != len(raw):
        raise ModelError(f"{path}: has {len(raw) - position} bytes behind the last layer")
    return tuple(layers)


def import_squeezenet(path: str | Path) -> Graph:
    """The float graph of ``compressed_SqueezeNet.net``: an image of BGR, its mean taken away.

    Raises
    ------
    ModelError
        The file is missing, or is not that network.
    """
    build = _Builder({layer.name: layer for layer in read_squeezenet(path)})
    last = build.pool("pool1", build.layer("conv1", build.source, stride=2))
    for number in range(2, 2 + len(FIRES)):
        name = f"fire{number}"
        squeezed = build.layer(f"{name}/conv1x1_1", last)
        both = (
            build.layer(f"{name}/conv1x1_2", squeezed),
            build.layer(f"{name}/conv3x3_2", squeezed, padding=1),
        )
        shape = (*both[0].shape[:2], sum(tensor.shape[2] for tensor in both))
        last = build.add(f"{name}/concat", "concatenation", both, shape, {"axis": 2})
        if number in POOLED:
            last = build.pool(f"pool{number}", last)
    # A frame of zeros, which a window of 1x1 meets alone.
    shape = (last.shape[0] + 2, last.shape[1] + 2, last.shape[2])
    attrs = {"padding": (1, 1, 1, 1), "channels": (0, 0)}
    last = build.layer("conv_final", build.add("pad_final", "pad", (last,), shape, attrs))
    last = build.add("pool_final", "mean", (last,), (CLASSES,), {})
    last = build.add("prob", "softmax", (last,), (CLASSES,), {"beta": 1.0})
    names = (build.source.name,), (last.name,)
    return verify(Graph("SqueezeNet", *names, build.tensors, tuple(build.nodes)))


class _Builder:
    """Nodes in order; each output is named as its node."""

    def __init__(self, layers: dict[str, CompressedLayer]):
        self.layers = layers
        self.source = Tensor("data", INPUT)
        self.tensors = {self.source.name: self.source}
        self.nodes: list[Node] = []

    def add(
        self,
        name: str,
        op: str,
        inputs: tuple[Tensor, ...],
        shape: tuple[int, ...],
        attrs: dict[str, Any],
        **consts: Array,
    ) -> Tensor:
        names = tuple(tensor.name for tensor in inputs)
        self.nodes.append(Node(name, op, names, name, attrs, consts))
        tensor = self.tensors[name] = Tensor(name, shape)
        return tensor

    def layer(self, name: str, before: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
        """A convolution and its relu."""
        layer = self.layers[name]
        side = (before.shape[0] + 2 * padding - layer.shape[2]) // stride + 1
        shape = (side, side, layer.shape[0])
        attrs = {"stride": (stride,) * 2, "padding": (padding,) * 4, "dilation": (1, 1)}
        weight = np.ascontiguousarray(layer.weight().transpose(0, 2, 3, 1))
        made = self.add(
            name, "convolution", (before,), shape, attrs, weight=weight, bias=layer.bias
        )
        return self.add(f"{name}/relu", "relu", (made,), shape, {})

    def pool(self, name: str, before: Tensor) -> Tensor:
        """A maximum of 3x3 with stride 2, whose windows end with the image."""
        side = (before.shape[0] - 3) // 2 + 1
        attrs = {"kernel": (3, 3), "stride": (2, 2), "padding": (0, 0, 0, 0)}
        return self.add(name, "max_pool_2d", (before,), (side, side, before.shape[2]), attrs)
