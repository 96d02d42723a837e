"""What a host port has inside the accelerator, whichever way it talks to the outside."""

from amaranth.lib import stream
from amaranth.lib.wiring import In, Member, Out

from ..config import Config, bits_for
from ..load.loader import NETWORK

__all__ = ["START_CYCLES", "inside"]

START_CYCLES = 3  # after `start` in which `busy` need not be high yet


def inside(config: Config) -> dict[str, Member]:
    """Members of a host port on the accelerator's side.

    Members
    -------
    image, restart : Out
        Bytes for the loader; ``restart`` makes it forget everything.
    load_done, load_error, image_id, load_cycles, network : In
        What the loader says. Of the sizes only the bits that the activation memory needs are used.
    start, busy, cycles
        Run the network. ``busy`` is high at most 3 cycles after the pulse ``start`` and until the
        end; then ``cycles`` holds until the next run.
    w_addr, w_group, w_en, w_data, r_addr, r_en, r_data
        Ports of the activation memory, as :class:`prunus.hw.activations.Activations` has them.
    """
    return {
        "image": Out(stream.Signature(8)),
        "restart": Out(1),
        "load_done": In(1),
        "load_error": In(4),
        "image_id": In(32),
        "load_cycles": In(32),
        "network": In(NETWORK),
        "start": Out(1),
        "busy": In(1),
        "cycles": In(32),
        "w_addr": Out(range(config.act_depth)),
        "w_group": Out(bits_for(config.groups - 1)),
        "w_en": Out(1),
        "w_data": Out(8 * config.lanes),
        "r_addr": Out(range(config.act_depth)),
        "r_en": Out(1),
        "r_data": In(8 * config.act_word),
    }
