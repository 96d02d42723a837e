"""Cycles that each engine takes: what the compiler chooses by, and what the gates are held to."""

from collections.abc import Iterable

import numpy as np

from prunus.hw.winograd.geometry import Geometry

from .steps import Sizes

__all__ = [
    "best_tile",
    "conv_cycles",
    "depthwise_cycles",
    "matrix_cycles",
    "window_cycles",
    "winograd_cycles",
]

# Cycles of a descriptor beside its engine's arithmetic and the last drain.
CONVOLUTION, STREAM, WINDOW, WINOGRAD = 71, 64, 34, 14
# From a bank's last product to its first drain, and back, beside the rows of the array.
EMPTY = 24
READ_LATENCY = 2  # Config.read_latency beside a systolic array
DRAIN = 30  # the same of a pass of the EIE array, whose drain follows


def conv_cycles(sizes: Sizes, tile: int, pixels: int, taps: int, outputs: int) -> int:
    """A convolution, ``tile`` pixels at a time; ``taps`` tiles of weights make an output.

    A tile of weights stays for as many cycles as there are pixels, but at least as long as the
    next one takes to load. Sums are drained from one bank of accumulators while the other one's are
    made; between a bank's last product and its first drain, and the other way round, the pipeline
    has to empty.
    """
    blocks = -(-outputs // sizes.tile_outputs)
    counts = np.full(-(-pixels // tile), tile)
    counts[-1] = pixels - tile * (len(counts) - 1)
    beats = np.full(blocks, sizes.tile_outputs // sizes.lanes)
    beats[-1] = -(-(outputs - sizes.tile_outputs * (blocks - 1)) // sizes.lanes)
    busy = np.repeat(taps * np.maximum(counts, sizes.word), blocks)
    drain = (counts[:, None] * beats).ravel()
    spent = np.maximum(busy[1:], drain[:-1])
    # The third unit of work is the first that waits for a bank to be free again.
    spent[1:] = np.maximum(spent[1:], (busy[2:] + drain[1:-1] + sizes.word + EMPTY + 1) // 2)
    return int(busy[0] + spent.sum() + drain[-1]) + CONVOLUTION


def best_tile(sizes: Sizes, pixels: int, taps: int, outputs: int) -> tuple[int, int]:
    """The number of pixels at a time that takes the fewest cycles, and these."""
    choices = range(1, min(sizes.tile_pixels, pixels) + 1)
    cycles = {tile: conv_cycles(sizes, tile, pixels, taps, outputs) for tile in choices}
    best = min(cycles, key=lambda tile: (cycles[tile], -tile))
    return best, cycles[best]


def depthwise_cycles(sizes: Sizes, blocks: int, lines: int, pitch: int) -> int:
    """A depthwise convolution that streams ``lines`` of ``pitch`` pixels for each block.

    Meanwhile the next block's weights are loaded: a few cycles more than they have rows.
    """
    return blocks * max(lines * pitch + sizes.line_taps, sizes.word + 9) + STREAM


def winograd_cycles(
    sizes: Sizes, geometry: Geometry, channels: int, outputs: int, height: int, width: int
) -> int:
    """A convolution on the Winograd unit; its tiles are read while the ones before are worked on,
    and groups of outputs follow each other without a gap."""
    cycles = geometry.cycles(
        act_word=sizes.word,
        read_latency=READ_LATENCY,
        channels=channels,
        outputs=outputs,
        height=height,
        width=width,
    )
    return cycles + WINOGRAD


def window_cycles(sizes: Sizes, outputs: int, pixels: int, taps: int) -> int:
    """A layer of the window engine; a tap is a cycle, and so is a beat of outputs."""
    whole, rest = divmod(outputs, sizes.word)
    cycles = whole * max(taps, sizes.word // sizes.lanes)
    if rest:
        cycles += max(taps, -(-rest // sizes.lanes))
    return pixels * cycles + WINDOW


def matrix_cycles(passes: Iterable[tuple[int, int]], columns: int, lanes: int) -> int:
    """A layer of the EIE array if every activation were non-zero.

    ``passes``: the most entries of any PE, and the outputs, of each pass.
    """
    return sum(max(entries, columns) + -(-count // lanes) + DRAIN for entries, count in passes)
