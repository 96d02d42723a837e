"""What an accelerator takes of a part, before any synthesis."""

from collections.abc import Mapping

from prunus.hw.config import Config

from .board import Board

__all__ = ["blocks", "estimate", "memories"]

# Shapes of one memory block: width, depth.
_SHAPES = {
    "ecp5": ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)),
    "ice40": ((16, 256), (8, 512), (4, 1024), (2, 2048)),
}
# Bits below which synthesis takes logic instead of a block.
_SMALL = {"ecp5": 2048, "ice40": 256}


def blocks(family: str, width: int, depth: int) -> int:
    """Memory blocks for ``depth`` rows of ``width`` bits, in the best of the block's shapes.

    >>> blocks("ecp5", 8, 4096), blocks("ice40", 24, 300)
    (2, 3)
    """
    return min(-(-width // w) * -(-depth // d) for w, d in _SHAPES[family])


def memories(config: Config, image_bytes: int) -> dict[str, tuple[int, int, int]]:
    """Every memory of an accelerator: how many of it, width and depth.

    ``image_bytes`` is 0 where the host brings the image.
    """
    rows: dict[str, tuple[int, int, int]] = {
        "weights": (config.pes, config.entry_bits, config.weight_depth),
        "accumulators": (config.pes, config.acc_width, config.acc_rows),
        "activations": (config.groups, 8 * config.lanes, config.act_depth),
        "biases": (1, 32 * config.lanes, config.channel_depth),
        "places": (1, (config.row_bits + config.pe_bits) * config.lanes, config.channel_depth),
        "records": (1, 36 * config.lanes, config.record_depth),
        "program": (1, 32, 8 * config.program_depth),
        "frame": (1, 8, config.frame_bytes),
        "symbols": (1, 8, 512),
        "code lengths": (1, 4, 512),
    }
    if config.sparse:
        pointer = config.weight_address_bits + config.length_bits
        rows["pointers"] = (config.pes, pointer, config.pointer_depth)
    if config.code_bits < 8:
        rows["codebooks"] = (config.pes, 8, config.codebooks << config.code_bits)
    if image_bytes:
        rows["image"] = (1, 8, image_bytes)
    return rows


def estimate(board: Board, config: Config, image_bytes: int) -> dict[str, int]:
    """LUT, FF, BRAM and DSP of an accelerator with its UART, on a board.

    Memory blocks and multipliers are counted; logic is a fit to synthesis of accelerators of 1 to
    80 PEs, and no closer than a sixth.
    """
    family = board.family
    used = {"BRAM": 0, "DSP": config.pes, "LUT": 0, "FF": 0}
    for count, width, depth in memories(config, image_bytes).values():
        if width * depth >= _SMALL[family]:
            used["BRAM"] += count * blocks(family, width, depth)
        elif family == "ecp5":  # distributed RAM: 16 rows of 4 bits in 4 LUTs, and their selection
            used["LUT"] += count * -(-width // 4) * -(-depth // 16) * 6
        else:
            used["FF"] += count * width * depth
            used["LUT"] += count * width * depth
    # Four partial products of at most 18 (ECP5) or 16 bits.
    used["DSP"] += 4 * config.lanes
    per_pe, per_lane, base = _LOGIC[family]
    queued = config.weight_address_bits + config.length_bits + 9
    used["LUT"] += round(per_pe * config.pes + per_lane * config.lanes + base)
    used["FF"] += round(0.9 * (per_pe * config.pes + per_lane * config.lanes + base))
    places = config.queue_depth + 4
    if family == "ecp5":
        used["LUT"] += config.pes * -(-queued // 4) * -(-places // 16) * 6
    else:
        used["FF"] += config.pes * queued * places
        used["LUT"] += config.pes * queued * places
    return used


# LUTs of a PE, of a lane, of the rest.
_LOGIC = {"ecp5": (130.0, 420.0, 2200.0), "ice40": (190.0, 560.0, 2300.0)}


def shortfall(board: Board, used: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """What does not fit: needed and available, by kind. Logic is filled to four fifths at most."""
    room = dict(board.limits)
    for kind in ("LUT", "FF"):
        room[kind] = room[kind] * 4 // 5
    return {kind: (n, board.limits[kind]) for kind, n in used.items() if n > room[kind]}
