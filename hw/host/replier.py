"""Replies, byte by byte."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .protocol import (
    CYCLES_BYTES,
    HELLO_LAYOUT,
    REPLY,
    REPLY_HEADER,
    STATUS_LAYOUT,
    Op,
    Status,
    hello_constants,
)

__all__ = ["Replier"]

_CYCLES = REPLY_HEADER  # where the payload of RUN and INFER starts in the table of bytes,
_HELLO = _CYCLES + CYCLES_BYTES  # that of HELLO,
_END = _HELLO + sum(size for _, size in HELLO_LAYOUT)
_STATUS = _END - sum(size for _, size in STATUS_LAYOUT)  # that of STATUS and LOAD, its last part,
_BODY = _END  # and the byte fetched for OUTPUT and INFER
_PART = 4  # bytes of the table that are chosen from in a cycle


class Replier(wiring.Component):
    """Sends the reply to ``op`` on ``go``: its bytes in order, three cycles each, the last marked.

    Members
    -------
    go, done : In(1), Out(1)
        ``done`` is high while the last byte is taken; ``go`` and the fields hold until then.
    op, tag, status : In
        Header of the reply.
    state, load_error, dropped, image_id, load_cycles, input_bytes, output_bytes,
    cycles : In
        What payloads are made of.
    fetch, body, body_last : Out(1), In(8), In(1)
        Data of an ``OUTPUT`` or ``INFER`` reply: it is taken six cycles after ``fetch``.
    o : Out(stream)
        Bytes for the framer.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({
            "go": In(1),
            "done": Out(1),
            "op": In(8),
            "tag": In(8),
            "status": In(Status),
            "state": In(8),
            "load_error": In(8),
            "dropped": In(8),
            "image_id": In(32),
            "load_cycles": In(32),
            "input_bytes": In(24),
            "output_bytes": In(24),
            "cycles": In(32),
            "fetch": Out(1),
            "body": In(8),
            "body_last": In(1),
            "o": Out(stream.Signature(data.StructLayout({"data": 8, "last": 1}))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        table = self._table()
        index = Signal(range(len(table)))
        parts = [Signal(8, name=f"part_{n}", reset_less=True) for n in range(0, len(table), _PART)]
        byte = Signal(8, reset_less=True)
        last = Signal(reset_less=True)
        m.d.comb += [self.o.p.data.eq(byte), self.o.p.last.eq(last)]
        low = (_PART - 1).bit_length()
        for n, part in enumerate(parts):
            m.d.sync += part.eq(select(table[_PART * n : _PART * (n + 1)], index[:low]))

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += index.eq(0)
                with m.If(self.go):
                    m.next = "PART"
            with m.State("PART"):
                m.d.sync += last.eq(0)
                with m.Switch(index):
                    with m.Case(REPLY_HEADER - 1):
                        m.d.sync += last.eq((self.status != Status.OK) | (self.op == Op.INPUT))
                    with m.Case(_HELLO - 1):
                        m.d.sync += last.eq(self.op != Op.INFER)
                    with m.Case(_END - 1):
                        m.d.sync += last.eq(1)
                    with m.Case(_BODY):
                        m.d.sync += last.eq(self.body_last)
                m.next = "SELECT"
            with m.State("SELECT"):
                m.d.sync += byte.eq(select(parts, index[low:]))
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += self.done.eq(last)
                    m.next = "PART"
                    with m.If(last):
                        m.next = "IDLE"
                    with m.Elif(index == _BODY):
                        m.next = "FETCH"
                    with m.Elif(index == REPLY_HEADER - 1):
                        with m.Switch(self.op):
                            with m.Case(Op.HELLO):
                                m.d.sync += index.eq(_HELLO)
                            with m.Case(Op.RUN, Op.INFER):
                                m.d.sync += index.eq(_CYCLES)
                            with m.Case(Op.OUTPUT):
                                m.d.sync += index.eq(_BODY)
                                m.next = "FETCH"
                            with m.Default():
                                m.d.sync += index.eq(_STATUS)
                    with m.Elif(index == _HELLO - 1):
                        m.d.sync += index.eq(_BODY)
                        m.next = "FETCH"
                    with m.Else():
                        m.d.sync += index.eq(index + 1)
            with m.State("FETCH"):
                m.d.comb += self.fetch.eq(1)
                m.next = "ADDRESS"
            with m.State("ADDRESS"):
                m.next = "MEMORY"
            with m.State("MEMORY"):
                m.next = "WORD"
            with m.State("WORD"):
                m.next = "FEW"
            with m.State("FEW"):
                m.next = "BYTE"
            with m.State("BYTE"):
                m.next = "PART"
        return m

    def _table(self):
        constants = hello_constants(self.config)
        fields = [(self.op | REPLY, 1), (self.tag, 1), (self.status, 1), (self.cycles, 4)]
        for name, size in HELLO_LAYOUT:
            value = Const(constants[name], 8 * size) if name in constants else getattr(self, name)
            fields.append((value, size))
        fields.append((self.body, 1))
        return [value[8 * n : 8 * n + 8] for value, size in fields for n in reversed(range(size))]


def select(choices, index):
    """``choices[index]`` as a tree of multiplexers, smaller than a comparison for each choice."""
    if len(choices) == 1:
        return choices[0]
    pairs = [
        Mux(index[0], choices[n + 1], choices[n]) if n + 1 < len(choices) else choices[n]
        for n in range(0, len(choices), 2)
    ]
    return select(pairs, index[1:])
