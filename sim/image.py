"""What the accelerator's memories hold once an image is loaded."""

from typing import Any

import numpy as np
import numpy.typing as npt

from prunus.hw import isa
from prunus.hw.config import Config, bits_for
from prunus.hw.image import MULTIPLIER_OFFSET, ImageError, Kind, Section, unpack

from .fields import Fields, signed
from .huffman import CodeError
from .image_weights import read_tiles, read_weights
from .memories import Memories, Network

__all__ = ["Memories", "Network", "read_image", "read_network", "read_sections"]

Array = npt.NDArray[Any]


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


def read_network(raw: bytes, config: Config) -> Network:
    """Where the inputs and outputs of an image are.

    Raises
    ------
    ImageError
        The image is damaged, or made for another configuration.
    """
    first = unpack(raw, config.hash)[0]
    return Network(*Fields(first.payload).take(16, 24, 16, 24)[0].tolist())


def _network(memories: Memories, payload: bytes) -> None:
    fields = Network(*Fields(payload).take(16, 24, 16, 24)[0].tolist())
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
    size = memories.config.descriptor_words * isa.WORD_BITS // 8
    if not payload or len(payload) % size:
        raise ImageError(f"{len(payload)} bytes are no multiple of {size}")
    if len(payload) > size * memories.config.program_depth:
        raise ImageError(f"{len(payload) // size} descriptors, of {memories.config.program_depth}")
    layers = [isa.decode(payload[at : at + size]) for at in range(0, len(payload), size)]
    if layers[-1]["op"] != isa.Op.END:
        raise ImageError("the last descriptor is not END")
    memories.program = layers


def _codebook(memories: Memories, payload: bytes) -> None:
    fields = Fields(payload)
    slot, last = fields.take(8, 8)[0]
    slots, size = memories.codebooks.shape
    if not memories.config.pes or memories.config.code_bits == 8 or slot >= slots or last >= size:
        raise ImageError(f"slot {slot} with {last + 1} weights, of {slots} slots with {size}")
    memories.codebooks[slot, : last + 1] = signed(fields.take(8, count=last + 1)[:, 0], 8)


def _words(base: int, count: int, depth: int, lanes: int) -> tuple[Array, Array]:
    """Word and lane of each of `count` entries."""
    index = np.arange(count)
    if count and base + (count - 1) // lanes >= depth:
        raise ImageError(f"{count} entries from word {base} on, of {depth} words")
    return base + index // lanes, index % lanes


def _channels(memories: Memories, payload: bytes) -> None:
    config = memories.config
    fields = Fields(payload)
    base, count, bits = fields.take(16, 16, 8)[0].tolist()
    if not 1 <= bits <= 32:
        raise ImageError(f"biases of {bits} bits")
    at = _words(base, count, config.channel_depth, config.lanes)
    bias, pe, row = fields.take(bits, config.pe_bits, config.row_bits, count=count).T
    exists = (pe < config.pes // config.lanes) & (row < config.acc_rows)
    if config.pes and not exists.all():
        raise ImageError(f"PE {pe[~exists][0]} of its lane, row {row[~exists][0]}")
    memories.channel_bias[at] = signed(bias, bits)
    memories.channel_pe[at] = pe
    memories.channel_row[at] = row


def _records(memories: Memories, payload: bytes) -> None:
    config = memories.config
    fields = Fields(payload)
    base, count = fields.take(16, 16)[0].tolist()
    at = _words(base, count, config.record_depth, config.lanes)
    multiplier, shift = fields.take(30, 6, count=count).T
    memories.record_multiplier[at] = multiplier + MULTIPLIER_OFFSET
    memories.record_shift[at] = signed(shift, 6)


def _tables(memories: Memories, payload: bytes) -> None:
    fields = Fields(payload)
    slot = int(fields.take(8)[0, 0])
    if slot >= memories.config.tables:
        raise ImageError(f"table {slot}, of {memories.config.tables}")
    memories.tables[slot] = signed(fields.take(8, count=256)[:, 0], 8)


_READERS = {
    Kind.NETWORK: _network,
    Kind.PROGRAM: _program,
    Kind.CODEBOOK: _codebook,
    Kind.CHANNELS: _channels,
    Kind.RECORDS: _records,
    Kind.WEIGHTS: read_weights,
    Kind.TILES: read_tiles,
    Kind.TABLES: _tables,
}
