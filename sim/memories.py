"""The accelerator's memories, as the loader fills them and the functional model reads them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw import isa
from prunus.hw.config import Config
from prunus.hw.image import MULTIPLIER_OFFSET

__all__ = ["Memories", "Network"]

Array = npt.NDArray[Any]


@dataclass(slots=True)
class Network:
    """Activation words, and bytes, of the network's input and output."""

    input_base: int = 0
    input_bytes: int = 0
    output_base: int = 0
    output_bytes: int = 0


@dataclass(slots=True)
class Memories:
    """Contents of every memory; zero where nothing was loaded.

    Members
    -------
    weights : (pes, weight_depth)
        Entries of the PEs: ``row << code_bits | code`` (no row where not ``sparse``).
    pointers : (pes, pointer_depth, 2)
        Start and length of the columns.
    codebooks : (codebooks, 2**code_bits)
        int8 weights.
    tiles : (tile_depth, tile_outputs)
        int8 weights of the systolic array.
    filters : (winograd_depth, 9 * winograd_filters)
        int8 weights of the Winograd unit.
    tables : (tables, 256)
        int8 values of functions, that of x at ``x & 0xFF``.
    channel_bias, channel_pe, channel_row : (channel_depth, lanes)
        The channel memory; PEs are counted within their lane.
    record_multiplier, record_shift : (record_depth, lanes)
        The requantization records, multipliers with their leading one.
    """

    config: Config
    weights: Array = field(init=False)
    pointers: Array = field(init=False)
    codebooks: Array = field(init=False)
    tiles: Array = field(init=False)
    filters: Array = field(init=False)
    tables: Array = field(init=False)
    channel_bias: Array = field(init=False)
    channel_pe: Array = field(init=False)
    channel_row: Array = field(init=False)
    record_multiplier: Array = field(init=False)
    record_shift: Array = field(init=False)
    program: list[isa.Descriptor] = field(default_factory=list)
    network: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        c = self.config
        self.weights = np.zeros((c.pes, c.weight_depth), np.int64)
        self.pointers = np.zeros((c.pes, c.pointer_depth, 2), np.int64)
        self.codebooks = np.zeros((c.codebooks, 1 << c.code_bits), np.int64)
        self.tiles = np.zeros((c.tile_depth if c.columns else 0, c.tile_outputs), np.int8)
        words = c.winograd_depth if c.winograd else 0
        self.filters = np.zeros((words, 9 * c.winograd_filters), np.int8)
        self.tables = np.zeros((c.tables, 256), np.int8)
        self.channel_bias = np.zeros((c.channel_depth, c.lanes), np.int64)
        self.channel_pe = np.zeros((c.channel_depth, c.lanes), np.int64)
        self.channel_row = np.zeros((c.channel_depth, c.lanes), np.int64)
        self.record_multiplier = np.full((c.record_depth, c.lanes), MULTIPLIER_OFFSET, np.int64)
        self.record_shift = np.zeros((c.record_depth, c.lanes), np.int64)
