"""Where accumulators are: what the vector unit asks an engine for."""

from amaranth.lib import data

from .config import Config

__all__ = ["location_layout"]


def location_layout(config: Config) -> data.ArrayLayout:
    """Places of one beat's accumulators: lane l's in PE ``l + lanes * pe``, row ``row``.

    The bits of a place lie as in the channel memory's writes (see :class:`.bus.Target`).
    """
    place = data.StructLayout({"row": config.row_bits, "pe": config.pe_bits})
    return data.ArrayLayout(place, config.lanes)
