"""One processing element."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..bus import Target, WriteBus
from ..config import NEAR, Config, bits_for
from ..multiplier import Multiplier
from .layer import broadcast_layout

__all__ = ["Pe"]


class Pe(wiring.Component):
    """Holds its rows of the matrix and accumulates what the broadcast activations add to them.

    A broadcast activation looks up its column (sparse) and, if this PE has entries there, queues
    it. The walker takes one entry a cycle, with no gap between columns, whatever the rows are.

    The queue has ``queue_depth`` places, and :data:`UNDER_WAY` + ``slack`` more for activations
    that the sender has sent and that do not show in ``room`` yet: what comes in shows there 4
    cycles later. ``room[i]`` is high while :attr:`steps` [i] places are free, so that a sender with
    less than that under way may send; all of them are while less than ``queue_depth`` columns wait.

    When nothing waits, an entry is in its accumulator 8 cycles after its activation came in (9
    with a codebook). ``idle`` rises 1 cycle before the last entry's (2 with a codebook), and falls
    2 cycles after an activation came in.

    A row that is drained appears on ``sum`` 3 cycles after ``drain`` and is cleared; rows may be
    drained every cycle. ``sum`` is zero where nothing was drained, so those of several PEs can be
    joined by OR. Drain only once the last entry has been added; and every row once after a reset,
    as what it holds then is unknown.

    Parameters
    ----------
    index : int
        The PE's unit number on the write bus.
    slack : int
        Cycles by which the sender sees ``room``, or is heard, later than at once.

    Members
    -------
    bus : In(WriteBus)
        Fills the memories; nothing else may run.
    dense, rows, codebook : In
        Of the layer, stable: see :func:`layer_layout`.
    i : In
        ``valid``, and the broadcast activation ``p``.
    room : Out(len(steps))
    idle : Out(1)
    drain : In
        ``valid``, and the ``row`` to read and clear.
    sum : Out(signed(acc_width))
    """

    UNDER_WAY = 3
    DRAIN_LATENCY = 3

    def __init__(self, config: Config, index: int, slack: int = 0):
        if not 0 <= index < config.pes:
            raise ValueError(f"index must be 0 to {config.pes - 1}, not {index!r}")
        if slack < 0:
            raise ValueError(f"slack must not be negative, not {slack!r}")
        self.config = config
        self.index = index
        under_way = self.UNDER_WAY + slack
        self.places = config.queue_depth + under_way
        self.steps = (*(n for n in (1, 2, 4, 8) if n < under_way), under_way + 1)
        super().__init__({
            "bus": In(WriteBus(config)),
            "dense": In(1),
            "rows": In(config.length_bits),
            "codebook": In(bits_for(config.codebooks - 1)),
            "i": In(wiring.Signature({"valid": Out(1), "p": Out(broadcast_layout(config))})),
            "room": Out(len(self.steps)),
            "idle": Out(1),
            "drain": In(wiring.Signature({"valid": Out(1), "row": Out(config.row_bits)})),
            "sum": Out(signed(config.acc_width)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self.config

        # Where there are many PEs, their memories are far: what is written comes from registers.
        late = "sync" if config.pes > NEAR else "comb"
        w_address = Signal.like(self.bus.address, name="w_address", reset_less=True)
        w_data = Signal.like(self.bus.data, name="w_data", reset_less=True)
        m.d[late] += [w_address.eq(self.bus.address), w_data.eq(self.bus.data)]

        def fillable(target, width, depth, *, shared=False):
            bank = Bank(width=width, depth=depth, exclusive=True)
            mine = shared | (self.bus.unit == self.index)
            w_en = Signal(name=f"w_{target.name.lower()}")
            m.d[late] += w_en.eq(self.bus.valid & (self.bus.target == target) & mine)
            m.d.comb += [bank.w_en.eq(w_en), bank.w_addr.eq(w_address), bank.w_data.eq(w_data)]
            return bank

        # Look up: which entries the column has.
        column = data.StructLayout({
            "start": config.weight_address_bits,
            "value": signed(9),
            "length": config.length_bits,
        })  # fmt: skip
        s1_valid, s2_valid = Signal(), Signal()
        s1 = Signal(column)
        s1_value = Signal(signed(9), reset_less=True)
        s1_address = Signal(config.weight_address_bits, reset_less=True)
        s2 = Signal(column, reset_less=True)
        m.d.sync += [
            s1_valid.eq(self.i.valid),
            s1_value.eq(self.i.p.value),
            s1_address.eq(self.i.p.address),
            s2_valid.eq(s1_valid),
            s2.eq(s1),
        ]
        m.d.comb += [s1.value.eq(s1_value), s1.start.eq(s1_address), s1.length.eq(self.rows)]
        if config.sparse:
            pointers = fillable(
                Target.POINTER,
                config.length_bits + config.weight_address_bits,
                config.pointer_depth,
            )
            m.submodules.pointers = pointers
            m.d.comb += [pointers.r_addr.eq(self.i.p.address), pointers.r_en.eq(self.i.valid)]
            with m.If(~self.dense):
                m.d.comb += Cat(s1.start, s1.length).eq(pointers.r_data)

        # Queue the column if it has any.
        queued = s2 if config.sparse else Cat(s2.start, s2.value)
        m.submodules.queue = queue = SyncFIFO(width=len(Value.cast(queued)), depth=self.places)
        head = data.View(column, Cat(queue.r_data, self.rows)[: column.size])
        m.d.comb += [queue.w_data.eq(queued), queue.w_en.eq(s2_valid & (s2.length != 0))]
        m.d.sync += self.room.eq(Cat(queue.level <= self.places - step for step in self.steps))

        # Walk: an entry a cycle; the next column starts in the cycle after the last entry.
        walk_valid = Signal()
        walk = Signal(column, reset_less=True)
        walk_row = Signal(config.row_bits, reset_less=True)  # dense
        walk_last = Signal(reset_less=True)
        m.d.comb += queue.r_en.eq(~walk_valid | walk_last)
        with m.If(queue.r_en):
            m.d.sync += [
                walk_valid.eq(queue.r_rdy),
                walk.eq(head),
                walk_row.eq(0),
                walk_last.eq(head.length == 1),
            ]
        with m.Else():
            m.d.sync += [
                walk.start.eq(walk.start + 1),
                walk.length.eq(walk.length - 1),
                walk_row.eq(walk_row + 1),
                walk_last.eq(walk.length == 2),
            ]

        # Fetch the entry. Without one the value is zero, which leaves the product at zero.
        m.submodules.weights = weights = fillable(
            Target.WEIGHT, config.entry_bits, config.weight_depth
        )
        fetch_valid = Signal()
        fetch_value = Signal(signed(9), reset_less=True)
        fetch_row = Signal(config.row_bits, reset_less=True)
        m.d.comb += [weights.r_addr.eq(walk.start), weights.r_en.eq(walk_valid)]
        m.d.sync += [fetch_valid.eq(walk_valid), fetch_value.eq(walk.value), fetch_row.eq(walk_row)]
        with m.If(~walk_valid):
            m.d.sync += fetch_value.eq(0)
        # Block RAM is slow to answer, and the next thing is far: a register between.
        entry_valid = Signal()
        entry_value = Signal(signed(9), reset_less=True)
        row = Signal(config.row_bits, name="entry_row", reset_less=True)
        code = Signal(config.code_bits, reset_less=True)
        m.d.sync += [
            entry_valid.eq(fetch_valid),
            entry_value.eq(fetch_value),
            row.eq(fetch_row),
            code.eq(weights.r_data),
        ]
        if config.sparse:
            with m.If(~self.dense):
                m.d.sync += row.eq(weights.r_data[config.code_bits :])
        under_way = s1_valid | s2_valid | queue.r_rdy | walk_valid | fetch_valid | entry_valid
        m.d.sync += self.idle.eq(~under_way)

        # Decode.
        if config.code_bits == 8:
            valid, value, weight = entry_valid, entry_value, code
        else:
            m.submodules.codebook = book = fillable(
                Target.CODEBOOK, 8, config.codebooks << config.code_bits, shared=True
            )
            valid = Signal(name="decode_valid")
            value = Signal(signed(9), name="decode_value", reset_less=True)
            decode_row = Signal(config.row_bits, reset_less=True)
            m.d.comb += [
                book.r_addr.eq(Cat(code, self.codebook)),
                book.r_en.eq(entry_valid),
            ]
            m.d.sync += [valid.eq(entry_valid), value.eq(entry_value), decode_row.eq(row)]
            row, weight = decode_row, book.r_data

        # Multiply. Beside it, the row to read: that of the entry, or one to drain.
        m.submodules.multiplier = multiplier = Multiplier(9, 8)
        m.d.comb += [multiplier.a.eq(value), multiplier.b.eq(weight.as_signed())]
        read_valid = Signal()
        read_drain = Signal()
        read_row = Signal(config.row_bits, reset_less=True)
        m.d.sync += [
            read_valid.eq(valid | self.drain.valid),
            read_drain.eq(self.drain.valid),
            read_row.eq(Mux(self.drain.valid, self.drain.row, row)),
        ]

        # Accumulate. A row that was written in the cycle in which it was read comes from `total`,
        # which otherwise is zero: a drain writes that.
        m.submodules.sums = sums = Bank(width=config.acc_width, depth=config.acc_rows)
        write_valid = Signal()
        write_drain = Signal()
        write_row = Signal(config.row_bits, reset_less=True)
        bypass = Signal(reset_less=True)
        total = Signal(signed(config.acc_width), reset_less=True)
        m.d.sync += [
            write_valid.eq(read_valid),
            write_drain.eq(read_drain),
            write_row.eq(read_row),
            bypass.eq(read_drain | (write_valid & (read_row == write_row))),
            total.eq(sums.w_data),
        ]
        with m.If(~write_valid | write_drain):
            m.d.sync += total.eq(0)
        m.d.comb += [
            sums.r_addr.eq(read_row),
            sums.r_en.eq(read_valid),
            sums.w_addr.eq(write_row),
            sums.w_en.eq(write_valid),
            sums.w_data.eq(Mux(bypass, total, sums.r_data.as_signed()) + multiplier.o),
        ]
        drained = Signal(signed(config.acc_width), reset_less=True)
        m.d.sync += drained.eq(sums.r_data)
        with m.If(~write_drain):
            m.d.sync += drained.eq(0)
        m.d.comb += self.sum.eq(drained)
        return m
