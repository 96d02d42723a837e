"""Masks from scores: for each layer or the whole network, at once or by and by, in balance."""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np

from ..ir import Array
from .allocate import Choice, allocate
from .criteria import saliency
from .data import Data
from .fit import Score, score
from .network import Network

__all__ = ["SCHEDULES", "Gradual", "Scope", "choose_masks", "cubic", "keep_best",
           "scanned_densities", "sensitivity"]  # fmt: skip

Scope = Literal["layer", "network"]
Schedule = Literal["oneshot", "cubic"]
SCHEDULES: tuple[str, ...] = get_args(Schedule)


def cubic(done: float, density: float, start: float = 1.0) -> float:
    """The density after a share of the steps: fast first, slowly at the end.

    Source: Zhu and Gupta, "To prune, or not to prune", 2017.

    >>> [round(cubic(step / 4, 0.1), 3) for step in range(5)]
    [1.0, 0.48, 0.212, 0.114, 0.1]
    """
    left = 1 - min(max(done, 0.0), 1.0)
    return density + (start - density) * left**3


def keep_best(scores: Array, density: float, pes: int = 0) -> Array:
    """True for ``round(density * size)`` weights of highest score, at least one.

    With ``pes``, the rows ``p, p + pes, ...`` of a matrix are the work of PE p, and every PE keeps
    the same number (but for the rest of the division); so no PE waits for another.
    """
    check_density(density)
    if not pes:
        return _highest(scores, max(1, int(density * scores.size + 0.5)))
    rows = np.arange(len(scores)) % pes
    total = max(1, int(density * scores.size + 0.5))
    present = min(pes, len(scores))
    mask = np.zeros(scores.shape, bool)
    for pe in range(present):
        share = total // present + (pe < total % present)
        mask[rows == pe] = _highest(scores[rows == pe], share)
    return mask


def choose_masks(
    scores: Mapping[str, Array],
    density: float | Mapping[str, float],
    *,
    scope: Scope = "layer",
    pes: int = 0,
    adaptive: bool = True,
) -> dict[str, Array]:
    """The masks of a network's layers.

    Scope "layer" keeps the density in each (a mapping names the layers that are pruned), "network"
    in all together. There, ``adaptive`` first divides a score by the sum of all in its layer that
    are at least as high, so that no layer is emptied; squared weights then rank as LAMP does.

    Source: Lee et al., "Layer-adaptive sparsity for magnitude-based pruning", ICLR 2021.
    """
    if scope not in get_args(Scope):
        raise ValueError(f"scope must be 'layer' or 'network', not {scope!r}")
    if scope == "layer":
        wanted = density if isinstance(density, Mapping) else dict.fromkeys(scores, density)
        for name in wanted:
            if name not in scores:
                raise ValueError(f"layer must be one of {', '.join(scores)}, not {name!r}")
        return {name: keep_best(scores[name], share, pes) for name, share in wanted.items()}
    if isinstance(density, Mapping):
        raise ValueError("density must be one number when scope is 'network'")
    check_density(density)
    ranked = [_adapted(value).ravel() if adaptive else value.ravel() for value in scores.values()]
    mask = _highest(np.concatenate(ranked), int(density * sum(map(len, ranked)) + 0.5))
    masks, start = {}, 0
    for name, value in scores.items():
        part = mask[start : start + value.size].reshape(value.shape)
        start += value.size
        kept = max(1, int(part.sum()))
        masks[name] = part if part.any() and not pes else keep_best(value, kept / value.size, pes)
    return masks


class Gradual:
    """Prunes a network while it is trained: masks are chosen anew every ``every`` steps.

    To be called before each step (``each_step`` of :func:`prunus.compiler.train.fit.fit`). The
    density is reached at ``until`` of all steps; from then on the mask stands. With ``regrow``,
    weights that are masked go on being trained until then, and can come back.

    Source: Guo et al., "Dynamic network surgery for efficient DNNs", 2016.
    """

    def __init__(
        self,
        network: Network,
        density: float | Mapping[str, float],
        *,
        criterion: str = "magnitude",
        scope: Scope = "layer",
        schedule: str = "cubic",
        data: Data | None = None,
        pes: int = 0,
        until: float = 0.6,
        every: int = 100,
        start: float = 1.0,
        regrow: bool = False,
    ):
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {schedule!r}")
        if not 0 < until <= 1:
            raise ValueError(f"until must be above 0 and at most 1, not {until!r}")
        self.network, self.density, self.start = network, density, start
        self.criterion, self.scope, self.schedule = criterion, scope, schedule
        self.data, self.pes, self.until, self.every = data, pes, until, every
        self.settled, self.begun, self.regrow = False, False, regrow

    def __call__(self, done: int, of: int) -> None:
        if not self.begun and done:
            self._resume(self._share(done - 1, of))
        self.begun = True
        share = self._share(done, of)
        if not self.settled and (done % self.every == 0 or share >= 1):
            self.apply(share)

    def _share(self, done: int, of: int) -> float:
        if self.schedule == "oneshot":
            return 1.0
        return min(1.0, done / max(1.0, self.until * of))

    def _resume(self, share: float) -> None:
        """As it was after the step before: the masks are in the checkpoint."""
        self.settled = share >= 1
        names = self.density if isinstance(self.density, Mapping) else self.network.layers
        for name in names:
            self.network.layers[name].regrow = self.regrow and not self.settled

    def apply(self, share: float) -> None:
        """Choose the masks for a share of the way."""
        scores = saliency(self.network, self.criterion, self.data)
        density: float | dict[str, float]
        if isinstance(self.density, Mapping):
            density = {k: cubic(share, v, self.start) for k, v in self.density.items()}
        else:
            density = cubic(share, self.density, self.start)
        adaptive = self.criterion != "obd"
        masks = choose_masks(scores, density, scope=self.scope, pes=self.pes, adaptive=adaptive)
        self.network.set_masks(masks)
        self.settled = share >= 1
        for part in self.network.parts:
            if part.name in masks:
                part.regrow = self.regrow and not self.settled


def sensitivity(
    network: Network,
    data: Data,
    densities: tuple[float, ...] = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02),
    criterion: str = "magnitude",
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, dict[float, Score]]:
    """What pruning each layer alone, without training, costs on the held-out samples."""
    scores = saliency(network, criterion, data)
    before = network.masks()
    found: dict[str, dict[float, Score]] = {}
    try:
        for number, (name, values) in enumerate(scores.items()):
            if progress is not None:
                progress("sensitivity scan", number, len(scores))
            found[name] = {}
            for density in densities:
                network.set_masks({name: keep_best(values, density) & before[name]})
                found[name][density] = score(network, data)
            network.set_masks({name: before[name]})
    finally:
        network.set_masks(before)
    return found


def scanned_densities(
    found: Mapping[str, Mapping[float, Score]], sizes: Mapping[str, int], density: float
) -> dict[str, float]:
    """The density of each layer, so that what the scan says they cost together is least.

    ``sizes`` are the weights of each layer; together they keep at most ``density`` of all, as far
    as the scan goes. Between two densities of the scan the loss is taken as a straight line in
    the logarithm.
    """
    check_density(density)
    choices = {}
    for name, rows in found.items():
        known = sorted(rows)
        finer = np.geomspace(known[0], 1.0, 40)
        base = rows[known[-1]].loss  # the least pruned
        losses = np.interp(
            np.log(finer), np.log([*known, 1.0]), [*(rows[d].loss for d in known), base]
        )
        choices[name] = [
            Choice(float(d), float(d) * sizes[name], float(max(0.0, loss - base)))
            for d, loss in zip(finer, losses, strict=True)
        ]
    chosen = allocate(choices, cost=density * sum(sizes.values()))
    kept = sum(choice.cost for choice in chosen.values())
    # Lines have few corners: what the choices leave, or exceed, is shared by all.
    factor = density * sum(sizes.values()) / kept
    return {name: min(1.0, float(choice.value) * factor) for name, choice in chosen.items()}


def check_density(density: float) -> None:
    """Refuse what is no share of the weights."""
    if isinstance(density, bool) or not 0 < density <= 1:
        raise ValueError(f"density must be above 0 and at most 1, not {density!r}")


def _highest(scores: Array, count: int) -> Array:
    mask = np.zeros(scores.size, bool)
    if count:
        mask[np.argsort(-scores.ravel(), kind="stable")[:count]] = True
    return mask.reshape(scores.shape)


def _adapted(scores: Array) -> Array:
    flat = scores.ravel()
    order = np.argsort(flat, kind="stable")
    above = np.cumsum(flat[order][::-1])[::-1]
    result = np.zeros(flat.shape)
    result[order] = flat[order] / np.maximum(above, 1e-300)
    return result.reshape(scores.shape)
