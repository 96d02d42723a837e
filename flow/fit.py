"""The largest accelerator of a network that a board holds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prunus.boards.board import Board
from prunus.boards.estimate import estimate, shortfall
from prunus.boards.registry import BOARDS
from prunus.compiler.layers import Layer
from prunus.compiler.plan import Options, Plan, plan

__all__ = ["FitError", "choose_options", "image_in_rom", "predicted_cycles"]

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 128)
# On the smallest parts everything beside the PEs is kept as small as it goes.
SMALL: dict[str, Any] = {"act_word": 2, "queue_depth": 1, "huffman_bits": 8, "frame_bytes": 64}
DRAIN = 30  # cycles of a pass beside the array and the drain's beats


class FitError(ValueError):
    """A network that no accelerator on the board can hold."""


def predicted_cycles(placed: Plan) -> int:
    """Cycles of one inference if every activation were non-zero."""
    config = placed.config
    return sum(
        max(step.entries, planned.layer.columns) + -(-step.count // config.lanes) + DRAIN
        for planned in placed.layers
        for step in planned.passes
    )


def image_in_rom(board: Board, placed: Plan, image_bytes: int) -> bool:
    """Whether the image fits into block RAM beside the accelerator."""
    return not shortfall(board, estimate(board, placed.config, image_bytes))


def choose_options(
    layers: Sequence[Layer], board: Board, options: Options | None = None
) -> Options:
    """Options for the fastest accelerator that fits; of equals, the smallest.

    ``options`` fixes what the user asked for beside the number of PEs.

    Raises
    ------
    FitError
        With the smallest accelerator's shortfall, and the board that would take it.
    """
    asked = options or Options()
    best: tuple[int, Options] | None = None
    problem: dict[str, tuple[int, int]] = {}
    for pes in SIZES:
        for lanes in (8, 4, 2, 1):
            if pes % lanes:
                continue
            trial = replace(asked, pes=pes, lanes=lanes)
            if board.family == "ice40":
                trial = replace(trial, **SMALL)
            try:
                placed = plan(layers, trial)
            except ValueError:  # these sizes do not go together
                continue
            missing = shortfall(board, estimate(board, placed.config, 0))
            problem = problem or missing  # the smallest accelerator's
            if missing:
                continue
            cycles = predicted_cycles(placed)
            if best is None or cycles < best[0]:
                best = cycles, trial
    if best is None:
        raise FitError(_explain(layers, board, asked, problem))
    return best[1]


def _explain(
    layers: Sequence[Layer], board: Board, asked: Options, problem: dict[str, tuple[int, int]]
) -> str:
    needs = ", ".join(f"{n} {kind} of {room}" for kind, (n, room) in problem.items())
    larger = sorted(
        (other for other in BOARDS.values() if other.memory_bits > board.memory_bits),
        key=lambda other: other.memory_bits,
    )
    for other in larger:
        try:
            choose_options(layers, other, asked)
        except FitError:
            continue
        return f"{board.name}: the model needs at least {needs}; {other.name} would take it"
    return f"{board.name}: the model needs at least {needs}; no known board would take it"
