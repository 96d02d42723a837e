"""Cycles that each engine takes: what the compiler chooses by, and what the gates are held to."""

from collections.abc import Iterable

import numpy as np

from .steps import Sizes

__all__ = ["best_tile", "conv_cycles", "depthwise_cycles", "matrix_cycles", "window_cycles"]

DESCRIPTOR = 60  # cycles of a descriptor beside its engine's arithmetic and the last drain
DRAIN = 30  # the same of a pass of the EIE array, whose drain follows


def conv_cycles(sizes: Sizes, tile: int, pixels: int, taps: int, outputs: int) -> int:
    """A convolution, ``tile`` pixels at a time; ``taps`` tiles of weights make an output.

    A tile of weights stays for as many cycles as there are pixels, but at least as long as the
    next one takes to load. Sums are drained while the next are made.
    """
    blocks = -(-outputs // sizes.tile_outputs)
    counts = np.full(-(-pixels // tile), tile)
    counts[-1] = pixels - tile * (len(counts) - 1)
    beats = np.full(blocks, sizes.tile_outputs // sizes.lanes)
    beats[-1] = -(-(outputs - sizes.tile_outputs * (blocks - 1)) // sizes.lanes)
    busy = np.repeat(taps * np.maximum(counts, sizes.word), blocks)
    drain = (counts[:, None] * beats).ravel()
    return int(busy[0] + np.maximum(busy[1:], drain[:-1]).sum() + drain[-1]) + DESCRIPTOR


def best_tile(sizes: Sizes, pixels: int, taps: int, outputs: int) -> tuple[int, int]:
    """The number of pixels at a time that takes the fewest cycles, and these."""
    choices = range(1, min(sizes.tile_pixels, pixels) + 1)
    cycles = {tile: conv_cycles(sizes, tile, pixels, taps, outputs) for tile in choices}
    best = min(cycles, key=lambda tile: (cycles[tile], -tile))
    return best, cycles[best]


def depthwise_cycles(sizes: Sizes, blocks: int, lines: int, pitch: int) -> int:
    """A depthwise convolution that streams ``lines`` of ``pitch`` pixels for each block.

    Meanwhile the next block's weights are loaded, which takes a few cycles more than they have rows.
    """
    return blocks * max(lines * pitch + sizes.line_taps, sizes.word + 9) + DESCRIPTOR


def window_cycles(sizes: Sizes, outputs: int, pixels: int, taps: int) -> int:
    """A layer of the window engine; a tap is a cycle, and so is a beat of outputs."""
    whole, rest = divmod(outputs, sizes.word)
    cycles = whole * max(taps, sizes.word // sizes.lanes)
    if rest:
        cycles += max(taps, -(-rest // sizes.lanes))
    return pixels * cycles + DESCRIPTOR


def matrix_cycles(passes: Iterable[tuple[int, int]], columns: int, lanes: int) -> int:
    """A layer of the EIE array if every activation were non-zero.

    ``passes``: the most entries of any PE, and the outputs, of each pass.
    """
    return sum(max(entries, columns) + -(-count // lanes) + DRAIN for entries, count in passes)
