"""Images to load, and what their writes leave in the memories."""

import numpy as np

from prunus.compiler import image as sections
from prunus.compiler.image import WeightLayout
from prunus.hw.bus import Target
from prunus.hw.config import Config
from prunus.hw.image import MULTIPLIER_OFFSET, Section, pack
from prunus.hw.isa import decode
from prunus.sim.image import Memories, Network

SMALL = dict(pes=4, lanes=2, weight_depth=64, pointer_depth=16, acc_rows=6, act_word=4)
SMALL |= dict(code_bits=4, codebooks=2, huffman_bits=6, program_depth=4)
SMALL |= dict(channel_depth=5, record_depth=4)


def small(**changes) -> Config:
    return Config(**(SMALL | changes))


def random_sections(config: Config, seed: int, *, columns=7, rows=5, density=0.4):
    """One section of each kind that there can be, two of weights and tiles, in different codes."""
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(1, 2 * config.lanes + 1))
    last_pe, last_row = config.pes // config.lanes - 1, config.acc_rows - 1
    if not config.pes:
        last_pe = last_row = 0
    op = {"op": 1, "columns": int(rng.integers(1 << 16)), "in_zero": -7}
    if config.descriptor_words == 16:
        op |= {"tap_x": int(rng.integers(1 << 16)), "mode": 3}
    bias = rng.integers(-1, 2, channels) << rng.integers(0, 31, channels)
    parts = [
        sections.network(*rng.integers(1, 99, 4).tolist(), config),
        sections.program([op], config),
    ]
    if config.code_bits < 8 and config.pes:
        table = rng.integers(-128, 128, int(rng.integers(1, 1 + (1 << config.code_bits))))
        parts.append(sections.codebook(config.codebooks - 1, table, config))
    parts += [
        sections.channels(
            int(rng.integers(3)),
            bias,
            rng.integers(0, last_pe + 1, channels),
            rng.integers(0, last_row + 1, channels),
            config,
        ),
        sections.records(
            int(rng.integers(3)),
            rng.integers(1 << 30, 1 << 31, channels // 2 + 1),
            rng.integers(-32, 32, channels // 2 + 1),
            config,
        ),
    ]
    if config.tables:
        values = rng.integers(-128, 128, 256)
        parts.append(sections.tables(int(rng.integers(config.tables)), values, config))
    parts += random_tiles(config, rng) if config.columns else []
    if config.winograd:
        shape = int(rng.integers(3, config.winograd_depth)), 9 * config.winograd_filters
        values = rng.choice([-128, 0, 0, 7], shape)
        parts.append(sections.tiles(1, values, config, winograd=True)[0])
    if not config.pes:
        return parts
    top = min(1 << config.code_bits, 1 << config.huffman_bits)
    shape = (config.pes, columns, rows)
    codes = np.minimum(rng.geometric(min(0.9, 3 / top), shape) - 1, top - 1)
    if rng.integers(2):
        codes = (1 << config.code_bits) - 1 - codes
    if config.sparse:
        layer = WeightLayout(codes, rng.random(shape) < density, 3, 2)
        parts.append(sections.weights(layer, config)[0])
    parts.append(sections.weights(WeightLayout(codes[:, :3], None, 40), config)[0])
    return parts


def random_tiles(config: Config, rng) -> list[Section]:
    """Tiles that are worth a code, behind them some that are not."""
    units, base = int(rng.integers(1, config.tile_outputs + 1)), int(rng.integers(1, 9))
    few = rng.choice([-127, -3, 0, 100], (int(rng.integers(20, 30)), config.tile_outputs))
    many = rng.integers(-127, 128, (int(rng.integers(1, 4)), units))
    parts = [
        sections.tiles(base, few, config)[0],
        sections.tiles(base + len(few), many, config)[0],
    ]
    mapped = [part.payload[12] for part in parts]
    assert mapped[0] != 2 and mapped[1] == 2
    return parts


def random_image(config: Config, seed: int, **shape) -> bytes:
    return pack(random_sections(config, seed, **shape), config.hash)


def apply_writes(writes, network: Network, config: Config) -> Memories:
    """The memories after (target, unit, address, data) writes of the loader."""
    memories = Memories(config)
    memories.network = network
    words = {}
    for target, unit, address, data in writes:
        match Target(target):
            case Target.WEIGHT:
                memories.weights[unit, address] = data
            case Target.POINTER:
                bits = config.weight_address_bits
                memories.pointers[unit, address] = data & ((1 << bits) - 1), data >> bits
            case Target.CODEBOOK:
                slot, code = divmod(address, 1 << config.code_bits)
                memories.codebooks[slot, code] = signed(data & 255, 8)
            case Target.CHANNEL:
                memories.channel_bias[address, unit] = signed(data & 0xFFFFFFFF, 32)
                row_mask = (1 << config.row_bits) - 1
                memories.channel_row[address, unit] = data >> 32 & row_mask
                memories.channel_pe[address, unit] = (
                    data >> 32 + config.row_bits & (1 << config.pe_bits) - 1
                )
            case Target.RECORD:
                multiplier = data & (MULTIPLIER_OFFSET - 1)
                memories.record_multiplier[address, unit] = multiplier + MULTIPLIER_OFFSET
                memories.record_shift[address, unit] = signed(data >> 30 & 63, 6)
            case Target.PROGRAM:
                words[address] = data & 0xFFFFFFFF
            case Target.TILE:
                of_filters = unit >= config.tile_outputs
                memory = memories.filters if of_filters else memories.tiles
                memory[address, unit - of_filters * config.tile_outputs] = signed(data & 255, 8)
            case Target.TABLE:
                memories.tables[address >> 8, address & 255] = signed(data & 255, 8)
    raw = b"".join(words[n].to_bytes(4, "big") for n in sorted(words))
    size = 4 * config.descriptor_words
    memories.program = [decode(raw[at : at + size]) for at in range(0, len(raw), size)]
    return memories


def signed(value: int, bits: int) -> int:
    return value - (value >> (bits - 1) << bits)


def differences(found: Memories, expected: Memories) -> list[str]:
    """Names of the memories that differ."""
    arrays = [
        "weights",
        "pointers",
        "codebooks",
        "tiles",
        "filters",
        "tables",
        "channel_bias",
        "channel_pe",
        "channel_row",
    ]
    arrays += ["record_multiplier", "record_shift"]
    names = [n for n in arrays if not np.array_equal(getattr(found, n), getattr(expected, n))]
    return names + [n for n in ("program", "network") if getattr(found, n) != getattr(expected, n)]
