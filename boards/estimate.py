"""What an accelerator takes of a part, before any synthesis."""

from collections.abc import Mapping

from prunus.hw.bank import ICE40_SMALL
from prunus.hw.config import COMPACT_PIXELS, Config, bits_for
from prunus.hw.rom import DEEP
from prunus.hw.spram import SPRAM_WIDTH
from prunus.hw.vector.requantize import LOW_BITS
from prunus.hw.window.tables import COMPUTED_BITS
from prunus.hw.winograd.geometry import Geometry
from prunus.hw.winograd.scheme import bits_of

from .board import Board

__all__ = ["blocks", "estimate", "memories"]

# Shapes of one memory block: width, depth.
_18_KBIT = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
_SHAPES = {
    "ecp5": _18_KBIT,
    "ice40": ((16, 256), (8, 512), (4, 1024), (2, 2048)),
    "gowin": _18_KBIT,
}
# Bits below which synthesis takes logic instead of a block.
_SMALL = {"ecp5": 2048, "ice40": ICE40_SMALL, "gowin": 2048}


def blocks(family: str, width: int, depth: int) -> int:
    """Memory blocks for ``depth`` rows of ``width`` bits, in the best of the block's shapes.

    >>> blocks("ecp5", 8, 4096), blocks("ice40", 24, 300)
    (2, 3)
    """
    return min(-(-width // w) * -(-depth // d) for w, d in _SHAPES[family])


def memories(
    config: Config, image_bytes: int, *, spram: bool = False
) -> dict[str, tuple[int, int, int]]:
    """Every memory of an accelerator: how many of it, width and depth.

    ``image_bytes`` is 0 where the host brings the image. With ``spram`` those of a single port are
    left out, which are in blocks of their own.
    """
    tables = 2 if config.run_table else 1
    eight = tables == 2 or config.columns or config.code_groups or not config.pes
    rows: dict[str, tuple[int, int, int]] = {
        "activations": (config.groups, 8 * config.lanes, config.act_depth),
        "biases": (1, 32 * config.lanes, config.channel_depth),
        "records": (1, 36 * config.lanes, config.record_depth),
        "program": (1, 32, config.descriptor_words * config.program_depth),
        "frame": (1, 8, config.frame_bytes),
        "symbols": (1, 8, 512),
        "code words": (1, 4 + (8 if eight else config.code_bits), tables << config.huffman_bits),
    }
    if config.pes:
        place = config.row_bits + config.pe_bits
        rows["weights"] = (config.pes, config.entry_bits, config.weight_depth)
        rows["accumulators"] = (config.pes, config.acc_width, config.acc_rows)
        rows["places"] = (1, place * config.lanes, config.channel_depth)
        if config.sparse:
            pointer = config.weight_address_bits + config.length_bits
            rows["pointers"] = (config.pes, pointer, config.pointer_depth)
        if config.code_bits < 8:
            rows["codebooks"] = (config.pes, 8, config.codebooks << config.code_bits)
    if config.columns:
        rows["activations"] = (config.act_word, 8, config.act_depth)
        rows["tiles"] = (1, 8 * config.tile_outputs, config.tile_depth)
        rows["tile sums"] = (2, config.tile_width * config.tile_outputs, config.tile_pixels)
    if config.compact:
        rows["biases"] = (1, config.acc_width, config.lanes * config.channel_depth)
        rows["records"] = (1, 36, config.lanes * config.record_depth)
        rows["tile sums"] = (2, config.acc_width * config.tile_outputs, COMPACT_PIXELS)
        for name in ("activations", "tiles", "program"):
            del rows[name]
        if not spram:
            rows["activations"] = (1, 8 * config.act_word, config.act_depth)
            rows["tiles"] = (1, 8 * config.tile_outputs, config.parameter_words)
    if config.winograd:
        unit = Geometry.of(config)
        tile = bits_of(unit.scheme.half_range) * unit.rows * unit.size
        # Written byte by byte: a block of 36 bits holds four.
        rows["filters"] = (1, 81 * unit.filters, config.winograd_depth)
        rows["tiles' inputs"] = (1, tile, 2 * unit.passes * config.winograd_channels)
    if config.line_depth:
        rows["lines"] = (1, 16 * config.columns, 1 << bits_for(config.line_depth - 2))
    if config.adder or config.tables:
        rows["tables"] = (config.act_word, COMPUTED_BITS if config.adder else 8, 512)
    if config.tables:
        rows["slots"] = (1, 8, 256 * config.tables)
    if image_bytes:
        rows["image"] = (8, 1, image_bytes) if image_bytes > DEEP else (1, 8, image_bytes)
    return rows


def estimate(board: Board, config: Config, image_bytes: int) -> dict[str, int]:
    """LUT, FF, BRAM and DSP of an accelerator with its UART, on a board.

    Memory blocks and multipliers are counted; logic is a fit to routed accelerators, and no closer
    than a tenth.
    """
    family = board.family
    own = config.winograd > 0 and config.winograd_passes > 1
    dsps = Geometry.of(config).multipliers if own else config.winograd_blocks
    dsps += config.pes + config.act_word * config.columns
    dsps += 0 if config.compact else config.lane_blocks * config.lanes
    used = {"BRAM": 0, "DSP": dsps, "LUT": 0, "FF": 0}
    spram = config.compact and any(ram.kind == "SPRAM" for ram in board.rams)
    if spram:
        used["SPRAM"] = 8 * (config.act_word + config.tile_outputs) // SPRAM_WIDTH
    for count, width, depth in memories(config, image_bytes, spram=spram).values():
        if width * depth >= _SMALL[family]:
            used["BRAM"] += count * blocks(family, width, depth)
        elif family != "ice40":  # distributed RAM: 16 rows of 4 bits in 4 LUTs, and their selection
            used["LUT"] += count * -(-width // 4) * (-(-depth // 16) * 6 - 2)
        else:
            used["FF"] += count * width * depth
            used["LUT"] += count * width * depth
    # Bits of the lanes' accumulators that are multiplied in logic.
    high = config.lanes * (config.acc_width - LOW_BITS) if config.lane_blocks == 2 else 0
    if config.compact:
        for kind, count in zip(("LUT", "FF"), _COMPACT[family], strict=True):
            used[kind] += count
        return used
    products = Geometry.of(config).multipliers if config.winograd else 0
    counts = {
        "base": 1,
        "PE": config.pes,
        "place": config.pes * config.queue_depth,
        "lane": config.lanes,
        "high bit": high,
        "byte": config.act_word,
        "array": config.columns > 0,
        "cell": config.act_word * config.columns,
        "line": config.columns if config.line_depth else 0,
        "winograd": config.winograd > 0,
        "product": products,
        "window": config.window,
        "window byte": config.act_word if config.window else 0,
        "adder": config.adder,
        "adder byte": config.act_word if config.adder else 0,
    }
    for part, count in counts.items():
        luts, ffs = _LOGIC[family][part]
        used["LUT"] += luts * count
        used["FF"] += ffs * count
    return used


# LUTs and flip-flops of each part: of the lane, with 4 multiplier blocks; of the places in a PE's
# queue; of a byte of an activation word, in an engine or outside; fitted to routed and, from the
# systolic array on, to synthesized designs. On iCE40 a LUT is a logic cell, many of which hold a
# flip-flop alone; no systolic array with more than one column fits there.
_LOGIC = {
    "ecp5": {
        "base": (2900, 2200),
        "PE": (235, 215),
        "place": (2, 1),
        "lane": (350, 330),
        "high bit": (65, 5),
        "byte": (15, 20),
        "array": (1700, 2400),
        "cell": (82, 188),
        "line": (210, 280),
        "winograd": (3500, 4500),
        "product": (145, 100),
        "window": (700, 350),
        "window byte": (85, 70),
        "adder": (400, 250),
        "adder byte": (50, 70),
    },
    "ice40": {
        "base": (3500, 1600),
        "PE": (400, 260),
        "place": (30, 20),
        "lane": (650, 400),
        "high bit": (65, 5),
        "byte": (65, 35),
        "array": (1400, 1350),
        "cell": (100, 100),
        "line": (250, 280),
        "winograd": (2500, 2200),
        "product": (350, 150),
        "window": (600, 300),
        "window byte": (100, 50),
        "adder": (500, 250),
        "adder byte": (150, 80),
    },
}
# Of one design that was synthesized for it, with the bits of adders and of distributed memory.
_LOGIC["gowin"] = {
    part: (round(1.6 * luts), round(1.35 * ffs)) for part, (luts, ffs) in _LOGIC["ecp5"].items()
}
# Of an accelerator with the compact engine; synthesized, with sums of 21 bits.
_COMPACT = {"ecp5": (4200, 2100), "ice40": (4800, 2100)}
_COMPACT["gowin"] = _COMPACT["ecp5"]
# How full the logic may get before placement fails.
_FULL = {"ecp5": 0.8, "ice40": 0.92, "gowin": 0.75}


def shortfall(board: Board, used: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """What does not fit: needed and usable, by kind. Logic cannot be filled to the last cell."""
    room = dict(board.limits)
    for kind in ("LUT", "FF"):
        room[kind] = int(room[kind] * _FULL[board.family])
    return {kind: (n, room[kind]) for kind, n in used.items() if n > room[kind]}
