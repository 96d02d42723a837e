"""The fastest accelerator of a network that a board holds."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from prunus.boards.board import Board
from prunus.boards.estimate import estimate, shortfall
from prunus.boards.registry import BOARDS
from prunus.compiler.ir import Graph
from prunus.compiler.plan import Options, plan

__all__ = ["FitError", "choose_options"]

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80)  # more are slow to route
LANES = (1, 2, 4, 8)
WORDS = (2, 4, 8, 16)  # of activations, where there is a systolic array
WORTH = 1.05  # times the fewest cycles: a smaller accelerator is worth it, as its clock is faster
# On the smallest parts everything beside the engines is kept as small as it goes.
SMALL: dict[str, Any] = {"queue_depth": 1, "huffman_bits": 8, "frame_bytes": 64}


class FitError(ValueError):
    """A network that no accelerator on the board can hold."""


def choose_options(core: Graph, board: Board, options: Options | None = None) -> Options:
    """Options for the fastest accelerator that fits; of those nearly as fast, the least full.

    ``options`` fixes what the user asked for beside the sizes of the engines.

    Raises
    ------
    FitError
        With the smallest accelerator's shortfall, and the board that would take it.
    """
    asked = options or Options()
    fitting: list[tuple[int, float, Options]] = []  # cycles, how full the board gets
    problem: dict[str, tuple[int, int]] = {}
    for trial in _trials(core, board, asked):
        try:
            placed = plan(core, trial)
        except ValueError:  # these sizes do not go together, or are too small for a layer
            continue
        if trial.engine == "winograd" and not placed.config.winograd:
            continue
        used = estimate(board, placed.config, 0)
        missing = shortfall(board, used)
        problem = problem or missing  # the smallest accelerator's
        if not missing:
            full = max(n / board.limits[kind] for kind, n in used.items() if n)
            fitting.append((placed.cycles, full, trial))
    if not fitting:
        raise FitError(_explain(core, board, asked, problem))
    enough = WORTH * min(cycles for cycles, *_ in fitting)
    return min((trial for trial in fitting if trial[0] <= enough), key=lambda trial: trial[1])[2]


def _trials(core: Graph, board: Board, asked: Options) -> Iterator[Options]:
    """What may be the fastest, from small to large."""
    small = SMALL if board.family == "ice40" else {}
    usual = plan(core, replace(asked, pes=8, lanes=None, act_word=16))
    if not usual.config.columns:
        for pes in SIZES:
            for lanes in reversed(LANES):
                if pes % lanes == 0:
                    trial = replace(asked, pes=pes, lanes=lanes, **small)
                    yield replace(trial, act_word=2) if small else trial
        return
    engine = "eie" if usual.config.pes else "systolic"
    for word in WORDS:
        for lanes in LANES:
            if 2 * lanes > word:
                continue
            trial = replace(asked, act_word=word, lanes=lanes, engine="systolic", **small)
            if asked.engine != "eie":
                yield trial
            # Not by itself: whether it meets the board's clock is not known yet.
            if asked.engine == "winograd":
                yield replace(trial, engine="winograd")
            if engine == "eie":
                yield from (
                    replace(trial, engine="eie", pes=pes) for pes in SIZES if pes % lanes == 0
                )


def _explain(core: Graph, board: Board, asked: Options, problem: dict[str, tuple[int, int]]) -> str:
    needs = ", ".join(f"{n} {kind} of {room}" for kind, (n, room) in problem.items())
    larger = sorted(
        (other for other in BOARDS.values() if other.memory_bits > board.memory_bits),
        key=lambda other: other.memory_bits,
    )
    for other in larger:
        try:
            choose_options(core, other, asked)
        except FitError:
            continue
        return f"{board.name}: the model needs at least {needs}; {other.name} would take it"
    return f"{board.name}: the model needs at least {needs}; no known board would take it"
