"""The steps of compression, each from a graph to a graph: prune, bring to int8, share.

Between the steps there is nothing but the graph: what is zero was pruned. So a step that is done
need not be done again.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..ir import Graph
from ..passes.calibrate import calibrate
from ..passes.layers import layers
from .bits import search_bits, share_layers
from .data import Data
from .fit import Augment, Training, fit
from .network import Network
from .pruning import Gradual, Scope
from .units import drop_small_groups

__all__ = ["density_of", "masked", "prune_steps", "quantize_step", "share_step"]

Progress = Callable[[str, int, int], None]
_CALIBRATED = 4096  # samples that ranges are taken from


def density_of(graph: Graph) -> float:
    """The share of the weights of all layers that are not zero."""
    nodes = layers(graph)
    nonzeros = sum(int(np.count_nonzero(node.consts["weight"])) for node in nodes)
    return nonzeros / sum(int(node.consts["weight"].size) for node in nodes)


def masked(graph: Graph) -> Network:
    """A graph as a module whose zero weights stay zero."""
    network = Network(graph)
    network.set_masks({node.name: node.consts["weight"] != 0 for node in layers(graph)})
    return network


def prune_steps(
    graph: Graph,
    data: Data,
    density: float | Mapping[str, float],
    training: Training,
    *,
    teacher: Network | None = None,
    criterion: str = "magnitude",
    scope: Scope = "network",
    schedule: str = "cubic",
    pes: int = 0,
    until: float = 0.6,
    every: int = 100,
    group: float = 0.0,
    augment: Augment | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    label: str = "pruning",
) -> Graph:
    """Prune to a density while training, from the density that the graph has; float or int8.

    With ``group``, the first third of the epochs trains under group LASSO, and the rows and
    columns that it has made small go first, whole.
    """
    network = masked(graph)
    if group:
        early = replace(training, epochs=max(1, training.epochs // 3), group=group)
        spot = None if checkpoint is None else checkpoint.with_suffix(".group.pt")
        fit(network, data, early, teacher=teacher, augment=augment, checkpoint=spot,
            progress=progress, label=f"{label}: groups", keep_from=early.epochs - 1)  # fmt: skip
        drop_small_groups(network)
        start = network.density()
    else:
        start = density_of(graph)
    gradual = Gradual(
        network, density, criterion=criterion, scope=scope, schedule=schedule, data=data, pes=pes,
        until=until, every=every, start=start,
    )  # fmt: skip
    # Only epochs after the last cut count: those before have more weights.
    keep_from = min(training.epochs - 1, int(np.ceil(until * training.epochs)))
    fit(
        network, data, training, teacher=teacher, augment=augment, each_step=gradual,
        keep_from=keep_from, checkpoint=checkpoint, progress=progress, label=label,
    )  # fmt: skip
    return network.export()


def quantize_step(graph: Graph, data: Data) -> Graph:
    """The int8 graph: that of a float one, with ranges from training samples, or itself."""
    if graph.quantized:
        return graph
    every = max(1, len(data.x) // _CALIBRATED)
    return calibrate(graph, data.x[::every])


def share_step(
    graph: Graph,
    data: Data,
    training: Training,
    *,
    kind: str = "codebook",
    bits: int | Mapping[str, int] | None = None,
    loss: float = 0.02,
    noisy: bool = False,
    teacher: Network | None = None,
    augment: Augment | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    label: str = "sharing",
) -> tuple[Graph, dict[str, int]]:
    """Few values for each layer of an int8 graph, trained; and the bits of each layer.

    Without ``bits`` they are searched: the fewest that let the held-out loss grow by ``loss``
    before training.
    """
    network = masked(graph)
    chosen: dict[str, int]
    if bits is None:
        chosen = search_bits(network, data, loss=loss, kind=kind, progress=progress,
                             bits=_choices(kind))  # fmt: skip
    elif isinstance(bits, Mapping):
        chosen = dict(bits)
    else:
        chosen = dict.fromkeys(network.layers, bits)
    share_layers(network, chosen, kind, noisy=noisy)
    fit(network, data, training, teacher=teacher, augment=augment, checkpoint=checkpoint,
        progress=progress, label=label)  # fmt: skip
    return network.export(), chosen


def _choices(kind: str) -> tuple[int, ...]:
    fixed: dict[str, Any] = {"ternary": (2,), "binary": (1,), "codebook": (1, 2, 3, 4, 5, 6)}
    choices: tuple[int, ...] = fixed.get(kind, (2, 3, 4, 5, 6, 8))
    return choices
