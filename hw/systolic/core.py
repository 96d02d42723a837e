"""The systolic array as a core of its own: matrix times matrix."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ..bank import Bank
from ..config import bits_for
from .array import SystolicArray

__all__ = ["SystolicCore"]

COUNT_BITS = 16


class SystolicCore(wiring.Component):
    """``C = A * W`` for int8 matrices of any width and int32 sums, which wrap.

    A job is ``vectors`` (T) rows of A, ``reductions`` tiles of ``rows`` (R) columns of A and
    ``blocks`` tiles of ``2 * columns`` columns of W. For each block of W's columns, for each tile
    of A's columns, the core takes

    - from ``w`` R rows of W, **the last one first**, of the block's columns: those for the array's
      first weights, then those for its second, which is simply their order;
    - from ``a`` the tile's columns of the T rows of A, a row after the other.

    A matrix whose size is no multiple is to be filled up with zeros. Behind a block's last tile,
    ``o`` has T vectors of sums. Jobs follow each other without a gap but one cycle.

    A tile takes ``max(T, R)`` cycles: weights of the next tile are taken while one is in use. With
    streams that never wait a job takes ``reductions * blocks * max(T, R)`` cycles, R before them
    for the first weights, and :attr:`latency` behind them.

    Parameters
    ----------
    rows, columns : int
        Size of the array, whose blocks make two products a cycle; at least 4 rows.
    depth : int
        Largest T: words of the accumulators.

    Members
    -------
    job : In(stream)
        ``vectors`` is 1..depth, the others are at least 1.
    w : In(stream)
        ``2 * columns`` weights, -127..127.
    a : In(stream)
    o : Out(stream)
        ``sums``, and ``last`` with the last vector of a job.
    """

    # From an accumulator's being read to its being right again.
    TURN = 4
    MOST = 64  # rows, and columns

    def __init__(self, rows: int, columns: int, depth: int):
        if not self.TURN <= rows <= self.MOST:
            raise ValueError(f"rows must be {self.TURN} to {self.MOST}, not {rows!r}")
        if not 2 <= depth <= 1 << 16:
            raise ValueError(f"depth must be 2 to {1 << 16}, not {depth!r}")
        if not 1 <= columns <= self.MOST:
            raise ValueError(f"columns must be 1 to {self.MOST}, not {columns!r}")
        self.rows, self.columns, self.depth = rows, columns, depth
        # From a vector's being taken to its sums on `o`.
        self.latency = SystolicArray.latency_of(rows, columns) + self.TURN + 1
        sums = data.ArrayLayout(signed(32), 2 * columns)
        super().__init__({
            "job": In(stream.Signature(data.StructLayout({
                "vectors": bits_for(depth),
                "reductions": COUNT_BITS,
                "blocks": COUNT_BITS,
            }))),
            "w": In(stream.Signature(data.ArrayLayout(signed(8), 2 * columns))),
            "a": In(stream.Signature(data.ArrayLayout(signed(8), rows))),
            "o": Out(stream.Signature(data.StructLayout({"sums": sums, "last": 1}))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = SystolicArray(self.rows, self.columns)

        # What goes along with a vector.
        tag = Signal(data.StructLayout({
            "valid": 1,
            "clear": 1,  # the first tile of a block: begin sums
            "emit": 1,  # its last tile: the sums are done
            "end": 1,  # the last vector of a tile
            "last": 1,  # and of the job
        }))  # fmt: skip

        # The weights for the next tile: `full` when all of them are in the shadow registers.
        swap = Signal()
        full = Signal()
        left = Signal(range(self.rows), init=self.rows - 1)
        m.d.comb += [
            self.w.ready.eq(~full | swap),
            array.w_valid.eq(self.w.valid & self.w.ready),
            array.w_data.eq(self.w.payload),
        ]
        with m.If(swap):
            m.d.sync += full.eq(0)
        with m.If(array.w_valid):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += [left.eq(self.rows - 1), full.eq(1)]

        # The job: which vector, which tile, which block is next.
        busy = Signal()
        job = Signal.like(self.job.payload, reset_less=True)
        vectors, reductions, blocks = (Signal.like(job[name], name=name, reset_less=True)
                                       for name in ("vectors", "reductions", "blocks"))  # fmt: skip
        first = Signal(reset_less=True)  # vector of a tile
        short = Signal(reset_less=True)
        credit = Signal()
        taken = [tag.valid]  # now, and in the cycles before
        for n in range(1, self.TURN):
            taken.append(Signal(name=f"taken_{n}"))
            m.d.sync += taken[n].eq(taken[n - 1])
        recent = taken[1]
        for value in taken[2:]:
            recent |= value
        m.d.comb += [
            # A tile with less vectors than TURN must not overtake the sums of the one before.
            self.a.ready.eq(busy & (~first | (full & ~(short & recent))) & (~tag.emit | credit)),
            tag.valid.eq(self.a.valid & self.a.ready),
            tag.emit.eq(reductions == 1),
            tag.end.eq(vectors == 1),
            tag.last.eq(tag.end & tag.emit & (blocks == 1)),
            swap.eq(tag.valid & first),
            array.a.eq(self.a.payload),
            array.swap.eq(swap),
            self.job.ready.eq(~busy),
        ]
        clear = Signal(reset_less=True)
        m.d.comb += tag.clear.eq(clear)
        emits = tag.emit
        with m.If(self.job.valid & self.job.ready):
            new = self.job.payload
            m.d.sync += [
                busy.eq(1),
                job.eq(new),
                vectors.eq(new.vectors),
                reductions.eq(new.reductions),
                blocks.eq(new.blocks),
                first.eq(1),
                clear.eq(1),
                short.eq(new.vectors < self.TURN),
            ]
        with m.If(tag.valid):
            m.d.sync += [first.eq(tag.end), vectors.eq(Mux(tag.end, job.vectors, vectors - 1))]
            with m.If(tag.end):
                m.d.sync += [
                    clear.eq(tag.emit),
                    reductions.eq(Mux(tag.emit, job.reductions, reductions - 1)),
                ]
                with m.If(tag.emit):
                    m.d.sync += [blocks.eq(blocks - 1), busy.eq(~tag.last)]

        # Its sums come out of the array: read the accumulators beside.
        for n in range(array.latency):
            late = Signal.like(tag, name=f"tag_{n}")
            m.d.sync += late.eq(tag)
            tag = late
        row = Signal(range(self.depth))
        with m.If(tag.valid):
            m.d.sync += row.eq(Mux(tag.end, 0, row + 1))
        words = data.ArrayLayout(signed(32), 2 * self.columns)
        m.submodules.sums = sums = Bank(width=words.size, depth=self.depth)
        m.d.comb += [sums.r_addr.eq(row), sums.r_en.eq(tag.valid)]
        s1, s2, s3 = (Signal.like(tag, name=f"s{n}") for n in (1, 2, 3))
        s1_row, s2_row, s3_row = (Signal.like(row, name=f"s{n}_row", reset_less=True)
                                  for n in (1, 2, 3))  # fmt: skip
        s1_new, s2_new = (Signal.like(array.o, name=f"s{n}_new", reset_less=True) for n in (1, 2))
        s2_old, s3_sums = (Signal(words, name=name, reset_less=True)
                           for name in ("s2_old", "s3_sums"))  # fmt: skip
        m.d.sync += [
            s1.eq(tag), s1_row.eq(row), s1_new.eq(array.o),
            s2.eq(s1), s2_row.eq(s1_row), s2_new.eq(s1_new), s2_old.eq(sums.r_data),
            s3.eq(s2), s3_row.eq(s2_row),
        ]  # fmt: skip
        with m.If(s1.clear):
            m.d.sync += s2_old.eq(0)
        m.d.sync += [s3_sums[n].eq(s2_old[n] + s2_new[n]) for n in range(2 * self.columns)]
        m.d.comb += [
            sums.w_addr.eq(s3_row),
            sums.w_en.eq(s3.valid & ~s3.emit),
            sums.w_data.eq(s3_sums),
        ]

        # Out, through a FIFO. A vector whose sums go there is taken only if it has a place.
        shape = self.o.payload.shape()
        places = 1 << (self.latency + 5).bit_length()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=shape.size, depth=places)
        done = data.View(shape, fifo.w_data)
        free = Signal(range(places + 1), init=places)
        m.d.comb += [
            done.sums.eq(s3_sums),
            done.last.eq(s3.last),
            fifo.w_en.eq(s3.valid & s3.emit),
            self.o.payload.eq(fifo.r_data),
            self.o.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.o.ready),
        ]
        takes, gives = taken[0] & emits, self.o.valid & self.o.ready
        m.d.sync += [free.eq(free - takes + gives), credit.eq(free > 2)]
        return m
