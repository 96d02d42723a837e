"""What the accelerator's memories hold once an image is loaded."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw import isa
from prunus.hw.config import Config, bits_for
from prunus.hw.image import MULTIPLIER_OFFSET, ImageError, Kind, Section, unpack

from .huffman import CodeError, Reader

__all__ = ["Memories", "Network", "read_image", "read_sections"]

Array = npt.NDArray[Any]


@dataclass(slots=True)
class Network:
    """Activation words, and bytes, of the network's input and output."""

    input_base: int = 0
    input_bytes: int = 0
    output_base: int = 0
    output_bytes: int = 0


@dataclass(slots=True)
class Memories:
    """Contents of every memory; zero where nothing was loaded.

    Members
    -------
    weights : (pes, weight_depth)
        Entries of the PEs: ``row << code_bits | code`` (no row where not ``sparse``).
    pointers : (pes, pointer_depth, 2)
        Start and length of the columns.
    codebooks : (codebooks, 2**code_bits)
        int8 weights.
    channel_bias, channel_pe, channel_row : (channel_depth, lanes)
        The channel memory; PEs are counted within their lane.
    record_multiplier, record_shift : (record_depth, lanes)
        The requantization records, multipliers with their leading one.
    """

    config: Config
    weights: Array = field(init=False)
    pointers: Array = field(init=False)
    codebooks: Array = field(init=False)
    channel_bias: Array = field(init=False)
    channel_pe: Array = field(init=False)
    channel_row: Array = field(init=False)
    record_multiplier: Array = field(init=False)
    record_shift: Array = field(init=False)
    program: list[isa.Descriptor] = field(default_factory=list)
    network: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        c = self.config
        self.weights = np.zeros((c.pes, c.weight_depth), np.int64)
        self.pointers = np.zeros((c.pes, c.pointer_depth, 2), np.int64)
        self.codebooks = np.zeros((c.codebooks, 1 << c.code_bits), np.int64)
        self.channel_bias = np.zeros((c.channel_depth, c.lanes), np.int64)
        self.channel_pe = np.zeros((c.channel_depth, c.lanes), np.int64)
        self.channel_row = np.zeros((c.channel_depth, c.lanes), np.int64)
        self.record_multiplier = np.full((c.record_depth, c.lanes), MULTIPLIER_OFFSET, np.int64)
        self.record_shift = np.zeros((c.record_depth, c.lanes), np.int64)


class _Fields:
    """Reads fixed fields off a payload."""

    def __init__(self, payload: bytes):
        self.bits = np.unpackbits(np.frombuffer(payload, dtype=np.uint8))
        self.position = 0

    def take(self, *sizes: int, count: int = 1) -> Array:
        """`count` rows of unsigned fields of these sizes."""
        total = sum(sizes) * count
        if self.position + total > len(self.bits):
            raise ImageError(f"payload of {len(self.bits) // 8} bytes ends early")
        block = self.bits[self.position : self.position + total].reshape(count, sum(sizes))
        self.position += total
        columns = []
        start = 0
        for size in sizes:
            powers = 1 << np.arange(size - 1, -1, -1, dtype=np.int64)
            columns.append(block[:, start : start + size].astype(np.int64) @ powers)
            start += size
        return np.stack(columns, axis=1)

    def rest(self) -> bytes:
        return np.packbits(self.bits[self.position :]).tobytes()


def _signed(values: Array, bits: int) -> Array:
    half = 1 << (bits - 1)
    return np.asarray((values ^ half) - half)


def read_image(raw: bytes, config: Config) -> Memories:
    """The memories that an image fills.

    Raises
    ------
    ImageError
        The image is damaged, or does not fit the configuration; as the loader would find.
    """
    return read_sections(unpack(raw, config.hash), config)


def read_sections(sections: list[Section], config: Config) -> Memories:
    """As :func:`read_image`, from sections that are already taken apart."""
    memories = Memories(config)
    if not sections or sections[0].kind != Kind.NETWORK:
        raise ImageError("section 0 is not NETWORK")
    for number, section in enumerate(sections):
        try:
            _READERS[section.kind](memories, section.payload)
        except (ImageError, CodeError) as error:
            raise ImageError(f"section {number}, {section.kind.name}: {error}") from None
    return memories


def _network(memories: Memories, payload: bytes) -> None:
    fields = Network(*_Fields(payload).take(16, 24, 16, 24)[0].tolist())
    # The loader has registers just wide enough for the activation memory.
    words = memories.config.act_depth
    size = words * memories.config.act_word
    for value, limit in (
        (fields.input_base, words),
        (fields.input_bytes, size),
        (fields.output_base, words),
        (fields.output_bytes, size),
    ):
        if value >= 1 << bits_for(limit):
            raise ImageError(f"{fields} for {size} bytes of activations")
    memories.network = fields


def _program(memories: Memories, payload: bytes) -> None:
    size = isa.DESCRIPTOR_BYTES
    if not payload or len(payload) % size:
        raise ImageError(f"{len(payload)} bytes are no multiple of {size}")
    if len(payload) > size * memories.config.program_depth:
        raise ImageError(f"{len(payload) // size} descriptors, of {memories.config.program_depth}")
    layers = [isa.decode(payload[at : at + size]) for at in range(0, len(payload), size)]
    if layers[-1]["op"] != isa.Op.END:
        raise ImageError("the last descriptor is not END")
    memories.program = layers


def _codebook(memories: Memories, payload: bytes) -> None:
    fields = _Fields(payload)
    slot, last = fields.take(8, 8)[0]
    slots, size = memories.codebooks.shape
    if memories.config.code_bits == 8 or slot >= slots or last >= size:
        raise ImageError(f"slot {slot} with {last + 1} weights, of {slots} slots with {size}")
    memories.codebooks[slot, : last + 1] = _signed(fields.take(8, count=last + 1)[:, 0], 8)


def _words(base: int, count: int, depth: int, lanes: int) -> tuple[Array, Array]:
    """Word and lane of each of `count` entries."""
    index = np.arange(count)
    if count and base + (count - 1) // lanes >= depth:
        raise ImageError(f"{count} entries from word {base} on, of {depth} words")
    return base + index // lanes, index % lanes


def _channels(memories: Memories, payload: bytes) -> None:
    config = memories.config
    fields = _Fields(payload)
    base, count, bits = fields.take(16, 16, 8)[0].tolist()
    if not 1 <= bits <= 32:
        raise ImageError(f"biases of {bits} bits")
    at = _words(base, count, config.channel_depth, config.lanes)
    bias, pe, row = fields.take(bits, config.pe_bits, config.row_bits, count=count).T
    if count and (pe.max() >= config.pes // config.lanes or row.max() >= config.acc_rows):
        raise ImageError(f"PE {pe.max()} of its lane, row {row.max()}")
    memories.channel_bias[at] = _signed(bias, bits)
    memories.channel_pe[at] = pe
    memories.channel_row[at] = row


def _records(memories: Memories, payload: bytes) -> None:
    config = memories.config
    fields = _Fields(payload)
    base, count = fields.take(16, 16)[0].tolist()
    at = _words(base, count, config.record_depth, config.lanes)
    multiplier, shift = fields.take(30, 6, count=count).T
    memories.record_multiplier[at] = multiplier + MULTIPLIER_OFFSET
    memories.record_shift[at] = _signed(shift, 6)


def _weights(memories: Memories, payload: bytes) -> None:
    config = memories.config
    fields = _Fields(payload)
    weight_base, pointer_base, columns, rows, width, last, mapped = fields.take(
        24, 24, 16, 16, 8, 8, 8
    )[0].tolist()
    if not columns or not 1 <= rows <= config.acc_rows:
        raise ImageError(f"{columns} columns of {rows} rows")
    if width > (8 if config.sparse else 0) or mapped > 1:
        raise ImageError(f"run width {width}, mapped {mapped}")
    if weight_base >= 2 << config.weight_address_bits:
        raise ImageError(f"weight base {weight_base}, of {config.weight_depth}")
    if pointer_base >= 2 << config.pointer_address_bits:
        raise ImageError(f"pointer base {pointer_base}, of {config.pointer_depth}")
    names = fields.take(8, count=last + 1)[:, 0] if mapped else np.arange(last + 1)
    lengths = fields.take(4, count=last + 1)[:, 0]
    run_lengths = fields.take(4, count=1 << width)[:, 0] if width else np.zeros(0, np.int64)
    if max(lengths.max(), run_lengths.max(initial=0)) > config.huffman_bits:
        raise ImageError(f"code words of more than {config.huffman_bits} bits")
    if (names[lengths > 0] >> config.code_bits).any():
        raise ImageError(f"codes of more than {config.code_bits} bits")
    reader = Reader(fields.rest(), lengths, run_lengths if width else None)
    places = columns * rows
    if not width:
        _check_room(weight_base, places, config)
        _, symbols, _ = reader.read(config.pes * places)
        if len(symbols) < config.pes * places:
            raise ImageError(f"{len(symbols)} of {config.pes * places} weights")
        row = np.arange(places) % rows if config.sparse else 0
        entries = names[symbols].reshape(config.pes, places) | row << config.code_bits
        memories.weights[:, weight_base : weight_base + places] = entries
        return
    if pointer_base + columns > config.pointer_depth:
        raise ImageError(f"{columns} columns from {pointer_base} on, of {config.pointer_depth}")
    runs, symbols, _ = reader.read()
    ends = np.cumsum(runs + (symbols >= 0))
    done, passed = 0, 0
    for pe in range(config.pes):
        stop = int(np.searchsorted(ends, passed + places)) + 1
        if stop > len(ends):
            raise ImageError(f"the stream of PE {pe} ends before its {places} places")
        put = np.flatnonzero(symbols[done:stop] >= 0) + done
        place = ends[put] - passed - 1
        if len(put) and place[-1] >= places:
            raise ImageError(f"PE {pe} has a weight behind its {places} places")
        _check_room(weight_base, len(put), config)
        entries = names[symbols[put]] | place % rows << config.code_bits
        memories.weights[pe, weight_base : weight_base + len(put)] = entries
        count = np.bincount(place // rows, minlength=columns)
        start = weight_base + np.cumsum(count) - count
        span = slice(pointer_base, pointer_base + columns)
        memories.pointers[pe, span, 0] = start & ((1 << config.weight_address_bits) - 1)
        memories.pointers[pe, span, 1] = count
        done, passed = stop, int(ends[stop - 1])


def _check_room(base: int, count: int, config: Config) -> None:
    if base + count > config.weight_depth:
        raise ImageError(f"{count} entries from {base} on, of {config.weight_depth}")


_READERS = {
    Kind.NETWORK: _network,
    Kind.PROGRAM: _program,
    Kind.CODEBOOK: _codebook,
    Kind.CHANNELS: _channels,
    Kind.RECORDS: _records,
    Kind.WEIGHTS: _weights,
}
