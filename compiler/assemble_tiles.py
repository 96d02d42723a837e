"""Weights of the systolic array and of the Winograd unit in the fewest bytes of the image."""

from collections.abc import Iterator, Sequence

import numpy as np

from prunus.hw.config import Config
from prunus.hw.image import Section

from . import image as sections
from .image import WeightStats
from .plan_memory import Tiles

__all__ = ["tile_sections"]

MOST_WORDS = (1 << 16) - 1  # of a section
Shares = dict[int, float]


def tile_sections(
    layers: Sequence[Sequence[Tiles]], config: Config, *, winograd: bool = False
) -> Iterator[tuple[Section, WeightStats, Shares]]:
    """Sections of all weights, and of each the share that a layer (by number) has in it.

    Neighbours are stored together where one table for both is shorter than two.
    """
    held: tuple[Tiles, Section, WeightStats, Shares] | None = None
    for number, layer in enumerate(layers):
        for tiles in (part for whole in layer for part in _split(whole)):
            section, stats = sections.tiles(tiles.base, tiles.values, config, winograd=winograd)
            mine: Shares = {number: float(tiles.values.size)}
            if held is not None:
                before, earlier, _, shares = held
                both = _together(before, tiles)
                if both is not None:
                    joint, joint_stats = sections.tiles(
                        both.base, both.values, config, winograd=winograd
                    )
                    # A section has 8 bytes beside its payload.
                    if len(joint.payload) <= len(earlier.payload) + len(section.payload) + 8:
                        shared = dict(shares)
                        shared[number] = shared.get(number, 0) + tiles.values.size
                        held = both, joint, joint_stats, shared
                        continue
                yield _finished(held)
            held = tiles, section, stats, mine
    if held is not None:
        yield _finished(held)


def _finished(
    held: tuple[Tiles, Section, WeightStats, Shares],
) -> tuple[Section, WeightStats, Shares]:
    tiles, section, stats, weights = held
    return section, stats, {n: count / tiles.values.size for n, count in weights.items()}


def _together(first: Tiles, second: Tiles) -> Tiles | None:
    """Two neighbours as one; None where they are none, or too long."""
    words = len(first.values) + len(second.values)
    adjacent = first.base + len(first.values) == second.base
    if not adjacent or first.values.shape[1] != second.values.shape[1] or words > MOST_WORDS:
        return None
    return Tiles(first.base, np.concatenate([first.values, second.values]))


def _split(tiles: Tiles) -> list[Tiles]:
    """Weights of more words than a section holds, in several."""
    starts = range(0, len(tiles.values), MOST_WORDS)
    return [Tiles(tiles.base + at, tiles.values[at : at + MOST_WORDS]) for at in starts]
