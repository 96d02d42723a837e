"""Where the results of a Winograd unit go."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..config import Config
from ..descriptor import descriptor_layout
from ..vector.beat import beat_layout
from .geometry import Geometry

__all__ = ["EMITTER_FIELDS", "Emitter"]

EMITTER_FIELDS = (
    "blocks", "out_base", "out_words", "step_x", "out_width", "columns",
)  # fmt: skip


class Emitter(wiring.Component):
    """Makes beats of ``lanes`` channels out of the pixels of ``filters`` channels at a time.

    A tile's groups of filters come one after the other, each as ``outputs ** 2`` pixels, line by
    line, that stay for ``geometry.pace`` cycles each. Those that do not fill the lanes yet wait in
    a memory. Pixels outside of the output are dropped.

    Members
    -------
    start : In(1)
        Begin a layer.
    layer : In(descriptor_layout(EMITTER_FIELDS))
        Stable from ``start`` until ``done``; ``blocks`` is the number of groups of filters,
        ``step_x`` the words from an output line to the next, ``columns`` the number of lines.
    begin : In(1)
        The first pixels of a group are on ``pixels`` :data:`AHEAD` cycles later.
    pixels : In(ArrayLayout(signed(result_bits), filters))
    sums : Out
        ``valid`` and the beat ``p``.
    final : Out(1)
        In the cycle in which the last group of the layer begins.
    done : Out(1)
        Low from the cycle after ``start`` until the last beat has been presented.
    """

    AHEAD = 2

    def __init__(self, config: Config, geometry: Geometry):
        self.config = config
        self.geometry = geometry
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(EMITTER_FIELDS)),
            "begin": In(1),
            "pixels": In(
                data.ArrayLayout(signed(geometry.result_bits), geometry.filters)
            ),
            "sums": Out(wiring.Signature({"valid": Out(1), "p": Out(beat_layout(config))})),
            "final": Out(1),
            "done": Out(1, init=1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, geometry, layer = self.config, self.geometry, self.layer
        step, bits = geometry.outputs, geometry.result_bits
        step_bits = step.bit_length() - 1
        parts = config.lanes // geometry.filters
        group_bits = (config.groups - 1).bit_length()
        beat = beat_layout(config)
        address = beat["address"].shape

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # Tile and group.
        tile_addr, tile_line_addr = register("tile_addr", address), register("line", address)
        wide, high = register("wide", 16), register("high", 16)  # outputs behind its first
        last_x, last_y = Signal(), Signal()
        m.d.comb += [last_x.eq(wide[step_bits:] == 0), last_y.eq(high[step_bits:] == 0)]
        part = register("part", parts)  # which lanes: one hot
        channel = register("channel", beat["channel"].shape)
        groups_left = register("groups_left", layer.blocks.shape())
        last_group = Signal()
        m.d.comb += last_group.eq(groups_left == 0)

        # Pixel, from `begin` on.
        running = Signal()
        i, j = Signal(range(step)), Signal(range(step))
        last_i, last_j = Signal(), Signal()
        active, end = Signal(), Signal()
        again = Signal() if geometry.pace == 2 else Const(1)  # the last cycle of a pixel
        if geometry.pace == 2:
            with m.If(active):
                m.d.sync += again.eq(~again)
            with m.If(self.start):
                m.d.sync += again.eq(0)
        m.d.comb += [
            last_i.eq(i == step - 1),
            last_j.eq(j == step - 1),
            active.eq(self.begin | running),
            end.eq(active & again & last_i & last_j),
            self.final.eq(self.begin & last_group & last_x & last_y),
        ]
        addr, line_addr = register("addr", address), register("line_addr", address)
        next_line = Signal(address)
        m.d.comb += next_line.eq(line_addr + layer.step_x)
        next_tile_line = Signal(address)
        m.d.comb += next_tile_line.eq(tile_line_addr + layer.step_x.shift_left(step_bits))
        next_tile = Signal(address)
        m.d.comb += next_tile.eq(
            Mux(last_x, next_tile_line, tile_addr + layer.out_words.shift_left(step_bits))
        )
        with m.If(self.start):
            m.d.sync += [running.eq(0), i.eq(0), j.eq(0)]
        with m.Elif(active):
            m.d.sync += running.eq(~end)
            with m.If(again):
                m.d.sync += [j.eq(j + 1), addr.eq(addr + layer.out_words)]
            with m.If(again & last_j):
                m.d.sync += [i.eq(i + 1), addr.eq(next_line), line_addr.eq(next_line)]
            with m.If(end):
                m.d.sync += [addr.eq(tile_addr), line_addr.eq(tile_addr)]
        with m.If(self.start):
            m.d.sync += [
                wide.eq(layer.out_width - 1),
                high.eq(layer.columns - 1),
                part.eq(1),
                channel.eq(0),
                groups_left.eq(layer.blocks - 1),
                *(a.eq(layer.out_base) for a in (tile_addr, tile_line_addr, addr, line_addr)),
            ]
        with m.Elif(end):
            m.d.sync += [
                part.eq(part.rotate_left(1)),
                channel.eq(channel + part[-1]),
                groups_left.eq(groups_left - 1),
            ]
            with m.If(last_group):
                m.d.sync += [
                    part.eq(1),
                    channel.eq(0),
                    groups_left.eq(layer.blocks - 1),
                    *(a.eq(next_tile) for a in (tile_addr, addr, line_addr)),
                    wide.eq(Mux(last_x, layer.out_width - 1, wide - step)),
                ]
                with m.If(last_x):
                    m.d.sync += [tile_line_addr.eq(next_tile_line), high.eq(high - step)]

        # Two cycles later, with the pixels: write or present. Behind the end, `done`.
        place = data.StructLayout({
            "active": 1,
            "emit": 1,
            "valid": 1,
            "final": 1,
            "part": parts,
            "pixel": 2 * step_bits,
            "channel": channel.shape(),
            "address": address,
        })  # fmt: skip
        s1, s2 = register("s1", place), register("s2", place)
        emit = last_group | part[-1]
        m.d.sync += [
            s1.active.eq(active & ~self.start),
            s1.emit.eq(emit),
            s1.valid.eq(
                active
                & again
                & emit
                & (~last_x | (j <= wide[:step_bits]))
                & (~last_y | (i <= high[:step_bits]))
                & ~self.start
            ),
            s1.final.eq(end & last_group & last_x & last_y),
            s1.part.eq(part),
            s1.pixel.eq(Cat(j, i)),
            s1.channel.eq(channel),
            s1.address.eq(addr),
            s2.eq(s1),
            s2.address.eq(s1.address + (s1.channel >> group_bits)),
        ]
        lanes = [self.pixels] * parts
        if parts > 1:
            width = bits * geometry.filters
            m.submodules.waiting = waiting = Bank(
                width=width * (parts - 1), depth=step * step, parts=parts - 1
            )
            waited = register("waited", data.ArrayLayout(self.pixels.shape(), parts - 1))
            m.d.comb += [
                waiting.r_addr.eq(Cat(j, i)),
                waiting.r_en.eq(active),
                waiting.w_addr.eq(s2.pixel),
                waiting.w_en.eq(Mux(s2.active & ~s2.emit, s2.part[:-1], 0)),
                waiting.w_data.eq(self.pixels.as_value().replicate(parts - 1)),
            ]
            m.d.sync += waited.eq(waiting.r_data)
            lanes = [
                Mux(s2.part[n], self.pixels.as_value(), waited[n].as_value())
                for n in range(parts - 1)
            ] + [self.pixels.as_value()]
            lanes = [data.View(self.pixels.shape(), value) for value in lanes]
        valid = Signal()
        p = register("p", beat)
        m.d.sync += [
            valid.eq(s2.valid),
            p.channel.eq(s2.channel),
            p.address.eq(s2.address),
            p.group.eq(s2.channel[:group_bits]),
            *(
                p.sums[n].eq(lanes[n // geometry.filters][n % geometry.filters])
                for n in range(config.lanes)
            ),
        ]
        m.d.comb += [self.sums.valid.eq(valid), self.sums.p.eq(p)]
        ending = Signal(2)
        m.d.sync += ending.eq(Cat(s2.active & s2.final & ~self.start, ending))
        with m.If(self.start):
            m.d.sync += [self.done.eq(0), ending.eq(0)]
        with m.Elif(ending[0]):
            m.d.sync += self.done.eq(1)
        return m
