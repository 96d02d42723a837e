"""The sums of a convolution."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..config import Config, bits_for
from ..descriptor import descriptor_layout
from ..vector.beat import beat_layout
from .feeder import vector_layout

__all__ = ["SUM_FIELDS", "Accumulators"]

SUM_FIELDS = ("out_base", "outputs", "out_words")


class Accumulators(wiring.Component):
    """Adds up what the systolic array makes of the vectors of a ``CONV`` layer, and drains it.

    There are two banks of ``tile_pixels`` times ``tile_outputs`` sums of ``tile_width`` bits. One
    is claimed for each tile of pixels and block of outputs; its vectors go to its rows in order,
    once for each tile of weights. Behind the ``last`` the bank drains, a beat of ``lanes`` sums a
    cycle: two for each pixel, or one where the second would hold no output. When the other bank
    waits by then it follows a cycle later.

    The first beat is presented :attr:`FIRST_BEAT` cycles after the last sums came from the array.
    A pixel's sums may come every :attr:`SHORTEST` cycles at most.

    Parameters
    ----------
    latency : int
        Cycles from a vector to its sums, at least :attr:`EARLY`.
    sum_width : int
        Bits of the array's sums.

    Members
    -------
    start : In(1)
        Begin a layer.
    layer : In(descriptor_layout(SUM_FIELDS))
        Stable from ``start`` until ``done``.
    tag : In(vector_layout)
        What enters the array in this cycle.
    sums : In(``tile_outputs`` sums)
        What leaves it.
    claim : In(1)
        Take a free bank for vectors to come. The bank's last beat was read at least 4 cycles before
        the first of them has its sums.
    free : Out(1)
        A bank can be claimed; falls the cycle after ``claim``.
    valid, beat : Out
        A beat of the drain, out of multiplexers: it should be registered.
    done : Out(1)
        Low from the cycle after ``start`` until the cycle after the last beat.
    """

    EARLY = 5
    FIRST_BEAT = 6
    SHORTEST = 4

    def __init__(self, config: Config, *, latency: int, sum_width: int):
        if latency < self.EARLY:
            raise ValueError(f"latency must be at least {self.EARLY}, not {latency!r}")
        self.config = config
        self._latency = latency
        super().__init__({
            "start": In(1),
            "layer": In(descriptor_layout(SUM_FIELDS)),
            "tag": In(vector_layout()),
            "sums": In(data.ArrayLayout(signed(sum_width), config.tile_outputs)),
            "claim": In(1),
            "free": Out(1),
            "valid": Out(1),
            "beat": Out(beat_layout(config)),
            "done": Out(1, init=1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config
        row_layout = data.ArrayLayout(signed(config.tile_width), config.tile_outputs)
        row_bits = bits_for(config.tile_pixels - 1)
        banks = [
            Bank(width=config.tile_outputs * config.tile_width, depth=config.tile_pixels)
            for _ in range(2)
        ]
        m.submodules.bank_0, m.submodules.bank_1 = banks

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # A vector's tag, before and after its sums come; a negative number says how long before.
        tags = {-self._latency: self.tag}
        for time in range(-self._latency + 1, 2):
            tags[time] = Signal(vector_layout(), name=f"tag_{time + self._latency}")
            m.d.sync += tags[time].eq(tags[time - 1])

        # Add: the row is read at -2, waits behind the memory at 0 and is written at 1.
        row = register("row_3", row_bits)
        bank = register("bank_3", 1)
        with m.If(tags[-4].swap):
            m.d.sync += row.eq(0)
        with m.Elif(tags[-4].valid):
            m.d.sync += row.eq(row + 1)
        with m.If(self.start):
            m.d.sync += bank.eq(0)
        with m.Elif(tags[-3].valid & tags[-3].last):
            m.d.sync += bank.eq(~bank)
        rows, bank_of = {-3: row}, {-3: bank}
        for time in range(-2, 2):
            rows[time] = register(f"row_{time + self._latency}", row_bits)
            bank_of[time] = register(f"bank_{time + self._latency}", 1)
            m.d.sync += [rows[time].eq(rows[time - 1]), bank_of[time].eq(bank_of[time - 1])]
        added = register("added", row_layout)

        # Which banks are in use, and what waits for the drain: it takes a bank before the other
        # can be complete.
        claimed = Signal(range(3))
        released = Signal()
        waiting = Signal()
        m.d.comb += self.free.eq(claimed != 2)
        with m.If(self.start):
            m.d.sync += claimed.eq(0)
        with m.Elif(self.claim & ~released):
            m.d.sync += claimed.eq(claimed + 1)
        with m.Elif(released & ~self.claim):
            m.d.sync += claimed.eq(claimed - 1)
        complete = register("complete", data.StructLayout({"row": row_bits, "turn": 1, "final": 1}))
        with m.If(tags[1].valid & tags[1].last):
            m.d.sync += [
                complete.row.eq(rows[1]),
                complete.turn.eq(tags[1].turn),
                complete.final.eq(tags[1].final),
            ]

        # Drain, stage 0: count the beats.
        beat_shape = beat_layout(config)
        group_bits = (config.groups - 1).bit_length()
        lane_bits = (config.lanes - 1).bit_length()
        active = Signal()
        drained = Signal()  # the bank
        draining = register("draining", complete.shape())  # `row`: rows to come
        pixel = register("pixel", row_bits)
        second = register("second", 1)  # beat of the pixel
        single = register("single", 1)  # no output in the second
        beats = register("beats", len(self.layer.outputs))  # of a pixel
        channel = register("channel", beat_shape["channel"].shape)  # of the first beat
        address = register("address", beat_shape["address"].shape)  # of the pixel's first word
        first_address = register("first_address", address.shape())  # of the tile's first pixel
        next_address = Signal(address.shape())
        last_beat, end = Signal(), Signal()
        m.d.comb += [
            next_address.eq(address + self.layer.out_words),
            last_beat.eq(second | single),
            end.eq(active & last_beat & (draining.row == 0)),
            released.eq(end),
        ]
        m.d.sync += [
            beats.eq((self.layer.outputs + (config.lanes - 1)) >> lane_bits),
            single.eq(channel + 1 == beats),
        ]
        with m.If(self.start):
            m.d.sync += [active.eq(0), waiting.eq(0), drained.eq(0), channel.eq(0)]
            m.d.sync += first_address.eq(self.layer.out_base)
        with m.Else():
            with m.If(tags[1].valid & tags[1].last):
                m.d.sync += waiting.eq(1)
            with m.Elif(~active):
                m.d.sync += waiting.eq(0)
            with m.If(~active):
                m.d.sync += [
                    active.eq(waiting),
                    draining.eq(complete),
                    pixel.eq(0),
                    second.eq(0),
                    address.eq(first_address),
                ]
            with m.Else():
                m.d.sync += second.eq(~last_beat)
                with m.If(last_beat):
                    m.d.sync += [
                        pixel.eq(pixel + 1),
                        draining.row.eq(draining.row - 1),
                        address.eq(next_address),
                    ]
            with m.If(end):
                m.d.sync += [active.eq(0), drained.eq(~drained)]
                with m.If(draining.turn):
                    m.d.sync += [channel.eq(0), first_address.eq(next_address)]
                with m.Else():
                    m.d.sync += channel.eq(channel + 2)

        # Stages 1 to 3: the row is asked for, comes, and waits in a register.
        place_layout = data.StructLayout({
            "second": 1,
            "final": 1,
            "bank": 1,
            "channel": channel.shape(),
            "address": address.shape(),
        })  # fmt: skip
        places = [register(f"place_{stage}", place_layout) for stage in range(1, 4)]
        valid = Signal(3)
        m.d.sync += [
            valid.eq(Cat(active, valid)),
            places[0].second.eq(second),
            places[0].final.eq(draining.final & end),
            places[0].bank.eq(drained),
            places[0].channel.eq(channel | second),
            places[0].address.eq(address + (channel >> group_bits)),
            *(b.eq(a) for a, b in zip(places, places[1:], strict=False)),
        ]
        place = places[-1]
        with m.If(self.start):
            m.d.sync += self.done.eq(0)
        with m.Elif(valid[-1] & place.final):
            m.d.sync += self.done.eq(1)

        # The banks. What waits behind them does so in the block RAM's own registers if that has
        # some, which have no reset: the first sums of a tile are added to zero at the adder.
        old, used = [], []
        for n, memory in enumerate(banks):
            adds, drains = Signal(name=f"adds_{n}"), Signal(name=f"drains_{n}")
            r_addr, r_en = register(f"r_addr_{n}", row_bits), Signal(name=f"r_en_{n}")
            held = register(f"held_{n}", row_layout)
            m.d.comb += [
                adds.eq(tags[-3].valid & ~tags[-3].first & (bank == n)),
                drains.eq(active & ~second & (drained == n)),
                memory.r_addr.eq(r_addr),
                memory.r_en.eq(r_en),
                memory.w_addr.eq(rows[1]),
                memory.w_en.eq(tags[1].valid & (bank_of[1] == n)),
                memory.w_data.eq(added),
            ]
            use = register(f"use_{n}", 1)
            m.d.sync += [
                r_en.eq(adds | drains),
                r_addr.eq(Mux(adds, row, pixel)),
                held.eq(memory.r_data),
                use.eq(~tags[-1].first & (bank_of[-1] == n)),
            ]
            old.append(held)
            used.append(use)
        for n in range(config.tile_outputs):
            before = [Mux(use, held[n], 0) for use, held in zip(used, old, strict=True)]
            m.d.sync += added[n].eq(self.sums[n] + (before[0] | before[1]))
        for lane in range(config.lanes):
            halves = [Mux(place.bank, old[1][n], old[0][n]) for n in (lane, config.lanes + lane)]
            m.d.comb += self.beat.sums[lane].eq(Mux(place.second, halves[1], halves[0]))
        m.d.comb += [
            self.valid.eq(valid[-1]),
            self.beat.channel.eq(place.channel),
            self.beat.address.eq(place.address),
            self.beat.group.eq(place.channel),
        ]
        return m
