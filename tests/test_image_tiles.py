"""The sections of the dense engines, written and read back; and payloads that are refused."""

import numpy as np
import pytest

from prunus.compiler import image as sections
from prunus.compiler.huffman import pack_bits
from prunus.compiler.image import WeightLayout
from prunus.hw.config import Config
from prunus.hw.image import ImageError, Kind, Section, pack
from prunus.sim.image import read_image, read_sections

SMALL = dict(pes=0, lanes=2, columns=2, act_word=4, window=True, tables=3, tile_depth=600)
SMALL |= dict(huffman_bits=10, program_depth=4, channel_depth=8, record_depth=8, code_groups=True)
HEADER_BITS = 104


def small(**changes) -> Config:
    return Config(**(SMALL | changes))


def loaded(config, *parts):
    return read_sections([sections.network(0, 4, 1, 4, config), *parts], config)


def check(base, values, config):
    section, stats = sections.tiles(base, values, config)
    assert section.kind == Kind.TILES
    words, units = values.shape
    memories = loaded(config, section)
    expected = np.zeros((config.tile_depth, config.tile_outputs), np.int8)
    expected[base : base + words, :units] = values
    assert (memories.tiles == expected).all()
    assert memories.tiles.dtype == np.int8
    bits = stats.code_bits + stats.run_bits + stats.table_bits
    assert len(section.payload) == -(-(HEADER_BITS + bits) // 8)
    assert bits <= 8 * words * units
    assert stats.places == words * units
    assert stats.entries == (np.count_nonzero(values) if stats.run_width else values.size)
    assert config.tile_runs or stats.run_bits == 0
    return section.payload[12], stats


def laplace(shape, spread, seed=0):
    values = np.rint(np.random.default_rng(seed).laplace(0, spread, shape))
    return np.clip(values, -127, 127).astype(np.int8)


@pytest.mark.parametrize("units", [1, 2, 3, 4])
@pytest.mark.parametrize(("words", "base"), [(1, 0), (1, 599), (100, 7), (600, 0)])
def test_tiles(words, units, base):
    check(base, laplace((words, units), 20), small())


def test_the_shortest_coding_is_taken():
    config = small(tile_depth=4000)
    rng = np.random.default_rng(1)
    flat = rng.integers(-127, 128, (4000, 4)).astype(np.int8)
    assert check(0, flat, config)[0] == 2
    assert check(0, flat[:5], config)[0] == 2  # a table would cost more than it saves
    values = np.array([-100, *range(7, 20), 21, 90, 91], np.int8)
    mapped, stats = check(0, rng.choice(values, (4000, 4)), config)
    assert (mapped, stats.symbols, stats.table_bits) == (1, 17, 17 * 12)
    mapped, stats = check(0, rng.choice(values[:3], (4000, 4), p=[0.9, 0.06, 0.04]), config)
    assert (mapped, stats.form) == (1 + 16 * 2, "groups of 4")
    assert stats.table_bits == 4 * 8 + 4 * 171  # the last symbol is 2 + 8 + 32 + 128
    mapped, stats = check(0, np.abs(laplace((4000, 4), 5)), config)
    assert mapped == 0
    assert stats.table_bits == 4 * (int(np.abs(laplace((4000, 4), 5)).max()) + 1)


def test_more_weights_than_code_words_are_raw():
    values = np.repeat(np.arange(-100, 100), 3).reshape(-1, 3)
    assert check(0, values, small(huffman_bits=3))[0] == 2


def test_a_single_weight_value():
    mapped, stats = check(0, np.full((600, 4), -1, np.int8), small())
    assert (mapped, stats.symbols, stats.code_bits) == (1 + 16 * 1, 1, 300)


def test_other_units_keep_what_they_had():
    config = small()
    parts = [sections.tiles(2, laplace((9, 4), 40, seed), config)[0] for seed in (0, 1)]
    parts.append(sections.tiles(4, laplace((3, 2), 40, 2), config)[0])
    expected = laplace((9, 4), 40, 1)
    expected[2:5, :2] = laplace((3, 2), 40, 2)
    assert (loaded(config, *parts).tiles[2:11] == expected).all()


def test_sections_without_pes():
    config = small()
    rng = np.random.default_rng(3)
    bias, table = rng.integers(-3000, 3000, 5), rng.integers(-128, 128, 256)
    small_multipliers = np.array([0, (1 << 30) - 1, 1 << 29])
    program = [{"op": 2, "columns": 3, "out_pixels": 77, "mode": 3}, {"op": 4}]
    parts = [
        sections.network(1, 5, 7, 9, config),
        sections.program(program, config),
        sections.channels(3, bias, None, None, config),
        sections.records(1, small_multipliers, [31, 0, -32], config, small=True),
        sections.tables(2, table, config),
    ]
    assert len(parts[1].payload) == 3 * 64
    assert len(parts[2].payload) == 5 + -(-5 * parts[2].payload[4] // 8)
    memories = read_image(pack(parts, config.hash), config)
    assert [layer["op"] for layer in memories.program] == [2, 4, 0]
    assert memories.program[0]["out_pixels"] == 77
    assert memories.channel_bias[3:6].ravel()[:5].tolist() == bias.tolist()
    held = memories.record_multiplier[1:3].ravel()[:3] - (1 << 30)
    assert held.tolist() == small_multipliers.tolist()
    x = np.arange(-128, 128)
    assert memories.tables[2][x & 0xFF].tolist() == table.tolist()
    assert not memories.tables[:2].any()
    assert memories.weights.size == memories.pointers.size == 0


def test_without_dense_engines_descriptors_are_short():
    config = Config(pes=2, lanes=2)
    section = sections.program([{"op": 1, "columns": 3}], config)
    assert len(section.payload) == 2 * 32
    assert loaded(config, section).program[0]["columns"] == 3


def test_channels_beside_pes_need_no_place():
    config = small(pes=4)
    memories = loaded(config, sections.channels(0, [5, -6], None, None, config))
    assert memories.channel_bias[0].tolist() == [5, -6]
    assert not memories.channel_pe.any()


def test_dense_weights_may_be_raw():
    config = small(pes=4, weight_depth=64, acc_rows=8)
    codes = np.random.default_rng(4).integers(0, 256, (4, 7, 8)).astype(np.uint8)
    section, stats = sections.weights(WeightLayout(codes, weight_base=3), config)
    assert section.payload[12] == 2
    assert (stats.code_bits, stats.table_bits, stats.run_bits) == (8 * codes.size, 0, 0)
    assert len(section.payload) == 13 + codes.size
    assert (loaded(config, section).weights[:, 3:59] & 0xFF == codes.reshape(4, 56)).all()


def test_codebook_indices_are_never_raw():
    config = small(pes=2, code_bits=4, weight_depth=16)
    codes = np.arange(16).reshape(2, 4, 2)
    assert sections.weights(WeightLayout(codes), config)[0].payload[12] < 2


@pytest.mark.parametrize(
    ("message", "base", "values"),
    [
        (r"^base must leave 2 of 600 words, not 599$", 599, np.zeros((2, 1), int)),
        (r"^base must leave 1 of 600 words, not -1$", -1, np.zeros((1, 1), int)),
        (r"^values must be \(words, at most 4 units\), not \(2, 5\)$", 0, np.zeros((2, 5), int)),
        (r"^values must be \(words, at most 4 units\), not \(0, 4\)$", 0, np.zeros((0, 4), int)),
        (r"^values must be -128 to 127, not 128$", 0, np.full((1, 1), 128)),
        (r"^values of second weights must be -127 to 127, not -128$", 0, np.full((1, 3), -128)),
        (r"^words must be at most 65535 in a section, not 65536$", 0, np.zeros((1 << 16, 1), int)),
    ],
)
def test_tiles_that_do_not_fit_are_refused(message, base, values):
    with pytest.raises(ValueError, match=message):
        sections.tiles(base, values, small())


def test_the_first_weights_of_the_columns_may_be_the_least_int8():
    check(0, np.tile(np.array([-128, -128, -127, -127], np.int8), (5, 1)), small())


def test_other_values_that_do_not_fit_are_refused():
    config = small()
    for message, make in (
        ("^slot must be below 3, the tables, not 3$",
         lambda: sections.tables(3, [0] * 256, config)),
        (r"^values must be 256, not of shape \(255,\)$",
         lambda: sections.tables(0, [0] * 255, config)),
        ("^values must be -128 to 127, not 128$", lambda: sections.tables(0, [128] * 256, config)),
        ("^pe must be 0 to 0, not 1$", lambda: sections.channels(0, [0], [1], None, config)),
        ("^multipliers must be 0 to 1073741823, not 1073741824$",
         lambda: sections.records(0, [1 << 30], [0], config, small=True)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            make()


def tiles_payload(base=0, units=1, words=2, one=1, width=0, last=0, mapped=2, body=b"\1\2"):
    head = pack_bits([base, units, words, one, width, last, mapped], [24, 24, 16, 16, 8, 8, 8])
    return Section(Kind.TILES, head + body)


@pytest.mark.parametrize(
    "changes",
    [
        {"words": 0},
        {"words": 3},
        {"one": 0},
        {"one": 2},
        {"width": 1},
        {"mapped": 3},
        {"mapped": 4},
        {"mapped": 16},
        {"mapped": 18},
        {"mapped": 1 + 16 * 3, "body": bytes(99)},
        {"mapped": 1 + 16 * 8, "body": bytes(999)},
        {"mapped": 17, "body": b"\1\2\x2f\x80"},
        {"mapped": 17, "width": 9, "body": b"\1\2\0\1\x10\0\0\0"},
        {"mapped": 17, "width": 1, "body": b"\1\2\0\1\x2f\xff\xff"},
        {"mapped": 0, "width": 1, "body": b"\x11\x10\0\0"},
        {"units": 0},
        {"units": 5, "body": bytes(99)},
        {"base": 599},
        {"base": (1 << 24) - 1},
        {"mapped": 0, "last": 255, "body": bytes(127)},
        {"mapped": 0, "last": 1, "body": b"\x10"},
        {"mapped": 0, "last": 1, "body": b"\xb1\0"},
        {"mapped": 0, "last": 2, "body": b"\x11\x10\0"},
        {"mapped": 0, "last": 1, "body": b"\x20\x80"},
        {"mapped": 1, "last": 1, "body": b"\0"},
    ],
)
def test_hostile_tiles_are_refused(changes):
    config = small()
    loaded(config, tiles_payload())
    with pytest.raises(ImageError, match=r"^section 1, TILES: "):
        loaded(config, tiles_payload(**changes))


@pytest.mark.parametrize(
    ("kind", "payload", "changes"),
    [
        (Kind.TABLES, bytes([3]) + bytes(256), {}),
        (Kind.TABLES, bytes([0]) + bytes(255), {}),
        (Kind.TABLES, bytes([0]) + bytes(256), {"tables": 0}),
        (Kind.PROGRAM, bytes(32), {}),
        (Kind.PROGRAM, bytes(5 * 64), {}),
        (Kind.WEIGHTS, pack_bits([0, 0, 1, 1, 0, 0, 2, 5], [24, 24, 16, 16, 8, 8, 8, 8]), {}),
        (Kind.CODEBOOK, bytes(3), {"code_bits": 4}),
    ],
)
def test_other_hostile_sections_are_refused(kind, payload, changes):
    config = small(**changes)
    with pytest.raises(ImageError, match=f"^section 1, {kind.name}: "):
        loaded(config, Section(kind, payload))


def test_tiles_without_an_array_are_refused():
    config = Config(pes=2, lanes=2)
    with pytest.raises(ImageError, match="TILES: there is no systolic array$"):
        loaded(config, tiles_payload())


@pytest.mark.parametrize(
    ("width", "mapped", "code_bits"), [(1, 2, 8), (0, 2, 4), (0, 3, 8), (1, 3, 8)]
)
def test_raw_weights_are_for_dense_bytes(width, mapped, code_bits):
    config = small(pes=2, code_bits=code_bits)
    fields = [0, 0, 1, 1, width, 0, mapped]
    payload = pack_bits(fields, [24, 24, 16, 16, 8, 8, 8]) + bytes([1, 0x11, 0x11, 0, 0])
    with pytest.raises(ImageError, match=r"mapped \d, with run width"):
        loaded(config, Section(Kind.WEIGHTS, payload))


def test_damage_behind_a_good_crc_is_found():
    """No payload makes the reader write out of range or run on for ever."""
    config = small()
    good = sections.tiles(5, laplace((40, 3), 2), config)[0]
    assert good.payload[12] == 1
    refused = 0
    for at in range(8 * len(good.payload)):
        payload = bytearray(good.payload)
        payload[at // 8] ^= 1 << at % 8
        try:
            loaded(config, Section(Kind.TILES, bytes(payload)))
        except ImageError:
            refused += 1
    assert refused > 100
