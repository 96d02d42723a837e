"""The parameters of an accelerator. No HDL is imported here: software reads the same object."""

import dataclasses
import json
import zlib
from dataclasses import dataclass

__all__ = ["COMPACT_PIXELS", "COMPACT_WORDS", "NEAR", "Config", "bits_for"]

NEAR = 4  # PEs, at most, that need no registers on the way to them and back


def bits_for(largest: int) -> int:
    """Bits of an unsigned field that holds 0..largest; at least one.

    >>> [bits_for(n) for n in (0, 1, 2, 255, 256)]
    [1, 1, 2, 8, 9]
    """
    return max(1, largest.bit_length())


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Geometry of an accelerator: what the gates, the compiler and the host all agree on.

    Parameters
    ----------
    pes : int
        PEs of the EIE array, a multiple of ``lanes``; 0: no such array.
    lanes : int
        Requantization lanes of the vector unit; a power of two that divides ``act_word``.
    queue_depth : int
        Columns that wait in front of each PE.
    code_bits : int
        Bits of a weight in a PE's memory, 1..8. At 8 the code is the int8 weight itself, below
        it indexes a codebook of ``2**code_bits`` int8 weights.
    sparse : bool
        Build the pointer memories; without them only dense columns can run.
    weight_depth, pointer_depth : int
        Entries of a PE's weight memory; columns of its pointer memory.
    acc_rows, acc_width : int
        Accumulators of a PE, and their bits (17..32).
    codebooks : int
        Codebook slots, one for each layer that has its own (``code_bits`` below 8).
    act_word, act_depth : int
        int8 activations in a word of the activation memory (a power of two); words.
    channel_depth, record_depth : int
        Words, of ``lanes`` entries, of the channel memory (bias, place of the accumulator) and of
        the requantization-record memory.
    program_depth : int
        Layer descriptors.
    columns : int
        Columns of the systolic array, equal to ``lanes``; 0: no such array. It has ``act_word``
        rows; a column makes two outputs.
    tile_depth : int
        Words, of ``2 * columns`` int8 weights, of the systolic array's memory.
    tile_runs : bool
        Their zeros may be stored as runs with a table of their own, as those of sparse PEs are.
    code_groups : bool
        In an image a code word may stand for several weights of few bits, or runs and weights.
    tile_pixels, tile_width : int
        Output pixels whose accumulators each of its two banks holds, and their bits.
    line_depth : int
        Longest delay, in pixels, of the depthwise path's lines; 0: no such path.
    winograd : int
        Outputs along a side of a Winograd unit's tiles: 4 for F(4x4, 3x3), 2 for F(2x2, 3x3); 0: no
        such unit. It stands beside a systolic array.
    winograd_filters, winograd_passes, winograd_channels, winograd_depth : int
        Output channels at a time, cycles for the products of an input channel, most input channels,
        words of ``9 * winograd_filters`` int8 weights (:class:`.winograd.geometry.Geometry`). With
        one pass the systolic array makes the products by turns, and logic what it has no
        multiplier for; with more, every product has a multiplier of its own.
    winograd_width : int
        Bits that hold all of its sums, without the bias.
    winograd_blocks : int
        So many of what the array has no multiplier for are not made in logic, but have their own.
    compact : bool
        The compact engine in place of the systolic array: one dense engine for convolutions and
        sums over windows, whose memories have one port and whose requantization takes no
        multiplier blocks, with four rows and two columns. Weights and the program share a memory,
        :attr:`parameter_words`.
    window : bool
        Build the window engine: pools, copies, tables.
    adder : bool
        Its tables are 32 bits wide and can be computed: it adds tensors of two scales.
    tables : int
        Slots of 256 int8, for functions that are tables.
    lane_blocks : int
        Multiplier blocks of a requantization lane: 4, or 2 and more logic.
    huffman_bits : int
        Longest Huffman code, 1..15.
    left_shift_bits : int
        Bits of the left shift in front of the requantization multiplier: 0 when every layer's
        scale is below one.
    frame_bytes : int
        Largest payload of a host frame.
    trace : bool
        Bring out every activation word that is written.
    """

    pes: int = 64
    lanes: int = 8
    queue_depth: int = 8
    code_bits: int = 8
    sparse: bool = True
    weight_depth: int = 4096
    pointer_depth: int = 1024
    acc_rows: int = 16
    acc_width: int = 32
    codebooks: int = 1
    act_word: int = 16
    act_depth: int = 256
    channel_depth: int = 256
    record_depth: int = 16
    program_depth: int = 16
    columns: int = 0
    tile_depth: int = 2
    tile_runs: bool = False
    code_groups: bool = False
    tile_pixels: int = 64
    tile_width: int = 32
    line_depth: int = 0
    winograd: int = 0
    winograd_filters: int = 1
    winograd_passes: int = 1
    winograd_channels: int = 64
    winograd_depth: int = 2
    winograd_width: int = 32
    winograd_blocks: int = 0
    compact: bool = False
    window: bool = False
    adder: bool = False
    tables: int = 0
    lane_blocks: int = 4
    huffman_bits: int = 12
    left_shift_bits: int = 0
    frame_bytes: int = 256
    trace: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int and (isinstance(value, bool) or not isinstance(value, int)):
                raise TypeError(f"{field.name} must be an int, not {value!r}")
            if field.type is bool and not isinstance(value, bool):
                raise TypeError(f"{field.name} must be a bool, not {value!r}")
        for name, low, high in (
            ("pes", 0, 256),
            ("lanes", 1, 64),
            ("queue_depth", 1, 1024),
            ("code_bits", 1, 8),
            ("weight_depth", 2, 1 << 20),
            ("pointer_depth", 2, 1 << 20),
            ("acc_rows", 2, 1024),
            ("acc_width", 17, 32),
            ("codebooks", 1, 256),
            ("act_word", 1, 64),
            ("act_depth", 2, 1 << 16),
            ("channel_depth", 2, 1 << 16),
            ("record_depth", 2, 1 << 16),
            ("program_depth", 1, 1 << 12),
            ("columns", 0, 64),
            ("tile_depth", 2, 1 << 22),
            ("tile_pixels", 16, 512),
            ("tile_width", 8, 32),
            ("line_depth", 0, 1 << 12),
            ("winograd", 0, 4),
            ("winograd_filters", 1, 16),
            ("winograd_passes", 1, 6),
            ("winograd_channels", 2, 1024),
            ("winograd_depth", 2, 1 << 22),
            ("winograd_width", 8, 32),
            ("winograd_blocks", 0, 576),
            ("tables", 0, 256),
            ("lane_blocks", 2, 4),
            ("huffman_bits", 1, 15),
            ("left_shift_bits", 0, 4),
            ("frame_bytes", 16, 2048),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {getattr(self, name)!r}")
        for name in ("lanes", "act_word", "frame_bytes"):
            if getattr(self, name) & (getattr(self, name) - 1):
                raise ValueError(f"{name} must be a power of two, not {getattr(self, name)!r}")
        if self.act_word % self.lanes:
            raise ValueError(f"lanes must divide act_word ({self.act_word}), not {self.lanes!r}")
        if self.pes % self.lanes:
            raise ValueError(f"pes must be a multiple of lanes ({self.lanes}), not {self.pes!r}")
        if self.columns not in (0, self.lanes):
            raise ValueError(f"columns must be 0 or lanes ({self.lanes}), not {self.columns!r}")
        if self.columns and self.act_word % (2 * self.columns):
            raise ValueError(f"act_word must be a multiple of {2 * self.columns}, two outputs of "
                             f"each column, not {self.act_word!r}")  # fmt: skip
        if not (self.pes or self.columns):
            raise ValueError("pes must be positive where there are no columns, not 0")
        if self.tile_runs and not self.columns:
            raise ValueError("tile_runs must be False without columns, not True")
        if self.line_depth and not self.columns:
            raise ValueError(f"line_depth must be 0 without columns, not {self.line_depth!r}")
        if self.winograd not in (0, 2, 4):
            raise ValueError(f"winograd must be 0, 2 or 4, not {self.winograd!r}")
        if self.winograd and not self.columns:
            raise ValueError(f"winograd must be 0 without columns, not {self.winograd!r}")
        if self.winograd and self.lanes % self.winograd_filters:
            raise ValueError(f"winograd_filters must divide lanes ({self.lanes}), "
                             f"not {self.winograd_filters!r}")  # fmt: skip
        if self.compact:
            self._check_compact()
        if (self.adder or self.tables) and not self.window:
            raise ValueError("window must be True where there is an adder or a table, not False")
        if self.lane_blocks == 3:
            raise ValueError("lane_blocks must be 2 or 4, not 3")

    def _check_compact(self) -> None:
        for name, value in _COMPACT.items():
            if getattr(self, name) != value:
                raise ValueError(f"{name} must be {value!r} with the compact engine, "
                                 f"not {getattr(self, name)!r}")  # fmt: skip
        if self.tile_pixels > COMPACT_PIXELS:
            raise ValueError(f"tile_pixels must be at most {COMPACT_PIXELS} with the compact "
                             f"engine, not {self.tile_pixels!r}")  # fmt: skip
        for name, words in (("act_depth", self.act_depth), ("tile_depth", self.parameter_words)):
            if words > COMPACT_WORDS:
                raise ValueError(f"{name} must leave at most {COMPACT_WORDS} words in a memory of "
                                 f"the compact engine, not {words!r}")  # fmt: skip

    @property
    def parameter_words(self) -> int:
        """32-bit words for weights, and for the program, which lies at the end of their memory."""
        words = self.tile_depth + self.descriptor_words * (1 << bits_for(self.program_depth - 1))
        return 1 << bits_for(words - 1)

    @property
    def row_bits(self) -> int:
        """Bits of an accumulator's number inside a PE; none without PEs."""
        return bits_for(self.acc_rows - 1) if self.pes else 0

    @property
    def pe_bits(self) -> int:
        """Bits that choose a PE among those of one lane; PE p belongs to lane ``p % lanes``."""
        return bits_for(self.pes // self.lanes - 1) if self.pes else 0

    @property
    def entry_bits(self) -> int:
        """Bits of an entry of a PE's weight memory: the code, and its row where sparse."""
        return self.code_bits + (self.row_bits if self.sparse else 0)

    @property
    def weight_address_bits(self) -> int:
        return bits_for(self.weight_depth - 1)

    @property
    def pointer_address_bits(self) -> int:
        return bits_for(self.pointer_depth - 1)

    @property
    def length_bits(self) -> int:
        """Bits of the entries of one column in one PE, 0..acc_rows."""
        return bits_for(self.acc_rows)

    @property
    def groups(self) -> int:
        """Lane groups in an activation word."""
        return self.act_word // self.lanes

    @property
    def read_latency(self) -> int:
        """Cycles from ``r_en`` of the activation memory to its data."""
        return 2 if self.columns else 1

    @property
    def run_table(self) -> bool:
        """Whether there is a table for the code words of runs, beside that of the weights."""
        return (self.pes > 0 and self.sparse) or self.tile_runs

    @property
    def tile_outputs(self) -> int:
        """Outputs that the systolic array makes at a time."""
        return 2 * self.columns

    @property
    def tile_units(self) -> int:
        """int8 of the systolic array's and the Winograd unit's weight memories, side by side."""
        return self.tile_outputs + (9 * self.winograd_filters if self.winograd else 0)

    @property
    def line_taps(self) -> int:
        """Rows of the systolic array that each of the three depthwise lines is given."""
        return self.act_word // 3

    @property
    def descriptor_words(self) -> int:
        """32-bit words of a layer descriptor: the EIE array's fit the first half."""
        return 16 if self.columns or self.window else 8

    @property
    def hash(self) -> int:
        """CRC-32 of what an image depends on; an image carries it and the loader compares it."""
        free = _FREE if self.winograd else (*_FREE, *_WINOGRAD)
        free = free if self.compact else (*free, "compact")
        fields = {n: v for n, v in dataclasses.asdict(self).items() if n not in free}
        return zlib.crc32(json.dumps(fields, sort_keys=True).encode())


# What the compact engine asks for.
COMPACT_WORDS = 1 << 14
COMPACT_PIXELS = 256
_COMPACT = {
    "pes": 0, "columns": 2, "act_word": 4, "line_depth": 0, "winograd": 0, "window": False,
    "left_shift_bits": 0,
}  # fmt: skip
# An image made for one value runs on every other.
_FREE = ("queue_depth", "frame_bytes", "trace", "winograd_blocks")
_WINOGRAD = (
    "winograd", "winograd_filters", "winograd_passes", "winograd_channels", "winograd_depth",
    "winograd_width",
)  # fmt: skip
