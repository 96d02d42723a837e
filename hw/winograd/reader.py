"""Where the inputs of a Winograd unit's tiles are in memory."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, bits_for
from ..descriptor import descriptor_layout
from .geometry import Geometry

__all__ = ["READER_FIELDS", "PatchReader"]

READER_FIELDS = (
    "in_base", "line_bytes", "tap_x", "segments", "in_height", "in_width", "pad_x", "pad_y",
    "columns", "out_width",
)  # fmt: skip


class PatchReader(wiring.Component):
    """Reads the words of each tile's inputs: tile after tile, segment after segment, column after
    column, from top to bottom.

    ``geometry.columns`` columns at a time are read without a gap, a word a cycle; they follow each
    other every ``geometry.period`` cycles. The first word is asked for 2 cycles after ``start``,
    that of another tile 2 cycles after the end of the one before, if ``free`` is high.

    Members
    -------
    start : In(1)
        Begin a layer.
    layer : In(descriptor_layout(READER_FIELDS))
        Stable while tiles are read. ``in_base`` is the word of the pixel in the corner of the
        padding, ``columns`` the number of output lines.
    free : In(1)
        A tile may be read. Looked at from the cycle after ``claim`` on.
    claim : Out(1)
        One will be.
    r_addr, r_en : Out
        Activation memory.
    begin : Out(1)
        In the cycle in which a word arrives: it is the first of some columns.
    inside : Out(1)
        In the cycle in which a word arrives: it is of the input, not of the padding.
    """

    def __init__(self, config: Config, geometry: Geometry):
        self.config = config
        self.geometry = geometry
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(READER_FIELDS)),
            "free": In(1),
            "claim": Out(1),
            "r_addr": Out(bits_for(config.act_depth - 1)),
            "r_en": Out(1),
            "begin": Out(1),
            "inside": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        layer, geometry = self.layer, self.geometry
        size, step = geometry.size, geometry.outputs
        address = self.r_addr.shape()
        place = signed(min(16, len(self.r_addr) + 1) + 2)
        step_bits = step.bit_length() - 1

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # Tiles: the word and the place of their first input, and how many outputs there are from
        # theirs on.
        tile_addr, line_addr = register("tile_addr", address), register("line_addr", address)
        x0, y0 = register("x0", place), register("y0", place)
        wide, high = register("wide", layer.out_width.shape()), register("high", 16)
        last_x, last_y = register("last_x", 1), register("last_y", 1)
        m.d.sync += [last_x.eq(wide <= step), last_y.eq(high <= step)]
        due = Signal()  # a tile is to be read
        next_tile = Signal()
        with m.If(self.start):
            m.d.sync += [
                due.eq(1),
                tile_addr.eq(layer.in_base),
                line_addr.eq(layer.in_base),
                x0.eq(-layer.pad_x),
                y0.eq(-layer.pad_y),
                wide.eq(layer.out_width),
                high.eq(layer.columns),
            ]
        with m.Elif(next_tile):
            next_line = Signal(address)
            m.d.comb += next_line.eq(line_addr + layer.line_bytes.shift_left(step_bits))
            with m.If(last_x):
                m.d.sync += [
                    due.eq(~last_y),
                    tile_addr.eq(next_line),
                    line_addr.eq(next_line),
                    x0.eq(-layer.pad_x),
                    y0.eq(y0 + step),
                    wide.eq(layer.out_width),
                    high.eq(high - step),
                ]
            with m.Else():
                m.d.sync += [
                    tile_addr.eq(tile_addr + layer.tap_x.shift_left(step_bits)),
                    x0.eq(x0 + step),
                    wide.eq(wide - step),
                ]

        # Within a tile.
        busy = Signal()
        cycles = geometry.period(self.config.act_word)
        slot = register("slot", range(cycles))
        row = register("row", range(size))
        column = register("column", range(size))
        segments_left = register("segments_left", layer.segments.shape())
        addr, column_addr, segment_addr = (
            register(name, address) for name in ("addr", "column_addr", "segment_addr")
        )
        x, y = register("x", place), register("y", place)
        reading = Signal()
        m.d.comb += self.claim.eq(due & ~busy & self.free)
        end_row, end_slot = row == size - 1, slot == cycles - 1
        end_column = column == size - 1
        # Behind the last row of columns there may be nothing to do for a while.
        done_columns = register("done_columns", 1)
        with m.If(self.start):
            m.d.sync += [busy.eq(0), reading.eq(0)]
        with m.Elif(self.claim):
            m.d.sync += [
                busy.eq(1),
                reading.eq(1),
                slot.eq(0),
                row.eq(0),
                column.eq(0),
                segments_left.eq(layer.segments - 1),
                addr.eq(tile_addr),
                column_addr.eq(tile_addr),
                segment_addr.eq(tile_addr),
                x.eq(x0),
                y.eq(y0),
            ]
        with m.Elif(busy):
            m.d.sync += slot.eq(Mux(end_slot, 0, slot + 1))
            next_column = Signal(address)
            m.d.comb += next_column.eq(column_addr + layer.tap_x)
            with m.If(reading):
                m.d.sync += [row.eq(row + 1), addr.eq(addr + layer.line_bytes), y.eq(y + 1)]
                with m.If(end_row):
                    m.d.sync += [
                        row.eq(0),
                        y.eq(y0),
                        addr.eq(next_column),
                        column_addr.eq(next_column),
                        column.eq(column + 1),
                        x.eq(x + 1),
                        done_columns.eq(end_column),
                    ]
                    with m.If(end_column):
                        m.d.sync += [
                            column.eq(0),
                            x.eq(x0),
                            addr.eq(segment_addr + 1),
                            column_addr.eq(segment_addr + 1),
                            segment_addr.eq(segment_addr + 1),
                        ]
            read_slots = geometry.columns * size
            if read_slots < cycles:
                with m.If(slot == read_slots - 1):
                    m.d.sync += reading.eq(0)
            all_columns = end_column & end_row if read_slots == cycles else done_columns
            with m.If(end_slot):
                m.d.sync += reading.eq(1)
                with m.If(all_columns):
                    m.d.sync += segments_left.eq(segments_left - 1)
                    with m.If(segments_left == 0):
                        m.d.sync += [busy.eq(0), reading.eq(0)]
                        m.d.comb += next_tile.eq(1)

        m.d.comb += [self.r_addr.eq(addr), self.r_en.eq(reading)]
        begin = reading & (slot == 0)
        inside = (x >= 0) & (x < layer.in_width) & (y >= 0) & (y < layer.in_height)
        for n in range(self.config.read_latency):
            late = Signal(name=f"begin_{n}"), register(f"inside_{n}", 1)
            m.d.sync += [late[0].eq(begin), late[1].eq(inside)]
            begin, inside = late
        m.d.comb += [self.begin.eq(begin), self.inside.eq(inside)]
        return m
