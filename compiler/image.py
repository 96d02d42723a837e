"""The payload of each section of a ROM image; :mod:`prunus.hw.image` has the format."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw import isa
from prunus.hw.config import Config
from prunus.hw.image import MULTIPLIER_BITS, MULTIPLIER_OFFSET, SHIFT_BITS, Kind, Section

from .huffman import pack_bits
from .image_weights import WeightLayout, WeightStats, check_range, tiles, weights

__all__ = [
    "WeightLayout",
    "WeightStats",
    "channels",
    "codebook",
    "network",
    "program",
    "records",
    "tables",
    "tiles",
    "weights",
]

Array = npt.NDArray[Any]


def network(
    input_base: int, input_bytes: int, output_base: int, output_bytes: int, config: Config
) -> Section:
    """Where the host puts the inputs, and finds the outputs."""
    for name, base, size in (
        ("input_base", input_base, input_bytes),
        ("output_base", output_base, output_bytes),
    ):
        if base < 0 or base + -(-size // config.act_word) > config.act_depth:
            raise ValueError(f"{name} must leave {size} bytes of activations, not {base!r}")
    fields = [input_base, input_bytes, output_base, output_bytes]
    return Section(Kind.NETWORK, pack_bits(fields, [16, 24, 16, 24]))


def program(descriptors: Sequence[isa.Descriptor], config: Config) -> Section:
    """The layers in their order; an END is added where the last is none."""
    layers = list(descriptors)
    if not layers or layers[-1].get("op", isa.Op.END) != isa.Op.END:
        layers.append({"op": isa.Op.END})
    if len(layers) > config.program_depth:
        raise ValueError(
            f"descriptors must be at most {config.program_depth} with END, not {len(layers)!r}"
        )
    return Section(
        Kind.PROGRAM, b"".join(isa.encode(layer, config.descriptor_words) for layer in layers)
    )


def codebook(slot: int, values: npt.ArrayLike, config: Config) -> Section:
    """The weights that the codes of one slot stand for."""
    table = np.asarray(values, dtype=np.int64)
    if config.code_bits == 8:
        raise ValueError("code_bits must be below 8 where there is a codebook, not 8")
    if slot not in range(config.codebooks):
        raise ValueError(f"slot must be 0 to {config.codebooks - 1}, not {slot!r}")
    if not 1 <= len(table) <= 1 << config.code_bits:
        raise ValueError(f"values must be 1 to {1 << config.code_bits} long, not {len(table)!r}")
    check_range("values", table, -128, 127)
    fields = [slot, len(table) - 1, *table.tolist()]
    return Section(Kind.CODEBOOK, pack_bits(fields, [8] * len(fields)))


def channels(
    base: int,
    biases: npt.ArrayLike,
    pe: npt.ArrayLike | None,
    row: npt.ArrayLike | None,
    config: Config,
) -> Section:
    """Bias and place of the accumulator of every channel, from word `base` on.

    `pe` counts the PEs of the channel's lane: ``pe * lanes + lane`` is the PE. Layers that do not
    run on PEs have no places: None.
    """
    bias = np.asarray(biases, dtype=np.int64)
    chosen, rows = (
        np.zeros_like(bias) if column is None else np.asarray(column, dtype=np.int64)
        for column in (pe, row)
    )
    _check_words("base", base, len(bias), config.channel_depth, config)
    check_range("biases", bias, -(1 << 31), (1 << 31) - 1)
    check_range("pe", chosen, 0, max(0, config.pes // config.lanes - 1))
    check_range("row", rows, 0, config.acc_rows - 1 if config.pes else 0)
    bits = max([1, *(int(b if b >= 0 else ~b).bit_length() + 1 for b in (bias.min(), bias.max()))])
    values = np.stack([bias, chosen, rows], axis=1).ravel()
    sizes = np.tile([bits, config.pe_bits, config.row_bits], len(bias))
    head = pack_bits([base, len(bias), bits], [16, 16, 8])
    return Section(Kind.CHANNELS, head + pack_bits(values, sizes))


def records(
    base: int,
    multipliers: npt.ArrayLike,
    shifts: npt.ArrayLike,
    config: Config,
    *,
    small: bool = False,
) -> Section:
    """Requantization: multipliers of 31 bits with the top one set, and right shifts.

    For a layer whose descriptor says ``small`` that bit is zero: multipliers below 2**30.
    """
    multiplier, shift = (np.asarray(column, dtype=np.int64) for column in (multipliers, shifts))
    _check_words("base", base, len(multiplier), config.record_depth, config)
    least = 0 if small else MULTIPLIER_OFFSET
    check_range("multipliers", multiplier, least, least + MULTIPLIER_OFFSET - 1)
    check_range("shifts", shift, -(1 << (SHIFT_BITS - 1)), (1 << (SHIFT_BITS - 1)) - 1)
    values = np.stack([multiplier - least, shift], axis=1).ravel()
    head = pack_bits([base, len(multiplier)], [16, 16])
    sizes = np.tile([MULTIPLIER_BITS, SHIFT_BITS], len(multiplier))
    return Section(Kind.RECORDS, head + pack_bits(values, sizes))


def tables(slot: int, values: npt.ArrayLike, config: Config) -> Section:
    """A function's int8 values for x = -128..127, in that order."""
    table = np.asarray(values, dtype=np.int64)
    if slot not in range(config.tables):
        raise ValueError(f"slot must be below {config.tables}, the tables, not {slot!r}")
    if table.shape != (256,):
        raise ValueError(f"values must be 256, not of shape {table.shape!r}")
    check_range("values", table, -128, 127)
    fields = [slot, *np.roll(table, -128).tolist()]
    return Section(Kind.TABLES, pack_bits(fields, [8] * len(fields)))


def _check_words(name: str, base: int, count: int, depth: int, config: Config) -> None:
    """`count` entries, `lanes` of them in a word, fit from word `base` on."""
    words = -(-count // config.lanes)
    if not (0 < count < 1 << 16 and 0 <= base <= depth - words):
        raise ValueError(f"{name} must leave {words} of {depth} words, not {base!r}")
