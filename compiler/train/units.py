"""Whole outputs and inputs of layers: which may go, and how they do."""

import numpy as np
import torch

from ..ir import Array
from .criteria import activation_statistics
from .data import Data
from .network import Layer, Network

__all__ = ["drop_small_groups", "drop_units", "unit_scores"]


def unit_scores(network: Network, part: Layer, data: Data | None = None) -> Array:
    """A score for each output: the norm of its weights; with data, times how often it is used."""
    weight = (part.weight * part.mask).detach().double()
    axis = weight.ndim - 1 if part.node.op.startswith("depthwise") else 0
    norms: Array = weight.movedim(axis, 0).flatten(1).square().sum(dim=1).sqrt().numpy()
    if data is not None:
        _, zeros = activation_statistics(network, part, data)
        norms = norms * (1 - zeros)
    return norms


def drop_units(network: Network, keep: dict[str, float], data: Data | None = None) -> int:
    """Keep a share of the outputs of some layers; returns how many went.

    An output goes with its weights and its bias. It is then a constant zero, which
    :func:`prunus.compiler.passes.fold_constants.fold_constants` removes, so that the layers on
    both sides become smaller on every engine. The network's own outputs stay.
    """
    gone = 0
    for name, share in keep.items():
        part = network.layers[name]
        if not 0 < share <= 1:
            raise ValueError(f"keep must be above 0 and at most 1, not {share!r}")
        if part is _last(network):
            raise ValueError(f"{name}: its outputs are those of the network, and stay")
        scores = unit_scores(network, part, data)
        count = max(1, int(share * len(scores) + 0.5))
        drop = np.ones(len(scores), bool)
        drop[np.argsort(-scores, kind="stable")[:count]] = False
        gone += _drop_outputs(part, drop)
    return gone


def drop_small_groups(network: Network, least: float = 0.02) -> int:
    """Remove rows and columns whose norm is below ``least`` times their layer's largest.

    What group LASSO has made small goes so. Returns how many groups went.
    """
    gone = 0
    last = _last(network)
    for part in network.parts:
        weight = (part.weight * part.mask).detach()
        depthwise = part.node.op.startswith("depthwise")
        rows = weight.movedim(weight.ndim - 1 if depthwise else 0, 0).flatten(1).norm(dim=1)
        if part is not last:
            drop = (rows < least * rows.max()).numpy()
            gone += _drop_outputs(part, drop)
        if depthwise:
            continue
        columns = weight.movedim(weight.ndim - 1, 0).flatten(1).norm(dim=1)
        small = columns < least * columns.max()
        used = part.mask.movedim(part.mask.ndim - 1, 0).flatten(1).any(dim=1)
        gone += int((small & used).sum())
        part.mask[..., small] = False
    return gone


def _drop_outputs(part: Layer, drop: Array) -> int:
    if drop.all():
        drop[0] = False
    chosen = torch.from_numpy(drop)
    fresh = int((chosen & part.live).sum())
    if part.node.op.startswith("depthwise"):
        part.mask[..., chosen] = False
    else:
        part.mask[chosen] = False
    part.live[chosen] = False
    return fresh


def _last(network: Network) -> Layer:
    """The layer with weights that makes the network's outputs."""
    last: Layer = network.parts[-1]
    return last
