"""The training loop: AdamW, early stopping on held-out data, a teacher, checkpoints."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nn

from ..ir import Array
from .checkpoint import fingerprint, load_checkpoint, save_checkpoint
from .data import Data
from .network import Network

__all__ = ["Fitted", "Score", "Training", "TrainingError", "fit", "logits", "score",
           "supervised"]  # fmt: skip

Tensor = Any  # torch.Tensor, which is not there to be checked
Progress = Callable[[str, int, int], None]  # what, done, of
Augment = Callable[[Tensor, torch.Generator], Tensor]
_EVALUATED = 1024  # samples at a time


class TrainingError(ValueError):
    """A training that has failed; one line that says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How to train.

    ``rate`` falls along a cosine to ``rate_end`` of it. ``decay`` takes that share of every weight
    in each step, times the rate: weights that nothing needs, such as those of pixels that are
    always zero, must not stay as large as they began if pruning goes by magnitude.
    ``patience``: epochs without a better held-out result before it ends; None: never. ``l1``
    weighs the sum of all magnitudes (LASSO), ``group`` that of the norms of whole rows and columns
    (group LASSO). Where there is a teacher, its outputs at ``temperature`` count ``taught`` of the
    loss, the labels the rest. ``threads``: of PyTorch; results are repeatable with one.
    """

    epochs: int = 10
    batch: int = 64
    rate: float = 1e-3
    rate_end: float = 0.02
    decay: float = 0.0
    patience: int | None = None
    l1: float = 0.0
    group: float = 0.0
    taught: float = 0.7
    temperature: float = 3.0
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "threads"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        for name in ("rate", "temperature"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, not {value!r}")
        for name in ("decay", "l1", "group"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be at least 0, not {value!r}")
        for name in ("taught", "rate_end"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be 0 to 1, not {value!r}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1, or None, not {self.patience!r}")


@dataclass(frozen=True, slots=True)
class Score:
    """Held-out loss, and the share of wrong samples (of values: the mean squared error)."""

    loss: float
    error: float


@dataclass(slots=True)
class Fitted:
    """What a training gave: the score that was kept, and those of every epoch."""

    best: Score
    epochs: list[Score] = field(default_factory=list)


def fit(
    network: Network,
    data: Data,
    training: Training,
    *,
    teacher: Network | None = None,
    augment: Augment | None = None,
    each_step: Callable[[int, int], None] | None = None,
    keep_from: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    label: str = "training",
) -> Fitted:
    """Train, and leave the network as it was after the best epoch (on held-out data).

    ``each_step(done, of)`` is called before every batch. Epochs before ``keep_from`` are not
    candidates for the best. With a ``checkpoint``, an interrupted call goes on after the last
    whole epoch when it is made again with the same network, data and settings.

    Raises
    ------
    TrainingError
        The loss is not finite.
    """
    torch.set_num_threads(training.threads)
    notify = progress or (lambda what, done, of: None)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    batches = max(1, len(x) // training.batch)
    steps = batches * training.epochs
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=training.rate, weight_decay=training.decay
    )
    found, best, first, stale = Fitted(Score(math.inf, math.inf)), None, 0, 0
    key = ""
    if checkpoint is not None:
        key = _key(network, data, training, teacher, keep_from)
        saved = load_checkpoint(checkpoint, key)
        if saved is not None:
            first, stale, best = saved["epoch"], saved["stale"], saved["best"]
            found = Fitted(Score(*saved["score"]), [Score(*pair) for pair in saved["scores"]])
            network.load_state_dict(saved["network"])
            optimizer.load_state_dict(saved["optimizer"])
    with torch.random.fork_rng(devices=[]):
        for epoch in range(first, training.epochs):
            if training.patience is not None and stale >= training.patience:
                break
            notify(label, epoch, training.epochs)
            generator = torch.Generator().manual_seed(training.seed * 100_003 + epoch)
            torch.manual_seed(training.seed * 100_003 + epoch)  # stochastic rounding
            network.train()
            order = torch.randperm(len(x), generator=generator)
            for batch in range(batches):
                done = epoch * batches + batch
                if each_step is not None:
                    each_step(done, steps)
                for group in optimizer.param_groups:
                    group["lr"] = _rate(training, done / steps)
                some = order[batch * training.batch : (batch + 1) * training.batch]
                samples = x[some] if augment is None else augment(x[some], generator)
                loss = _loss(network(samples), y[some], samples, training, teacher)
                loss = loss + _penalty(network, training)
                if not math.isfinite(float(loss.detach())):
                    raise TrainingError(
                        f"the loss is {float(loss.detach())} in epoch {epoch + 1}; lower the rate "
                        f"({training.rate:g}) or check the samples"
                    )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            now = score(network, data)
            found.epochs.append(now)
            if epoch >= min(keep_from, training.epochs - 1):
                stale += 1
                if best is None or (now.error, now.loss) < (found.best.error, found.best.loss):
                    found.best, best, stale = now, copy.deepcopy(network.state_dict()), 0
            if checkpoint is not None:
                state = {
                    "epoch": epoch + 1,
                    "stale": stale,
                    "best": best,
                    "score": (found.best.loss, found.best.error),
                    "scores": [(s.loss, s.error) for s in found.epochs],
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                }
                save_checkpoint(checkpoint, key, state)
    if best is not None:
        network.load_state_dict(best)
    network.eval()
    notify(label, training.epochs, training.epochs)
    return found


def logits(network: Network, x: Array) -> Tensor:
    """What the network gives for samples, without gradients."""
    network.eval()
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(x[start : start + _EVALUATED]))
            for start in range(0, len(x), _EVALUATED)
        ]
    return torch.cat(parts)


def score(network: Network, data: Data) -> Score:
    """Loss and error on the held-out samples."""
    given, y = logits(network, data.held_x), torch.from_numpy(data.held_y)
    loss = float(supervised(given, y))
    if not data.classes:
        return Score(loss, loss)
    flat = given.reshape(len(given), -1)
    chosen = (flat[:, 0] > 0).long() if flat.shape[1] == 1 else flat.argmax(dim=1)
    return Score(loss, float((chosen != y).double().mean()))


def supervised(given: Tensor, y: Tensor) -> Tensor:
    """The mean loss of outputs against labels or values."""
    if y.dtype.is_floating_point:
        return nn.mse_loss(given, y.to(given.dtype))
    flat = given.reshape(len(given), -1)
    if flat.shape[1] == 1:
        return nn.binary_cross_entropy_with_logits(flat[:, 0], y.to(flat.dtype))
    return nn.cross_entropy(flat, y)


def _loss(
    given: Tensor, y: Tensor, x: Tensor, training: Training, teacher: Network | None
) -> Tensor:
    """The loss of the labels, with a teacher's beside it. Source: Hinton et al., 2015."""
    own = supervised(given, y)
    if teacher is None or training.taught == 0:
        return own
    with torch.no_grad():
        wanted = teacher(x).reshape(len(given), -1)
    flat = given.reshape(len(given), -1)
    if y.dtype.is_floating_point:
        taught = nn.mse_loss(flat, wanted.to(flat.dtype))
    elif flat.shape[1] == 1:
        t = training.temperature
        target = torch.sigmoid(wanted / t)
        taught = t * t * nn.binary_cross_entropy_with_logits(flat / t, target)
    else:
        t = training.temperature
        soft = nn.log_softmax(wanted / t, dim=1)
        taught = t * t * nn.kl_div(
            nn.log_softmax(flat / t, dim=1), soft, reduction="batchmean", log_target=True
        )  # fmt: skip
    return (1 - training.taught) * own + training.taught * taught


def _penalty(network: Network, training: Training) -> Tensor | float:
    """LASSO, and group LASSO over the outputs and inputs of each layer."""
    total: Tensor | float = 0.0
    for part in network.parts if training.l1 or training.group else ():
        weight = part.weight * part.mask
        total = total + training.l1 * weight.abs().sum()
        if training.group:
            for axis in (0, weight.ndim - 1):
                rows = weight.movedim(axis, 0).flatten(1)
                norms = (rows.square().sum(dim=1) + 1e-12).sqrt()
                total = total + training.group * math.sqrt(rows.shape[1]) * norms.sum()
    return total


def _rate(training: Training, done: float) -> float:
    low = training.rate * training.rate_end
    return low + (training.rate - low) * (1 + math.cos(math.pi * done)) / 2


def _key(
    network: Network, data: Data, training: Training, teacher: Network | None, keep_from: int
) -> str:
    parts: list[Any] = [network.graph, sorted(asdict(training).items()), keep_from]
    parts += [np.asarray(data.x), np.asarray(data.y), data.held_x, data.held_y]
    for module in (network, teacher):
        if module is not None:
            parts += [value for _, value in sorted(module.state_dict().items())]
            parts += [(part.name, type(part.scheme).__name__) for part in module.parts]
    return fingerprint(*parts)
