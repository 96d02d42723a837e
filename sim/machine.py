"""A functional model of the accelerator: it executes the bytes of the image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunus.hw.config import Config
from prunus.hw.isa import Descriptor, Op

from . import ops
from .image import Memories, read_image

__all__ = ["Machine", "Run"]

Int8 = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Run:
    """What one pass through the program left behind.

    ``outputs`` (n,) int8; ``layers`` the int8 outputs of each layer number; ``macs`` the
    multiplications of each layer by stored, non-zero weights (dense zeros are not work).
    """

    outputs: Int8
    layers: dict[int, Int8]
    macs: dict[int, int]


class Machine:
    """Memories as the loader leaves them, and the program that runs on them.

    Equal to :class:`prunus.hw.accelerator.Accelerator`, byte for byte of the activation memory.

    Raises
    ------
    ImageError
        The image is damaged or was made for another configuration.
    """

    def __init__(self, config: Config, image: bytes):
        self.config = config
        self.memories: Memories = read_image(image, config)
        self._matrices: dict[int, NDArray[np.int64]] = {}

    def matrix(self, number: int) -> NDArray[np.int64]:
        """Weights of descriptor ``number`` as the PEs hold them, (outputs, columns) int64."""
        if number not in self._matrices:
            self._matrices[number] = self._read_matrix(self.memories.program[number])
        return self._matrices[number]

    def _read_matrix(self, layer: Descriptor) -> NDArray[np.int64]:
        config, memories = self.config, self.memories
        dense = np.zeros((config.pes, layer["columns"], config.acc_rows), np.int64)
        code_mask = (1 << config.code_bits) - 1
        for column in range(layer["columns"]):
            for pe in range(config.pes):
                if layer["dense"]:
                    start, length = layer["weight_base"] + column * layer["rows"], layer["rows"]
                    rows = np.arange(length)
                    entries = memories.weights[pe, start : start + length]
                else:
                    place = layer["pointer_base"] + column
                    start, length = memories.pointers[pe, place]
                    entries = memories.weights[pe, start : start + length]
                    rows = entries >> config.code_bits
                codes = entries & code_mask
                if config.code_bits == 8:
                    values = codes.astype(np.uint8).view(np.int8)
                else:
                    values = memories.codebooks[layer["codebook"]][codes]
                dense[pe, column, rows] = values
        places = self._places(layer)
        return dense[places[0], :, places[1]]

    def _places(self, layer: Descriptor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """PE and accumulator of each output of a pass."""
        lanes = self.config.lanes
        channel = np.arange(layer["outputs"])
        word, lane = layer["channel_base"] + channel // lanes, channel % lanes
        pe = self.memories.channel_pe[word, lane].astype(np.int64)
        return pe * lanes + lane, self.memories.channel_row[word, lane].astype(np.int64)

    def run(self, inputs: Int8) -> Run:
        """One inference of ``inputs`` (n,) int8."""
        config, memories = self.config, self.memories
        network = memories.network
        if inputs.shape != (network.input_bytes,) or inputs.dtype != np.int8:
            raise ValueError(
                f"inputs must be int8 ({network.input_bytes},), not {inputs.dtype} {inputs.shape}"
            )
        activations = np.zeros(config.act_depth * config.act_word, np.int8)
        base = network.input_base * config.act_word
        activations[base : base + len(inputs)] = inputs
        layers: dict[int, list[Int8]] = {}
        macs: dict[int, int] = {}
        for number, layer in enumerate(memories.program):
            if layer["op"] == Op.END:
                break
            base = layer["in_base"] * config.act_word
            x = activations[base : base + layer["columns"]].astype(np.int64)
            weight = self.matrix(number)
            acc = ops.fully_connected(x[None], weight, layer["in_zero"])[0]
            macs[layer["layer"]] = macs.get(layer["layer"], 0) + int(
                np.count_nonzero(weight[:, x != layer["in_zero"]])
            )
            y = self._requantize(layer, acc)
            base = layer["out_base"] * config.act_word
            activations[base : base + len(y)] = y
            layers.setdefault(layer["layer"], []).append(y)
        base = network.output_base * config.act_word
        return Run(
            activations[base : base + network.output_bytes].copy(),
            {number: np.concatenate(parts) for number, parts in layers.items()},
            macs,
        )

    def _requantize(self, layer: Descriptor, acc: NDArray[np.int64]) -> Int8:
        lanes, memories = self.config.lanes, self.memories
        channel = np.arange(layer["outputs"])
        lane = channel % lanes
        bias = memories.channel_bias[layer["channel_base"] + channel // lanes, lane]
        record = layer["record_base"] + (channel // lanes if layer["per_channel"] else 0)
        return ops.requantize(
            acc + bias,
            memories.record_multiplier[record, lane],
            -memories.record_shift[record, lane],
            "double" if layer["double_round"] else "single",
            layer["out_zero"],
            layer["clamp_min"],
            layer["clamp_max"],
        ).astype(np.int8)
