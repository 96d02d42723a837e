"""The fastest accelerator of a network that a board holds."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from prunus.boards.board import Board
from prunus.boards.estimate import estimate, shortfall
from prunus.boards.registry import BOARDS
from prunus.compiler.ir import Graph
from prunus.compiler.plan import Options, plan
from prunus.hw.config import Config
from prunus.hw.winograd.geometry import Geometry

__all__ = ["FitError", "Plans", "choose_options"]

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80)  # more are slow to route
LANES = (1, 2, 4, 8)
WORDS = (2, 4, 8, 16)  # of activations, where there is a systolic array
WORTH = 1.05  # times the fewest cycles: a smaller accelerator is worth it, as its clock is faster
SMALL_PART = 10_000  # LUTs
# On the smallest parts everything beside the engines is kept as small as it goes.
SMALL: dict[str, Any] = {"queue_depth": 1, "huffman_bits": 8, "frame_bytes": 64}


class FitError(ValueError):
    """A network that no accelerator on the board can hold."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    options: Options
    config: Config
    cycles: int


class Plans:
    """The accelerators that a network may get, each laid out once for all boards.

    ``options`` decides what is not a size, and the sizes that are named in ``fixed``.
    """

    def __init__(
        self, core: Graph, options: Options | None = None, fixed: Collection[str] = ()
    ):  # fmt: skip
        self._core = core
        self._asked = options or Options()
        self._fixed = {name: getattr(self._asked, name) for name in fixed}
        self._known: dict[bool, list[_Candidate]] = {}
        self._usual: Config | None = None
        self._problem = "the board has no accelerator for it"

    def choose(self, board: Board) -> Options:
        """Options for the fastest that fits a board; of those nearly as fast, the least full.

        Raises
        ------
        FitError
            With what that one lacks that is nearest to fitting, and the smallest board that would
            take the network.
        """
        fitting: list[tuple[int, float, Options]] = []  # cycles, how full the board gets
        lacking: list[dict[str, tuple[int, int]]] = []
        for candidate in self._candidates(board):
            options = candidate.options
            used = estimate(board, candidate.config, 0)
            missing = shortfall(board, used)
            if missing:
                lacking.append(missing)
            else:
                full = max(n / board.limits[kind] for kind, n in used.items() if n)
                if candidate.config.winograd and "winograd_blocks" not in self._fixed:
                    spare = board.limits["DSP"] - used["DSP"]
                    options = replace(options, winograd_blocks=min(spare, _alone(candidate.config)))
                fitting.append((candidate.cycles, full, options))
        if not fitting:
            raise FitError(self._explain(board, lacking))
        enough = WORTH * min(cycles for cycles, *_ in fitting)
        return min((it for it in fitting if it[0] <= enough), key=lambda it: it[1])[2]

    def _candidates(self, board: Board) -> list[_Candidate]:
        """What may be the fastest on a board, from small to large."""
        small = board.luts < SMALL_PART
        if small not in self._known:
            self._known[small] = list(self._lay_out(SMALL if small else {}))
        return self._known[small]

    def _lay_out(self, small: Mapping[str, Any]) -> Iterator[_Candidate]:
        if self._usual is None:
            usual = replace(self._asked, pes=8, lanes=None, act_word=16)
            self._usual = plan(self._core, usual).config
        trials = _trials(self._usual, self._asked, small)
        for trial in dict.fromkeys(replace(trial, **self._fixed) for trial in trials):
            try:
                placed = plan(self._core, trial)
            except ValueError as error:  # sizes that do not go together, or are too small
                self._problem = str(error)
                continue
            if mismatch := self._mismatch(placed.config):
                self._problem = mismatch
                continue
            if trial.engine != "winograd" or placed.config.winograd:
                yield _Candidate(trial, placed.config, placed.cycles)

    def _mismatch(self, config: Config) -> str:
        """What a configuration does not have of the sizes asked for, if anything."""
        for name in ("act_word", "lanes", "tile_pixels") if config.columns else ():
            asked, made = self._fixed.get(name), getattr(config, name)
            if asked not in (None, made):
                return f"{name} must be {made} with the compact engine, not {asked!r}"
        return ""

    def _explain(self, board: Board, lacking: list[dict[str, tuple[int, int]]]) -> str:
        if not lacking:
            return f"{board.name}: {self._problem}"

        def excess(missing: dict[str, tuple[int, int]]) -> float:
            return math.prod(n / max(1, room) for n, room in missing.values())

        nearest = min(lacking, key=excess)
        needs = ", ".join(
            f"{n} {kind} of {room}" + (" usable" if room < board.limits[kind] else "")
            for kind, (n, room) in nearest.items()
        )
        others = sorted(BOARDS.values(), key=lambda other: (other.luts, other.memory_bits))
        takers = (other.name for other in others if other != board and self._fits(other))
        taker = next(takers, "no known board")
        return f"{board.name}: the model needs at least {needs}; {taker} would take it"

    def _fits(self, board: Board) -> bool:
        return any(
            not shortfall(board, estimate(board, candidate.config, 0))
            for candidate in self._candidates(board)
        )


def _alone(config: Config) -> int:
    """Products of the Winograd unit that the systolic array makes none of."""
    geometry = Geometry.of(config)
    return geometry.multipliers - len(geometry.shared(config))


def choose_options(
    core: Graph, board: Board, options: Options | None = None, fixed: Collection[str] = ()
) -> Options:
    """:meth:`Plans.choose` for one board."""
    return Plans(core, options, fixed).choose(board)


def _trials(usual: Config, asked: Options, small: Mapping[str, Any]) -> Iterator[Options]:
    """Sizes that may be the fastest, from small to large; ``usual`` shows which engines it has."""
    if not usual.columns:
        for pes in SIZES:
            for lanes in reversed(LANES):
                if pes % lanes == 0:
                    trial = replace(asked, pes=pes, lanes=lanes, **small)
                    yield replace(trial, act_word=2) if small else trial
        return
    if asked.engine == "compact" or (small and asked.engine == "auto"):
        yield replace(asked, engine="compact", **small)
    if asked.engine == "compact":
        return
    engine = "eie" if usual.pes else "systolic"
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
