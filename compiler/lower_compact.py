"""What the compact engine takes: convolutions of whole words, on tiles of few pixels."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prunus.hw import isa
from prunus.hw.config import COMPACT_PIXELS

from .compact_time import Timeline
from .ir import GraphError
from .layout import Image
from .steps import Place, Scaling, Sizes, Step

__all__ = [
    "by_words",
    "check_tiles",
    "first_word",
    "parts",
    "reads_last",
    "steps_of",
    "summed",
    "whole_words",
]

Int8 = NDArray[np.int8]
Pair = tuple[int, int]
MOST = 255  # of whatever the engine counts


def whole_words(image: Image, word: int) -> bool:
    """Whether pixels begin at whole words."""
    return image.start % word == 0 and (image.pitch % word == 0 or image.pixels == 1)


def first_word(image: Image, sizes: Sizes) -> Image:
    """The channels in the first word of each pixel."""
    return replace(image, channels=np.arange(min(sizes.word, len(image.channels))))


def by_words(weight: Int8, sizes: Sizes) -> Int8:
    """Depthwise weights (height, width, channels) as those of a convolution of one word each."""
    height, width, channels = weight.shape
    result = np.zeros((channels, height, width, min(sizes.word, channels)), np.int8)
    every = np.arange(channels)
    result[every, :, :, every % sizes.word] = np.moveaxis(weight, -1, 0)
    return result


def check_tiles(name: str, source: Image, tiles: Int8, word: int) -> None:
    """Refuse what the compact engine cannot read or multiply."""
    if not whole_words(source, word):
        raise GraphError(
            f"{name}: pixels of {source.pitch} bytes; the compact engine reads words of {word}"
        )
    pairs = tiles.reshape(-1, 2, tiles.shape[1])
    if (pairs == -128).all(axis=1).any():
        raise GraphError(
            f"{name}: has neighbouring weights of -128, whose products the compact engine cannot "
            "add; quantize with a symmetric range"
        )


def summed(
    sizes: Sizes,
    source: Image,
    target: Image,
    scaling: Scaling,
    bits: int,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    fill: int,
) -> Step:
    """Sums over windows of an aligned image, by weights of one; ``padding`` is ``fill``."""
    word, outputs = sizes.word, len(source.channels)
    blocks = -(-outputs // word)
    fields: isa.Descriptor = {
        "op": isa.Op.CONV,
        "in_zero": fill,
        "outputs": outputs,
        "rows": word,
        "line_bytes": source.width * source.pitch,
        "in_height": source.height,
        "pad_x": padding[1] * source.pitch,
        "pad_y": padding[0],
        "step_x": stride[1] * source.pitch,
        "step_y": stride[0],
        "tap_x": source.pitch,
        "tap_y": 1,
        "taps_x": kernel[1],
        "taps_y": kernel[0],
        "segments": 1,
        "blocks": blocks,
        "tile": target.pixels,
        "out_width": target.width,
        "out_pixels": target.pixels,
        "out_words": target.pitch // word,
        "group": 1,
        "same": 1,
    }
    return Step(
        fields=fields,
        sources=(Place(source.buffer, source.word(word)),),
        target=Place(target.buffer, target.word(word)),
        scaling=scaling,
        bits=bits,
        cycles=0,  # see parts
        weights=np.eye(word, dtype=np.int8),
    )


def parts(name: str, step: Step) -> Iterator[Step]:
    """The same by steps of whole lines, of as many pixels as there are accumulators."""
    fields = step.fields
    _check(name, step)
    width = fields["out_width"]
    if width > COMPACT_PIXELS:
        raise GraphError(f"{name}: lines of {width} pixels; the compact engine has accumulators "
                         f"for {COMPACT_PIXELS}")  # fmt: skip
    height, most = fields["out_pixels"] // width, COMPACT_PIXELS // width
    words = -(-fields["line_bytes"] // fields["rows"])  # a single pixel may end in its last word
    (source,) = step.sources
    for first in range(0, height, most):
        pixels = min(most, height - first) * width
        line = first * fields["step_y"] - fields["pad_y"]
        skipped = max(0, line)
        part = fields | {
            "line_bytes": words * fields["rows"],
            "out_pixels": pixels,
            "tile": pixels,
            "in_height": fields["in_height"] - skipped,
            "pad_y": max(0, -line),
        }
        yield replace(
            step,
            fields=part,
            sources=(replace(source, word=source.word + skipped * words),),
            target=replace(
                step.target, word=step.target.word + first * width * fields["out_words"]
            ),
            cycles=Timeline().add(part),
        )


def _check(name: str, step: Step) -> None:
    """Refuse what does not fit the engine's counters, and scales that it does not have."""
    if step.scaling.left:
        raise GraphError(f"{name}: scales its sums up, which the compact engine cannot")
    fields = step.fields
    word = fields["rows"]
    bounds = {
        "lines of taps": fields["taps_y"],
        "taps of a line": fields["taps_x"],
        "words of a tap": fields["segments"],
        "blocks of outputs": fields["blocks"],
        "pixels of an output line": fields["out_width"],
        "words of an output pixel": fields["out_words"],
        "words of an input line and its padding": (fields["line_bytes"] + fields["pad_x"]) // word
        + fields["segments"],
        "words of a stride": fields["step_x"] // word,
        "input lines and padding": fields["in_height"] + 2 * fields["pad_y"] + fields["step_y"],
    }
    for what, value in bounds.items():
        if value > MOST:
            raise GraphError(f"{name}: {value} {what}; the compact engine counts to {MOST}")


def steps_of(fields: isa.Descriptor) -> isa.Descriptor:
    """The fields by which the compact engine finds its way (CONV in :mod:`prunus.hw.isa`)."""
    word = fields["rows"]
    line, pad, step, tap = (
        fields.get(key, 0) // word for key in ("line_bytes", "pad_x", "step_x", "tap_x")
    )
    back = fields["segments"] - 1
    first = fields["in_base"] - fields.get("pad_y", 0) * line - pad - fields.get("group", 0)
    return {
        "in2_base": first % (1 << 16),
        "slot": -pad % (1 << 8),
        "codebook": -fields.get("pad_y", 0) % (1 << 8),
        "pointer_base": (tap - back) % (1 << 24),
        "columns": (fields["tap_y"] * line - (fields["taps_x"] - 1) * tap - back) % (1 << 16),
        "in_width": (fields["step_y"] * line - (fields["out_width"] - 1) * step) % (1 << 16),
    }


def reads_last(before: isa.Descriptor, fields: isa.Descriptor) -> bool:
    """Whether what a layer's last block writes is read in its reader's last segments or block."""
    words = before["out_words"]
    if before["blocks"] != words or fields["in_base"] != before["out_base"]:
        return False
    if fields.get("group", 0):
        return fields["blocks"] == words and fields["segments"] == 1
    pitch = words * fields["rows"]
    return fields["taps_x"] == 1 and fields["segments"] == words and fields["step_x"] == pitch
