"""What the user may fix about an accelerator."""

from dataclasses import dataclass

__all__ = ["ENGINES", "Options", "default_lanes", "dense_lanes"]

ENGINES = ("auto", "eie", "systolic", "winograd", "compact")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the user may fix; ``None`` leaves the choice to the plan.

    ``engine``: which of them runs fully-connected layers; ``"winograd"``: the systolic array, with
    a Winograd unit beside it wherever that gains; ``"compact"``: the compact engine, which runs
    everything. ``pes`` counts where the EIE array does, ``tile_pixels`` where there is a systolic
    array; ``winograd_blocks`` are multiplier blocks for what that has none for in a Winograd unit;
    ``tile_runs`` lets the image hold runs of zeros for it, for a second table in block RAM;
    ``code_groups`` lets a code word stand for several weights.
    """

    pes: int = 64
    lanes: int | None = None
    act_word: int = 16
    queue_depth: int = 8
    code_bits: int | None = None
    acc_rows: int | None = None
    sparse: bool | None = None
    tile_pixels: int = 64
    winograd_blocks: int = 0
    tile_runs: bool | None = None
    code_groups: bool | None = None
    huffman_bits: int = 12
    frame_bytes: int = 256
    trace: bool = False
    engine: str = "auto"


def default_lanes(pes: int, act_word: int) -> int:
    """The widest vector unit, to eight lanes, whose lanes divide PEs and activation word.

    >>> default_lanes(64, 16), default_lanes(6, 16), default_lanes(1, 8)
    (8, 2, 1)
    """
    lanes = 8
    while pes % lanes or act_word % lanes:
        lanes //= 2
    return lanes


def dense_lanes(pes: int, act_word: int) -> int:
    """The same beside a systolic array, which makes two outputs for each lane.

    >>> dense_lanes(0, 16), dense_lanes(12, 16), dense_lanes(0, 2)
    (8, 4, 1)
    """
    if act_word < 2:
        raise ValueError(f"act_word must be at least 2 with a systolic array, not {act_word!r}")
    return min(default_lanes(pes, act_word), act_word // 2)
