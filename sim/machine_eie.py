"""The functional model of the EIE array: a fully-connected pass on the PEs' memories."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.hw.isa import Descriptor

from . import ops
from .machine_memory import DescriptorError
from .machine_window import Tables
from .memories import Memories

__all__ = ["FullyConnected"]

Array = NDArray[Any]
Int = NDArray[np.int64]


class FullyConnected:
    """EIE: sums of the inputs' differences to the zero point times the stored weights."""

    def __init__(self, layer: Descriptor, memories: Memories):
        config = memories.config
        if not config.pes:
            raise DescriptorError("there are no PEs")
        self.layer = layer
        self.channels = layer["outputs"]
        first = layer["in_base"] * config.act_word
        if first + layer["columns"] > config.act_depth * config.act_word:
            raise DescriptorError(f"reads byte {first + layer['columns'] - 1}")
        self.index = first + np.arange(layer["columns"])[None]
        self.weights = _matrix(layer, memories)
        self._work = np.count_nonzero(self.weights, axis=0)

    def __call__(self, activations: Array, tables: Tables) -> Int:
        x = activations[:, self.index[0]]
        return ops.fully_connected(x, self.weights, self.layer["in_zero"])[:, None]

    def work(self, activations: Array) -> Int:
        """Multiplications of each sample by weights other than zero that have an effect."""
        live = activations[:, self.index[0]] != self.layer["in_zero"]
        count: Int = live @ self._work
        return count


def _matrix(layer: Descriptor, memories: Memories) -> Int:
    """Weights as the PEs hold them, (outputs, columns)."""
    config = memories.config
    dense = np.zeros((config.pes, layer["columns"], config.acc_rows), np.int64)
    code_mask = (1 << config.code_bits) - 1
    for column in range(layer["columns"]):
        for pe in range(config.pes):
            if layer["dense"]:
                start, length = layer["weight_base"] + column * layer["rows"], layer["rows"]
                rows = np.arange(length)
                entries = memories.weights[pe, start : start + length]
            else:
                start, length = memories.pointers[pe, layer["pointer_base"] + column]
                entries = memories.weights[pe, start : start + length]
                rows = entries >> config.code_bits
            codes = entries & code_mask
            if config.code_bits == 8:
                values = codes.astype(np.uint8).view(np.int8)
            else:
                values = memories.codebooks[layer["codebook"]][codes]
            dense[pe, column, rows] = values
    # The channel memory says in which PE and accumulator each output is.
    lanes = config.lanes
    channel = np.arange(layer["outputs"])
    word, lane = layer["channel_base"] + channel // lanes, channel % lanes
    pe_of = memories.channel_pe[word, lane].astype(np.int64) * lanes + lane
    return dense[pe_of, :, memories.channel_row[word, lane]]
