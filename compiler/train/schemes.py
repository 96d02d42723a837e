"""What a layer's weights may be: uniform steps, trained codebooks, powers of two, ternary, binary.

A scheme takes weights in steps of int8 (floats) and gives others, of few distinct values, for the
network to be run with. Zero stays zero, and is not counted where layers are stored sparse. All of
them are codebooks of at most ``2**bits`` int8 values to the hardware.
"""

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from ..passes.share import share_weights
from .rounding import away, stochastic, straight

__all__ = ["SCHEMES", "Binary", "Codebook", "Kind", "PowerOfTwo", "Scheme", "Ternary", "Uniform",
           "make_scheme"]  # fmt: skip

Kind = Literal["uniform", "codebook", "power", "ternary", "binary"]
SCHEMES: tuple[str, ...] = get_args(Kind)
Tensor = Any  # torch.Tensor, which is not there to be checked
_LARGEST = 127
_SHARES = tuple(n / 20 for n in range(20, 5, -1))  # of the largest weight, as the end of the steps


class Scheme(nn.Module):
    """A rule for weights; made from the weights that it starts with, of which some are zero.

    ``unit`` is a step in real units, about: trained values are held in these, as weights are, so
    that one rate suits both.
    """

    def forward(self, steps: Tensor) -> Tensor:
        """The weights that the network is run with."""
        raise NotImplementedError


class Uniform(Scheme):
    """Steps of one size, ``2**(bits - 1) - 1`` to each side of zero.

    The size has the least squared error on the weights that it is made from. ``noisy`` rounds up
    or down at random while training.
    """

    def __init__(self, start: Tensor, bits: int, noisy: bool = False):
        super().__init__()
        self.levels, self.noisy = (1 << (bits - 1)) - 1, noisy
        nonzero = start[start != 0]
        size = torch.tensor(1.0)
        least = float("inf")
        for share in _SHARES if nonzero.numel() else ():
            tried = nonzero.abs().max() * share / self.levels
            kept = (nonzero / tried).round().clamp(-self.levels, self.levels) * tried
            error = float((kept - nonzero).square().sum())
            if error < least:
                size, least = tried, error
        self.register_buffer("size", size.detach().clone())

    def forward(self, steps: Tensor) -> Tensor:
        scaled = torch.clamp(steps / self.size, -self.levels, self.levels)
        rounded = stochastic(scaled) if self.noisy and self.training else away(scaled)
        return rounded * self.size


class Codebook(Scheme):
    """At most ``2**bits`` trained values; each weight keeps the number of its own.

    The gradient of a value is the sum of those of its weights. Source: Han et al., "Deep
    Compression", ICLR 2016.
    """

    def __init__(self, start: Tensor, bits: int, unit: float = 1.0):
        super().__init__()
        self.unit = unit
        array = start.detach().double().numpy()
        shared = share_weights(array, bits, zero_free=not _zero_counts(array))
        values, codes = np.unique(shared[shared != 0], return_inverse=True)
        places = np.zeros(array.shape, np.int64)
        places[shared != 0] = codes + 1
        self.register_buffer("codes", torch.from_numpy(places))
        self.values = nn.Parameter(torch.from_numpy(values * unit).to(start.dtype))

    def forward(self, steps: Tensor) -> Tensor:
        table = torch.cat([self.values.new_zeros(1), self.values / self.unit])
        return table[self.codes]


class PowerOfTwo(Scheme):
    """Plus or minus 2**k, ``2**(bits - 1) - 1`` exponents up to the largest weight's; or zero.

    Source: Miyashita et al., "Convolutional neural networks using logarithmic data
    representation", 2016.
    """

    def __init__(self, start: Tensor, bits: int):
        super().__init__()
        largest = max(1.0, float(start.abs().max())) if start.numel() else 1.0
        self.most = min(6, int(np.floor(np.log2(largest / 0.75))))  # 2**7 does not fit int8
        self.least = max(0, self.most - (1 << (bits - 1)) + 2)

    def forward(self, steps: Tensor) -> Tensor:
        with torch.no_grad():
            size = steps.abs().clamp(min=1e-6)
            power = torch.exp2(torch.log2(size / 0.75).floor().clamp(self.least, self.most))
            small = size < 0.5 * 2.0**self.least
            value = torch.where(small, torch.zeros_like(steps), torch.sign(steps) * power)
        return straight(torch.clamp(steps, -_LARGEST, _LARGEST), value)


class _TernaryFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, steps: Tensor, above: Tensor, below: Tensor, threshold: float
    ) -> Tensor:
        up, down = steps > threshold, steps < -threshold
        context.save_for_backward(up, down, above, below)
        return up * above - down * below

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        up, down, above, below = context.saved_tensors
        # relative to the layer's mean value, so that weights keep the pace of other schemes
        mean = (above.abs() + below.abs()).clamp(min=1e-6) / 2
        factor = torch.where(up, above / mean, torch.where(down, below / mean, 1.0))
        return gradient * factor, (gradient * up).sum(), -(gradient * down).sum(), None


class Ternary(Scheme):
    """Two trained values and zero; weights below a twentieth of the largest are zero.

    Source: Zhu et al., "Trained ternary quantization", ICLR 2017.
    """

    def __init__(self, start: Tensor, unit: float = 1.0, share: float = 0.05):
        super().__init__()
        self.unit = unit
        self.threshold = share * float(start.abs().max()) if start.numel() else 0.0
        up, down = start[start > self.threshold], -start[start < -self.threshold]
        self.above = nn.Parameter(unit * (up.mean() if up.numel() else torch.tensor(1.0)))
        self.below = nn.Parameter(unit * (down.mean() if down.numel() else torch.tensor(1.0)))

    def forward(self, steps: Tensor) -> Tensor:
        above, below = self.above / self.unit, self.below / self.unit
        result: Tensor = _TernaryFunction.apply(steps, above, below, self.threshold)
        return result


class Binary(Scheme):
    """The sign, times the mean magnitude of the weights; no gradient beyond int8.

    Source: Courbariaux et al., "BinaryConnect", 2015; the scale: Rastegari et al., "XNOR-Net",
    2016.
    """

    def forward(self, steps: Tensor) -> Tensor:
        kept = steps != 0
        size = steps.abs().sum() / kept.sum().clamp(min=1)
        value = torch.where(steps > 0, size, -size) * kept
        return straight(torch.clamp(steps, -_LARGEST, _LARGEST), value.detach()) + (
            value - value.detach()
        )


def make_scheme(
    kind: str, start: Tensor, bits: int = 8, *, noisy: bool = False, unit: float = 1.0
) -> Scheme:
    """A scheme that starts with weights in steps of int8.

    ``bits`` counts for uniform (2..8), codebook (1..8) and power (2..8) schemes, ``noisy`` for
    uniform ones.
    """
    if kind not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, not {kind!r}")
    least = 1 if kind == "codebook" else 2
    if kind in ("uniform", "codebook", "power") and (
        isinstance(bits, bool) or not isinstance(bits, int) or not least <= bits <= 8
    ):
        raise ValueError(f"bits must be {least} to 8 with {kind}, not {bits!r}")
    start = start.detach()
    if kind == "uniform":
        return Uniform(start, bits, noisy)
    if kind == "codebook":
        return Codebook(start, bits, unit)
    if kind == "power":
        return PowerOfTwo(start, bits)
    return Ternary(start, unit) if kind == "ternary" else Binary()


def _zero_counts(array: Any) -> bool:
    """Whether zero takes an entry: where a layer is stored dense; as :func:`share` decides."""
    return 2 * int(np.count_nonzero(array)) >= int(array.size)
