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

    Memory blocks and multipliers are counted; logic is a fit to routed accelerators, and no closer
    than a tenth.
    """
    family = board.family
    used = {"BRAM": 0, "DSP": config.pes, "LUT": 0, "FF": 0}
    for count, width, depth in memories(config, image_bytes).values():
        if width * depth >= _SMALL[family]:
            used["BRAM"] += count * blocks(family, width, depth)
        elif family == "ecp5":  # distributed RAM: 16 rows of 4 bits in 4 LUTs, and their selection
            used["LUT"] += count * -(-width // 4) * (-(-depth // 16) * 6 - 2)
        else:
            used["FF"] += count * width * depth
            used["LUT"] += count * width * depth
    # Four partial products of at most 18 (ECP5) or 16 bits.
    used["DSP"] += 4 * config.lanes
    logic = _LOGIC[family]
    for kind in ("LUT", "FF"):
        pe, queued, lane, byte, base = logic[kind]
        used[kind] += round(
            config.pes * (pe + queued * config.queue_depth)
            + lane * config.lanes
            + byte * config.act_word
            + base
        )
    return used


# By the PE, the place in its queue, the lane, the byte of an activation word, and the rest; fitted
# to routed designs. On iCE40 a LUT is a logic cell, many of which hold a flip-flop alone.
_LOGIC = {
    "ecp5": {"LUT": (235, 2, 350, 15, 2900), "FF": (215, 1, 330, 20, 2200)},
    "ice40": {"LUT": (400, 30, 650, 65, 3500), "FF": (260, 20, 400, 35, 1600)},
}
# How full the logic may get before placement fails.
_FULL = {"ecp5": 0.8, "ice40": 0.92}


def shortfall(board: Board, used: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """What does not fit: needed and available, by kind. Logic is not filled to the last cell."""
    room = dict(board.limits)
    for kind in ("LUT", "FF"):
        room[kind] = int(room[kind] * _FULL[board.family])
    return {kind: (n, board.limits[kind]) for kind, n in used.items() if n > room[kind]}
