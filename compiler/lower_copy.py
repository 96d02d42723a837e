"""Tensors that are copied because they are not stored as their user, or the join, needs them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .layout import Image, standard
from .lower_conv import convolve
from .lower_window import EXACT, window
from .lowering import Lowering
from .steps import Sizes, Step

__all__ = ["aligned", "copy", "gather"]


def gather(
    sizes: Sizes,
    name: str,
    source: Image,
    target: Image,
    channels: NDArray[np.int64],
    *,
    zero: int,
    padding: tuple[int, int] = (0, 0),
) -> list[Step]:
    """Channel c of ``target`` is channel ``channels[c]`` of ``source``, -1 is ``zero``.

    A convolution of one tap for each word of a pixel, with weights of 1: it reads bytes from
    anywhere. Pixels outside of the source are ``zero``.
    """
    steps = []
    for first in range(0, len(channels), sizes.word):
        chosen = channels[first : first + sizes.word]
        used = np.flatnonzero(chosen >= 0)
        seen = source.part(chosen[used] if len(used) else np.zeros(1, np.int64), sizes.word)
        weight = np.zeros((len(chosen), 1, 1, len(seen.channels)), np.int8)
        weight[used, 0, 0, np.arange(len(used))] = 1
        scaling = replace(EXACT, bias=np.where(chosen >= 0, 0, zero))
        where = target.part(np.arange(first, first + len(chosen)), sizes.word)
        steps.append(
            convolve(sizes, name, seen, where, weight, scaling, 17, zero=zero, padding=padding)
        )
    return steps


def copy(sizes: Sizes, name: str, source: Image, target: Image) -> list[Step]:
    """The same pixels and channels at another place."""
    if source.aligned(sizes.word):
        return [window(sizes, source, target, EXACT, 8)]
    return gather(sizes, name, source, target, np.arange(len(source.channels)), zero=0)


def aligned(low: Lowering, source: Image, tensor: str) -> Image:
    """A tensor whose pixels are whole words, as the streams read them; a copy if it is not so."""
    if source.aligned(low.sizes.word):
        return source
    known = low.copies.get(tensor)
    if known is None:
        name = f"{tensor}.copy"
        known = standard(name, low.core.tensors[tensor].shape, low.sizes.word)
        low.copies[tensor] = low.reserve(known)
        channels = np.arange(len(source.channels))
        steps = gather(low.sizes, name, source, low.made(known), channels, zero=0)
        low.add("systolic", "copy", name, tensor, known, steps)
    return low.made(known)
