"""Non-zero detection."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import NEAR, Config
from ..skid import SkidBuffer
from .layer import broadcast_layout, layer_layout

__all__ = ["Scanner"]


def lowest(bits):
    """``bits`` with every set bit but the lowest cleared; logarithmic depth."""
    below = list(bits)  # below[i]: any of bits 0..i
    reach = 1
    while reach < len(below):
        below = [b | below[i - reach] if i >= reach else b for i, b in enumerate(below)]
        reach *= 2
    return Cat(bits[0], *(bits[i] & ~below[i - 1] for i in range(1, len(bits))))


def at_most_one(bits):
    """High where no two of ``bits`` are set."""
    pairs = [(bit, 0) for bit in bits]  # (any set, two or more set) of a group of bits
    while len(pairs) > 1:
        halves = list(zip(pairs[::2], pairs[1::2], strict=False))
        rest = pairs[2 * len(halves) :]
        pairs = [(a | b, a2 | b2 | (a & b)) for (a, a2), (b, b2) in halves] + rest
    return ~Cat(pairs[0][1])[0]


def times(a, b):
    """``a * b`` of unsigned values by a tree of adders: ``b`` has few bits."""
    terms = [a.shift_left(i) & b[i].replicate(len(a) + i) for i in range(len(b))]
    while len(terms) > 1:
        terms = [sum(terms[i : i + 2]) for i in range(0, len(terms), 2)]
    return terms[0]


class Scanner(wiring.Component):
    """Reads a layer's activations and streams those that differ from the zero point, in order.

    The activations are bytes ``0..columns-1`` from word ``in_base`` on; what follows them in the
    last word is ignored. One word is read a cycle while there is place for it. A word without a
    non-zero is dropped in the cycle in which it is looked at, while the one before is still being
    emitted; as many words from the memory wait in front of it as one a cycle needs.

    Latency is :attr:`latency` cycles from ``start`` to the first non-zero; throughput is one
    non-zero a cycle, with no gap between words that hold at least one.

    Members
    -------
    start : In(1)
        Begin a pass; only while ``done``.
    layer : In(layer_layout)
        Stable from ``start`` until ``done``; ``columns`` is at least 1.
    r_addr, r_en, r_data
        Activation memory: data arrives ``config.read_latency`` cycles after ``r_en`` and stays
        until the next does.
    o : Out(stream of broadcast_layout)
        The non-zeros.
    done : Out(1)
        Everything has been emitted.
    """

    def __init__(self, config: Config):
        self.config = config
        self.read_latency = self.cycles_to_read(config)
        self.latency = 8 + self.read_latency
        layout = layer_layout(config)
        super().__init__({
            "start": In(1),
            "layer": In(layout),
            "r_addr": Out(layout["in_base"].shape),
            "r_en": Out(1),
            "r_data": In(8 * config.act_word),
            "o": Out(stream.Signature(broadcast_layout(config))),
            "done": Out(1),
        })  # fmt: skip

    @staticmethod
    def cycles_to_read(config: Config) -> int:
        """From ``r_en`` to the word in the scanner: beside many PEs there is a register between."""
        return config.read_latency + (config.pes > NEAR)

    def elaborate(self, platform):
        m = Module()
        word = self.config.act_word
        position_bits = (word - 1).bit_length()
        address_shape = broadcast_layout(self.config)["address"].shape
        layer = self.layer

        def register(name, shape):
            return Signal(shape, name=name, reset_less=True)

        # A column's address is base + step * column; it is kept as that of its word, which
        # advances with the reads, and the byte's share, which is added at the end.
        step = Signal(layer.rows.shape())
        base = layer.weight_base
        if self.config.sparse:
            base = Mux(layer.dense, layer.weight_base, layer.pointer_base)
            m.d.comb += step.eq(Mux(layer.dense, layer.rows, 1))
        else:
            m.d.comb += step.eq(layer.rows)

        # Read. Words go from the memory into registers first: block RAM is slow enough alone.
        waiting_layout = data.StructLayout({"word": 8 * word, "last": 1, "base": address_shape})
        places = [
            Signal(waiting_layout, name=f"waiting_{n}", reset_less=True)
            for n in range(2 + self.read_latency)
        ]
        reading = Signal()
        read_addr = register("read_addr", self.r_addr.shape())
        read_base = register("read_base", address_shape)
        words_left = register("words_left", 16)  # less one
        tail = register("tail", word)  # bytes of the last word that count
        under_way = Signal(self.read_latency)  # in which cycles a word was asked for
        r_valid = under_way[-1]
        waiting = Signal(range(len(places) + 1))  # words in those registers
        m.d.comb += [
            self.r_addr.eq(read_addr),
            self.r_en.eq(reading & (waiting + sum(under_way) < len(places))),
        ]
        with m.If(self.start):
            last_column = Signal(16)
            m.d.comb += last_column.eq(layer.columns - 1)
            m.d.sync += [
                reading.eq(1),
                read_addr.eq(layer.in_base),
                read_base.eq(base),
                words_left.eq(last_column >> position_bits),
                tail.eq(Cat(last_column[:position_bits] >= i for i in range(word))),
            ]
        with m.Elif(self.r_en):
            m.d.sync += [
                reading.eq(words_left != 0),
                read_addr.eq(read_addr + 1),
                read_base.eq(read_base + step.shift_left(position_bits)),
                words_left.eq(words_left - 1),
            ]
        m.d.sync += under_way.eq(Cat(self.r_en, under_way))
        r_last, r_base = words_left == 0, read_base
        for n in range(self.read_latency):
            last_before, base_before = r_last, r_base
            r_last, r_base = register(f"r{n}_last", 1), register(f"r{n}_base", address_shape)
            m.d.sync += [r_last.eq(last_before), r_base.eq(base_before)]
        r_word = self.r_data
        if self.read_latency > self.config.read_latency:
            r_word = register("r_word", 8 * word)
            m.d.sync += r_word.eq(self.r_data)
        arrived = Signal(waiting_layout)
        head = places[0]
        w0_free = Signal()
        taken = Signal()
        left = Signal.like(waiting)
        m.d.comb += [
            arrived.word.eq(r_word),
            arrived.last.eq(r_last),
            arrived.base.eq(r_base),
            taken.eq((waiting != 0) & w0_free),
            left.eq(waiting - taken),
        ]
        m.d.sync += waiting.eq(left + r_valid)
        for n, place in enumerate(places):
            with m.If(left == n):
                m.d.sync += place.eq(arrived)
            with m.Elif(taken):
                m.d.sync += place.eq(places[min(n + 1, len(places) - 1)])

        # One or two words wait with their first byte already found: `chosen` is the byte to emit,
        # `rest` those after it, `last` says that there are none.
        found_layout = data.StructLayout({
            "word": data.ArrayLayout(signed(8), word),
            "chosen": word,
            "rest": word,
            "last": 1,
            "base": address_shape,
        })  # fmt: skip
        m.submodules.found = found = SkidBuffer(found_layout)

        # Word 0: which bytes count. It leaves while a place is empty, and is gone if none does.
        w0_valid = Signal()
        w0_word = register("w0_word", data.ArrayLayout(signed(8), word))
        w0_mask = register("w0_mask", word)
        w0_base = register("w0_base", address_shape)
        m.d.comb += w0_free.eq(~w0_valid | found.i.ready)
        with m.If(w0_free):
            differs = Cat(
                head.word.word_select(i, 8) != layer.in_zero.as_unsigned() for i in range(word)
            )
            m.d.sync += [
                w0_valid.eq(waiting != 0),
                w0_word.eq(head.word),
                w0_mask.eq(differs & (tail | ~head.last.replicate(word))),
                w0_base.eq(head.base),
            ]

        # Word 2, at work.
        w2_valid = Signal()
        w2 = register("w2", found_layout)
        advance = Signal()  # of everything behind word 2
        first = lowest(w0_mask)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            found.i.valid.eq(w0_valid & w0_mask.any()),
            found.i.p.word.eq(w0_word),
            found.i.p.chosen.eq(first),
            found.i.p.rest.eq(w0_mask & ~first),
            found.i.p.last.eq(at_most_one(w0_mask)),
            found.i.p.base.eq(w0_base),
            found.o.ready.eq(~w2_valid | (advance & w2.last)),
        ]
        with m.If(found.o.ready):
            m.d.sync += [w2_valid.eq(found.o.valid), w2.eq(found.o.p)]
        with m.Elif(advance):
            following = lowest(w2.rest)
            m.d.sync += [
                w2.chosen.eq(following),
                w2.rest.eq(w2.rest & ~following),
                w2.last.eq(at_most_one(w2.rest)),
            ]

        # Take the byte, subtract the zero point, add its share to the address.
        s1_valid, s2_valid, s3_valid = Signal(), Signal(), Signal()
        s1_byte = register("s1_byte", signed(8))
        s1_position = register("s1_position", position_bits or 1)
        s1_base = register("s1_base", address_shape)
        s2_value = register("s2_value", signed(9))
        s2_offset = register("s2_offset", self.config.length_bits + position_bits)
        s2_base = register("s2_base", address_shape)
        s3 = Signal(broadcast_layout(self.config), reset_less=True)
        byte = 0
        position = 0
        for i in range(word):
            byte |= w2.word[i].as_unsigned() & w2.chosen[i].replicate(8)
            position |= Mux(w2.chosen[i], i, 0)
        m.d.comb += [self.o.valid.eq(s3_valid), self.o.payload.eq(s3)]
        with m.If(advance):
            m.d.sync += [
                s1_valid.eq(w2_valid),
                s1_byte.eq(byte),
                s1_position.eq(position),
                s1_base.eq(w2.base),
                s2_valid.eq(s1_valid),
                s2_value.eq(s1_byte - layer.in_zero),
                s2_offset.eq(times(step, s1_position)),
                s2_base.eq(s1_base),
                s3_valid.eq(s2_valid),
                s3.value.eq(s2_value),
                s3.address.eq(s2_base + s2_offset),
            ]

        m.d.comb += self.done.eq(
            ~(
                reading
                | under_way.any()
                | waiting.any()
                | w0_valid
                | found.o.valid
                | w2_valid
                | s1_valid
                | s2_valid
                | s3_valid
            )
        )
        return m
