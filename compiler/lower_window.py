"""Pools, means, tables and sums as descriptors of the window engine."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prunus.hw import isa
from prunus.hw.isa import Mode

from .cost import window_cycles
from .ir import GraphError
from .layout import Image
from .lower_compact import summed
from .steps import Place, Scaling, Sizes, Step, Table

__all__ = ["EXACT", "average_scaling", "averages", "window"]

Pair = tuple[int, int]

# x * (2**31 - 1) * 2**-31 is x to the nearest for all x below 2**30.
EXACT = Scaling(np.zeros(1, np.int64), np.array([(1 << 31) - 1]), np.zeros(1, np.int64))


def window(
    sizes: Sizes,
    source: Image,
    target: Image,
    scaling: Scaling,
    bits: int,
    *,
    mode: Mode = Mode.SUM,
    kernel: Pair = (1, 1),
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    fill: int = 0,
    second: Image | None = None,
    tables: tuple[Table, ...] = (),
) -> Step:
    """Windows of an aligned image, ``padding`` at the top and at the left being ``fill``."""
    if sizes.compact:
        if mode is not Mode.SUM:
            raise GraphError(f"the compact engine has no {mode.name} of windows; "
                             "choose another engine")  # fmt: skip
        return summed(sizes, source, target, scaling, bits,
                      kernel=kernel, stride=stride, padding=padding, fill=fill)  # fmt: skip
    word = sizes.word
    pitch = source.pitch // word
    outputs = len(source.channels)
    sources = [source] if second is None else [source, second]
    fields: isa.Descriptor = {
        "op": isa.Op.WINDOW,
        "mode": mode,
        "in_zero": fill,
        "outputs": outputs,
        "line_bytes": source.width * pitch,
        "in_height": source.height,
        "pad_x": padding[1] * pitch,
        "pad_y": padding[0],
        "step_x": stride[1] * pitch,
        "step_y": stride[0],
        "tap_x": pitch,
        "tap_y": 1,
        "taps_x": kernel[1],
        "taps_y": kernel[0],
        "blocks": -(-outputs // word),
        "out_width": target.width,
        "out_pixels": target.pixels,
        "out_words": target.pitch // word,
    }
    return Step(
        fields=fields,
        sources=tuple(Place(image.buffer, image.word(word)) for image in sources),
        target=Place(target.buffer, target.word(word)),
        scaling=scaling,
        bits=bits,
        cycles=window_cycles(sizes, outputs, target.pixels, len(sources) * kernel[0] * kernel[1]),
        tables=tables,
    )


def average_scaling(count: int, clamp: Pair) -> Scaling:
    """Divides sums of ``count`` int8 to the nearest, halves away from zero, under single rounding.

    The multiplier m is just above 2**k / count, and so adds less than t / 2**k to t / count: it
    turns negative halves, which the rule rounds up, into more than halves. No total t up to 128 *
    count is moved over another half, of which t / count is at least 1 / (2 * count) away, while
    256 * count**2 <= 2**k.
    """
    if count == 1:
        return EXACT.clamped(clamp)
    point = 30 + (count - 1).bit_length()
    if 256 * count**2 > 1 << point:
        raise GraphError(f"average of {count} values: at most {1 << 22} are exact")
    multiplier = (1 << point) // count + 1
    return replace(
        EXACT,
        multiplier=np.array([multiplier]),
        shift=np.array([point - 31]),
        double_round=False,
    ).clamped(clamp)


def averages(
    source: Image, target: Image, kernel: Pair, stride: Pair, padding: Pair
) -> Iterator[tuple[int, Image, Image, Pair, Pair]]:
    """Parts of an average pool in which every window has as many values, for each of them:

    that number, the source, the target, the kernel, and the padding. Padding does not count. Whole
    lines come first, with what most of their windows have; the others are overwritten, column by
    column.
    """
    down = _inside(source.height, target.height, kernel[0], stride[0], padding[0])
    across = _inside(source.width, target.width, kernel[1], stride[1], padding[1])
    usual = np.bincount(np.diff(across)[:, 0]).argmax()
    edges = np.flatnonzero(np.diff(down)[1:, 0] != np.diff(down)[:-1, 0]) + 1
    for first, last in zip([0, *edges], [*edges, target.height], strict=True):
        count = int(np.diff(down)[first, 0])
        top = first * stride[0] - padding[0]
        seen = source.lines(max(0, top), source.height - max(0, top))
        pad = max(0, -top)
        lines = target.lines(first, last - first)
        yield int(count * usual), seen, lines, kernel, (pad, padding[1])
        for x in np.flatnonzero(np.diff(across)[:, 0] != usual):
            begin, end = across[x]
            column = replace(
                lines,
                start=lines.start + int(x) * lines.pitch,
                width=1,
                pitch=lines.width * lines.pitch,
            )
            part = replace(seen, start=seen.start + int(begin) * seen.pitch)
            yield int(count * (end - begin)), part, column, (kernel[0], int(end - begin)), (pad, 0)


def _inside(size: int, made: int, kernel: int, stride: int, before: int) -> NDArray[np.int64]:
    """For each window the first place inside of the image, and the first behind those."""
    first = np.arange(made) * stride - before
    return np.stack([np.maximum(first, 0), np.minimum(first + kernel, size)], axis=1)
