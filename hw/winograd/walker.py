"""The order of a Winograd unit's products."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..descriptor import descriptor_layout
from .geometry import Geometry

__all__ = ["WALKER_FIELDS", "Walker", "tag_layout"]

WALKER_FIELDS = ("rows", "blocks", "weight_base")


def tag_layout(geometry: Geometry) -> data.StructLayout:
    """What the products of a cycle are: of which half of the patch memory, which pass and which
    channel; ``last``: of a pass."""
    return data.StructLayout({
        "valid": 1,
        "last": 1,
        "half": 1,
        "pass_": range(max(2, geometry.passes)),
        "channel": range(geometry.channels),
    })  # fmt: skip


class Walker(wiring.Component):
    """Walks through each tile that is filled: groups of filters, passes, input channels.

    There is a channel in every cycle while there are tiles, and room at the begin of a group. But
    two groups end ``geometry.turn`` cycles from each other at least; where rows are transformed
    back one by one, two passes do.

    Members
    -------
    start : In(1)
        Begin a layer.
    layer : In(descriptor_layout(WALKER_FIELDS))
        Stable while there is something to do; ``rows`` is the number of input channels, ``blocks``
        that of groups of filters.
    filled : In(1)
        One more tile is filled.
    room : In(1)
        A group may begin.
    tag : Out(tag_layout)
    weight : Out
        The word of the kernels.
    release : Out(1)
        A tile has been walked through.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(WALKER_FIELDS)),
            "filled": In(1),
            "room": In(1),
            "tag": Out(tag_layout(geometry)),
            "weight": Out(range(geometry.weight_depth)),
            "release": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        layer, geometry = self.layer, self.geometry
        pause = geometry.turn  # cycles from the end of a group, or pass, to that of the next

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        busy, half = Signal(), Signal()
        tiles = Signal(range(3))  # filled, not begun
        channel = register("channel", range(geometry.channels))
        left = register("left", range(geometry.channels))  # channels to come
        pass_ = register("pass_", range(max(2, geometry.passes)))
        groups_left = register("groups_left", layer.blocks.shape())
        weight, group_weight = (
            register(name, range(geometry.weight_depth)) for name in ("weight", "group_weight")
        )
        whole = register("whole", range(geometry.channels))  # channels but one
        gap = register("gap", range(pause + 1))
        wait = register("wait", range(pause + 1))
        m.d.sync += [
            whole.eq(layer.rows - 1),
            gap.eq(Mux(layer.rows < pause, pause - layer.rows, 0)),
        ]

        last = Signal()
        end_group, end_tile, go, begin_tile = Signal(), Signal(), Signal(), Signal()
        new_tile = Signal()  # what comes next is the first group of a tile
        due = Signal(init=1)
        end_pass, ready = end_group, wait == 0
        if geometry.serial:
            within = Signal()  # what comes next is a pass, but not the first of a group
            end_pass, ready = busy & last, ready & ~within
        m.d.comb += [
            last.eq(left == 0),
            end_group.eq(busy & last & (pass_ == geometry.passes - 1)),
            end_tile.eq(end_group & (groups_left == 0)),
            self.release.eq(end_tile),
            # A group follows straight upon another, or when it may.
            new_tile.eq(end_tile | (~busy & due)),
            go.eq(
                self.room & (~new_tile | (tiles != 0)) & Mux(busy, end_group & (gap == 0), ready)
            ),
            begin_tile.eq(go & new_tile),
        ]
        with m.If(self.start):
            m.d.sync += [tiles.eq(0), busy.eq(0), half.eq(0), due.eq(1), wait.eq(2)]
        with m.Else():
            m.d.sync += tiles.eq(tiles + self.filled - begin_tile)
            with m.If(end_pass):
                m.d.sync += [wait.eq(Mux(gap == 0, 0, gap - 1)), due.eq(end_tile)]
            with m.Elif(wait != 0):
                m.d.sync += wait.eq(wait - 1)
            with m.If(go):
                m.d.sync += busy.eq(1)
            with m.Elif(end_group):
                m.d.sync += busy.eq(0)
            with m.If(end_tile):
                m.d.sync += half.eq(~half)
            if geometry.serial:
                with m.If(busy):
                    with m.If(last & ~end_group & (gap != 0)):
                        m.d.sync += [busy.eq(0), within.eq(1)]
                with m.Elif(within & (wait == 0)):
                    m.d.sync += [busy.eq(1), within.eq(0)]
        with m.If(self.start):
            m.d.sync += weight.eq(layer.weight_base)
        with m.Elif(busy):
            m.d.sync += [left.eq(left - 1), channel.eq(channel + 1), weight.eq(weight + 1)]
            with m.If(last):
                m.d.sync += [left.eq(whole), channel.eq(0), pass_.eq(pass_ + 1)]
                with m.If(~end_group):
                    m.d.sync += weight.eq(group_weight)
            with m.If(end_group):
                m.d.sync += groups_left.eq(groups_left - 1)
            with m.If(end_tile):
                m.d.sync += weight.eq(layer.weight_base)
        with m.If(go):
            m.d.sync += [left.eq(whole), channel.eq(0), pass_.eq(0)]
            # The word behind the group's last, or where the weights begin.
            with m.If(new_tile):
                m.d.sync += [
                    groups_left.eq(layer.blocks - 1),
                    group_weight.eq(layer.weight_base),
                ]
            with m.Else():
                m.d.sync += group_weight.eq(Mux(busy, weight + 1, weight))
        m.d.comb += [
            self.tag.valid.eq(busy),
            self.tag.last.eq(last),
            self.tag.half.eq(half),
            self.tag.pass_.eq(pass_),
            self.tag.channel.eq(channel),
            self.weight.eq(weight),
        ]
        return m
