"""Where the elements of a tensor are in the activation memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "Layout", "Runs", "common_runs", "joined", "packed", "standard"]

Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Pixels at equal distances, line after line without a gap.

    Byte ``start`` of ``buffer`` is the first of pixel (0, 0), a pixel is ``pitch`` bytes behind the
    one before, and channel c is byte ``channels[c]`` of its pixel.
    """

    buffer: str
    start: int
    height: int
    width: int
    pitch: int
    channels: Int

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def bytes(self) -> int:
        """Bytes of a pixel, up to its last channel."""
        return int(self.channels.max()) + 1

    def word(self, size: int) -> int:
        """The word, of ``size`` bytes, at which it begins."""
        assert self.start % size == 0
        return self.start // size

    def aligned(self, word: int) -> bool:
        """Whether pixels are whole words and channels follow each other from the first byte on."""
        whole = self.start % word == 0 and self.pitch % word == 0
        return whole and np.array_equal(self.channels, np.arange(len(self.channels)))

    def layout(self, shape: Sequence[int]) -> "Layout":
        """The same as a tensor of some shape."""
        pixels = self.start + self.pitch * np.arange(self.pixels)
        return Layout(self.buffer, (pixels[:, None] + self.channels).reshape(tuple(shape)))

    def lines(self, first: int, count: int) -> "Image":
        """Some lines of it."""
        return replace(self, start=self.start + first * self.width * self.pitch, height=count)

    def part(self, channels: Int, word: int) -> "Image":
        """Some channels of it, from the word on in which the first of them is."""
        chosen = self.channels[channels]
        skipped = int(chosen.min()) // word * word
        return replace(self, start=self.start + skipped, channels=chosen - skipped)


@dataclass(frozen=True, slots=True)
class Runs:
    """Elements in their order: ``count`` runs of ``size`` bytes, whole words apart."""

    buffer: str
    start: int
    count: int
    size: int
    pitch: int

    def image(self) -> Image:
        """A line with a run in each pixel."""
        return Image(self.buffer, self.start, 1, self.count, self.pitch, np.arange(self.size))


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """``positions``, shaped as the tensor, is the byte of each element in ``buffer``."""

    buffer: str
    positions: Int

    @property
    def end(self) -> int:
        """Bytes of the buffer, up to the tensor's last."""
        return int(self.positions.max()) + 1

    def reshaped(self, shape: Sequence[int]) -> "Layout":
        """Another shape of the same elements."""
        return Layout(self.buffer, self.positions.reshape(tuple(shape)))

    def moved(self, buffer: str) -> "Layout":
        """The same arrangement from the first byte of another buffer on."""
        return Layout(buffer, self.positions - self.positions.min())

    def image(self, word: int) -> Image | None:
        """The tensor as an image (vectors are one pixel); None where pixels are not alike."""
        positions = self.positions
        shape = (1, 1, *positions.shape)[-3:] if positions.ndim < 3 else positions.shape
        height, width = math.prod(shape[:-2]), shape[-2]
        pixels = positions.reshape(height * width, -1)
        start = int(pixels.min()) // word * word
        channels = pixels[0] - start
        if len(pixels) == 1:
            pitch = -(-(int(channels.max()) + 1) // word) * word
        else:
            pitch = int(pixels[1, 0] - pixels[0, 0])
            steps = pitch * np.arange(len(pixels))[:, None]
            if pitch < 1 or not np.array_equal(pixels, pixels[0] + steps):
                return None
        return Image(self.buffer, start, height, width, pitch, channels)

    def runs(self, word: int) -> Runs | None:
        """The elements as runs that begin at whole words; None where they do not.

        Elements without a gap are runs of a word, or a single one if they do not fill words.
        """
        flat = self.positions.ravel()
        start, total = int(flat[0]), len(flat)
        breaks = np.flatnonzero(np.diff(flat) != 1)
        if start % word:
            return None
        if not len(breaks):
            size = word if total % word == 0 else total
            return Runs(self.buffer, start, total // size, size, -(-size // word) * word)
        size = int(breaks[0]) + 1
        pitch = int(flat[size] - start)
        if total % size or pitch % word or pitch < size:
            return None
        index = np.arange(total)
        if not np.array_equal(flat, start + index // size * pitch + index % size):
            return None
        return Runs(self.buffer, start, total // size, size, pitch)


def common_runs(layouts: Sequence[Layout], word: int) -> list[Runs] | None:
    """Runs of equal size and number of several tensors of the same elements; None without."""
    every = [layout.runs(word) for layout in layouts]
    found = [runs for runs in every if runs is not None]
    if len(found) < len(every):
        return None
    sizes = {
        runs.size for runs, layout in zip(found, layouts, strict=True) if not _gapless(layout, runs)
    }
    if not sizes:
        return found
    if len(sizes) > 1:
        return None
    (size,) = sizes
    result = []
    for runs, layout in zip(found, layouts, strict=True):
        if runs.size != size or _gapless(layout, runs):
            if size % word or layout.positions.size % size:
                return None
            runs = Runs(runs.buffer, runs.start, layout.positions.size // size, size, size)
        result.append(runs)
    return result


def _gapless(layout: Layout, runs: Runs) -> bool:
    return layout.end - runs.start == layout.positions.size


def packed(buffer: str, shape: Sequence[int]) -> Layout:
    """Elements without any gap, as the host writes them."""
    return Layout(buffer, np.arange(math.prod(shape)).reshape(tuple(shape)))


def standard(buffer: str, shape: Sequence[int], word: int) -> Layout:
    """As the vector unit writes: every pixel (all axes but the last) begins a word."""
    channels = shape[-1]
    pixels = np.arange(math.prod(shape[:-1])) * (-(-channels // word) * word)
    return Layout(buffer, (pixels[:, None] + np.arange(channels)).reshape(tuple(shape)))


def joined(
    buffer: str, shapes: Sequence[Sequence[int]], axis: int, word: int
) -> tuple[Layout, tuple[Layout, ...]]:
    """A concatenation along ``axis`` and its parts, each of which begins a word in every pixel."""
    shape = list(shapes[0])
    shape[axis] = sum(part[axis] for part in shapes)
    ends = np.cumsum([part[axis] for part in shapes])[:-1]
    if axis == len(shape) - 1:
        widths = [-(-part[axis] // word) * word for part in shapes]
        first = np.cumsum([0, *widths[:-1]])
        channels = np.concatenate([
            start + np.arange(part[axis]) for start, part in zip(first, shapes, strict=True)
        ])  # fmt: skip
        pixels = np.arange(math.prod(shape[:-1])) * sum(widths)
        positions = (pixels[:, None] + channels).reshape(shape)
    else:
        positions = standard(buffer, shape, word).positions
    parts = np.split(positions, ends, axis)
    return Layout(buffer, positions), tuple(Layout(buffer, part) for part in parts)
