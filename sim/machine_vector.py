"""The functional model of the vector unit: what becomes of an engine's sums, and where it goes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.hw.image import MULTIPLIER_OFFSET
from prunus.hw.isa import Descriptor, Op

from . import ops
from .machine_memory import DescriptorError
from .memories import Memories

__all__ = ["Vector"]

Array = NDArray[Any]
Int = NDArray[np.int64]


class Vector:
    """Bias, requantization and addresses of the outputs of one descriptor.

    Members
    -------
    addresses : (pixels, channels)
        Bytes that are written: whole lane groups (of the EIE array the outputs alone).
    own : (pixels, outputs)
        Those among them that are the layer's.
    """

    def __init__(self, layer: Descriptor, memories: Memories):
        config, lanes = memories.config, memories.config.lanes
        self.layer = layer
        self.acc_width = config.acc_width
        widths = {Op.CONV: config.tile_width, Op.WINOGRAD: config.winograd_width}
        self.sum_width = 32 if config.compact else widths.get(Op(layer["op"]), 32)
        outputs = layer["outputs"]
        beats = -(-outputs // lanes)
        by_eie = layer["op"] == Op.EIE
        channel = np.arange(outputs if by_eie else beats * lanes)
        beat, lane = np.divmod(channel, lanes)
        pixels = 1 if by_eie else layer["out_pixels"]
        word = layer["out_base"] + np.arange(pixels)[:, None] * layer["out_words"]
        word = word + beat // config.groups
        if word.size and word.max() >= config.act_depth:
            raise DescriptorError(f"writes word {word.max()} of {config.act_depth}")
        self.addresses = word * config.act_word + channel % config.act_word
        self.own = self.addresses[:, :outputs]
        bias = layer["channel_base"] + beat
        record = layer["record_base"] + (beat if layer["per_channel"] else 0 * beat)
        for name, at, depth in (
            ("channel", bias, config.channel_depth),
            ("record", record, config.record_depth),
        ):
            if at.size and at.max() >= depth:
                raise DescriptorError(f"{name} word {at.max()} of {depth}")
        self.bias = memories.channel_bias[bias, lane]
        self.multiplier = memories.record_multiplier[record, lane]
        if layer["small"]:
            self.multiplier = self.multiplier - MULTIPLIER_OFFSET
        # Shifts that no layer has may be in lanes that nobody uses.
        self.shift = np.clip(-memories.record_shift[record, lane], -31, 30)

    def __call__(self, sums: Int) -> Array:
        """Outputs of sums (samples, pixels, channels), int8.

        Raises
        ------
        DescriptorError
            A sum of the layer's does not fit the accumulators.
        """
        layer, half = self.layer, 1 << (self.acc_width - 1)
        total = sums + self.bias
        for values, width in ((sums, self.sum_width), (total, self.acc_width)):
            own, limit = values[..., : layer["outputs"]], 1 << (width - 1)
            if own.size and not -limit <= own.min() <= own.max() < limit:
                worst = max(int(own.max()), -int(own.min()), key=abs)
                raise DescriptorError(f"a sum of {worst} in {width} bits")
        rest = total[..., layer["outputs"] :]
        rest[...] = (rest + half) % (2 * half) - half
        rounding: ops.Rounding = "double" if layer["double_round"] else "single"
        return ops.requantize(
            total,
            self.multiplier,
            self.shift,
            rounding,
            layer["out_zero"],
            layer["clamp_min"],
            layer["clamp_max"],
        ).astype(np.int8)
