"""What an engine hands to the vector unit."""

from amaranth import signed, unsigned
from amaranth.lib import data

from ..config import Config, bits_for

__all__ = ["beat_layout"]


def beat_layout(config: Config) -> data.StructLayout:
    """The accumulators of ``lanes`` neighbouring channels, and where their activations go.

    ``channel`` counts in words of the channel and record memories from the layer's bases on;
    ``address`` and ``group`` are the activation word and the lane group in it.
    """
    return data.StructLayout({
        "sums": data.ArrayLayout(signed(32), config.lanes),
        "channel": unsigned(bits_for(max(config.channel_depth, config.record_depth) - 1)),
        "address": unsigned(bits_for(config.act_depth - 1)),
        "group": unsigned(bits_for(config.groups - 1)),
    })  # fmt: skip
