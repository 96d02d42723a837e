"""How much each weight matters: what pruning ranks by."""

from typing import Literal, get_args

import numpy as np
import torch

from ..ir import Array
from .data import Data
from .fit import supervised
from .network import Layer, Network

__all__ = ["CRITERIA", "Criterion", "activation_statistics", "saliency"]

Criterion = Literal["magnitude", "obd", "activation"]
CRITERIA: tuple[str, ...] = get_args(Criterion)
_SAMPLES = 2048
_BATCH = 16  # the Fisher is of the mean over so many samples


def saliency(
    network: Network, criterion: str, data: Data | None = None, seed: int = 0
) -> dict[str, Array]:
    """A score for every weight of every layer, masked ones included; the lowest go first.

    "magnitude": the square of the weight. "obd": half its square times the diagonal of the Fisher
    information, which is what the loss is expected to grow by. "activation": the square of the
    weight times the mean square of its input, less the more often its output is zero. All are in
    squared units; those of obd can be compared between layers as they are.

    Source: LeCun et al., "Optimal brain damage", 1989, with the Fisher for the Hessian; Hu et al.,
    "Network trimming", 2016 (zero fraction).
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}, not {criterion!r}")
    squares = {part.name: part.weight.detach().double().square().numpy() for part in network.parts}
    if criterion == "magnitude":
        return squares
    if data is None:
        raise ValueError(f"criterion {criterion!r} needs data")
    if criterion == "obd":
        fisher = _fisher(network, data, seed)
        return {name: squares[name] * fisher[name] / 2 for name in squares}
    result = {}
    for part in network.parts:
        power, zeros = activation_statistics(network, part, data, seed)
        weight = squares[part.name]
        outputs_last = part.node.op.startswith("depthwise")
        if outputs_last:  # an input for each group of outputs
            power = np.repeat(power, weight.shape[-1] // len(power))
            result[part.name] = weight * power * (1 - zeros)
        else:
            often = (1 - zeros).reshape(-1, *[1] * (weight.ndim - 1))
            result[part.name] = weight * power * often
    return result


def activation_statistics(
    network: Network, part: Layer, data: Data, seed: int = 0
) -> tuple[Array, Array]:
    """Mean square of each input channel, and how often each output channel is zero after relu."""
    chosen = _chosen(data, seed)
    source = part.node.inputs[0]
    target = _activated(network, part)
    with torch.no_grad():
        values = network.values(torch.from_numpy(data.x[chosen]), (source, target))
    before, after = values[source], values[target]
    power = before.double().square().reshape(-1, before.shape[-1]).mean(dim=0)
    zeros = (after == 0).double().reshape(-1, after.shape[-1]).mean(dim=0)
    return power.numpy(), zeros.numpy()


def _activated(network: Network, part: Layer) -> str:
    """The output of a layer behind the relu that follows it, if one does."""
    output: str = part.node.output
    followers = network.graph.consumers(output)
    if len(followers) == 1 and followers[0].op in ("relu", "clip"):
        return followers[0].output
    return output


def _fisher(network: Network, data: Data, seed: int) -> dict[str, Array]:
    """The mean square of the gradient of each weight, by layer."""
    chosen = _chosen(data, seed)
    x, y = torch.from_numpy(data.x[chosen]), torch.from_numpy(data.y[chosen])
    weights = [part.weight for part in network.parts]
    regrow = [part.regrow for part in network.parts]
    totals = [torch.zeros_like(weight, dtype=torch.float64) for weight in weights]
    for part in network.parts:
        part.regrow = True  # masked weights have a gradient as well
    try:
        count = 0
        for start in range(0, len(x), _BATCH):
            some = slice(start, start + _BATCH)
            loss = supervised(network(x[some]), y[some])
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
            for total, gradient in zip(totals, gradients, strict=True):
                if gradient is not None:
                    total += gradient.double().square() * len(x[some])
            count += 1
    finally:
        for part, value in zip(network.parts, regrow, strict=True):
            part.regrow = value
    return {
        part.name: (total / count).numpy()
        for part, total in zip(network.parts, totals, strict=True)
    }


def _chosen(data: Data, seed: int) -> Array:
    count = min(_SAMPLES, len(data.x))
    chosen: Array = np.random.default_rng(seed).choice(len(data.x), count, replace=False)
    return chosen
