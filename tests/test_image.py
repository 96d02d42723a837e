import numpy as np
import pytest

from prunus.compiler import image as sections
from prunus.compiler.image import WeightLayout
from prunus.hw.config import Config
from prunus.hw.image import HEADER_BYTES, ImageError, Kind, Section, pack
from prunus.sim.image import Network, read_image, read_sections

SMALL = dict(pes=4, lanes=2, weight_depth=512, pointer_depth=64, acc_rows=8, act_word=4)
SMALL |= dict(code_bits=4, codebooks=2, huffman_bits=10, program_depth=4, code_groups=True)


def small(**changes) -> Config:
    return Config(**(SMALL | changes))


def layout(config, columns, rows, density, *, seed=0, used=None, dense=False, **bases):
    """Random codes, most of them small; `used` of them."""
    rng = np.random.default_rng(seed)
    shape = (config.pes, columns, rows)
    top = used or 1 << config.code_bits
    codes = np.minimum(rng.geometric(0.15, shape) - 1, top - 1).astype(np.uint8)
    return WeightLayout(codes, None if dense else rng.random(shape) < density, **bases)


def expected(layer, config):
    """Entries and pointers of each PE, the slow way."""
    entries, pointers = [], []
    for pe in range(config.pes):
        held, spans = [], []
        for column in range(layer.codes.shape[1]):
            start = layer.weight_base + len(held)
            for row in range(layer.codes.shape[2]):
                if layer.present is None or layer.present[pe, column, row]:
                    at = row << config.code_bits if config.sparse else 0
                    held.append(at | int(layer.codes[pe, column, row]))
            spans.append((start, layer.weight_base + len(held) - start))
        entries.append(held)
        pointers.append(spans)
    return entries, pointers


def loaded(config, *parts):
    return read_sections([sections.network(0, 4, 1, 4, config), *parts], config)


def check(layer, config):
    section, stats = sections.weights(layer, config)
    memories = loaded(config, section)
    entries, pointers = expected(layer, config)
    for pe in range(config.pes):
        span = slice(layer.weight_base, layer.weight_base + len(entries[pe]))
        assert memories.weights[pe, span].tolist() == entries[pe]
        if layer.present is not None:
            span = slice(layer.pointer_base, layer.pointer_base + len(pointers[pe]))
            found = memories.pointers[pe, span].tolist()
            wrap = (1 << config.weight_address_bits) - 1
            assert found == [[start & wrap, length] for start, length in pointers[pe]]
    assert memories.weights[:, : layer.weight_base].any() == 0
    assert stats.entries == sum(map(len, entries))
    total = stats.code_bits + stats.run_bits + stats.table_bits + 104
    assert len(section.payload) == -(-total // 8)
    assert stats.entropy_bits <= stats.code_bits + stats.run_bits
    return stats


@pytest.mark.parametrize("code_bits", [1, 4, 8])
@pytest.mark.parametrize("density", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("columns, rows", [(1, 1), (1, 8), (7, 5), (13, 1)])
def test_sparse_layers(code_bits, density, columns, rows):
    config = Config(
        pes=4, lanes=2, code_bits=code_bits, weight_depth=90, pointer_depth=30, acc_rows=8
    )
    check(layout(config, columns, rows, density, weight_base=7, pointer_base=9), config)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("code_bits", [1, 4, 8])
@pytest.mark.parametrize("columns, rows", [(1, 1), (1, 8), (7, 5), (13, 1)])
def test_dense_layers(sparse, code_bits, columns, rows):
    config = Config(pes=4, lanes=2, code_bits=code_bits, weight_depth=47, acc_rows=8, sparse=sparse)
    check(layout(config, columns, rows, 1, dense=True, weight_base=7), config)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("code", [0, 1, 15])
def test_a_single_symbol(dense, code):
    config = small()
    layer = layout(config, 9, 8, 0.5, dense=dense, used=1)
    layer.codes[:] = code
    stats = check(layer, config)
    if dense:
        assert (stats.form, stats.symbols) == ("groups of 8", 1)
        assert stats.code_bits == stats.entries // 8
    else:
        assert stats.form == "joint"  # of runs alone


def test_empty_pes_and_a_full_memory():
    config = small()
    layer = layout(config, 64, 8, 1.0)
    layer.present[1] = False
    layer.present[2, 40:] = False
    check(layer, config)  # PE 0 fills all of its memory


def test_256_pes():
    config = Config(pes=256, lanes=1, weight_depth=64, pointer_depth=8, acc_rows=8)
    check(layout(config, 5, 8, 0.2), config)


@pytest.mark.parametrize("seed", range(30))
def test_random_layers(seed):
    rng = np.random.default_rng(seed)
    config = small(huffman_bits=int(rng.integers(4, 16)), pes=int(rng.choice([2, 4, 8])))
    columns, rows = (int(rng.integers(1, n)) for n in (40, 9))
    used = int(rng.integers(1, 17))
    check(layout(config, columns, rows, rng.random() ** 2, seed=seed, used=used), config)


def test_the_table_names_few_symbols():
    config = Config(pes=2, lanes=1, weight_depth=64, pointer_depth=8)
    layer = layout(config, 8, 8, 0.5)
    layer.codes[:] = np.where(layer.codes & 1, 200, 255)
    section, stats = sections.weights(layer, config)
    assert stats.table_bits == 2 * 12 + 4 * 2**stats.run_width
    assert section.payload[12] == 1
    layer.codes[:] &= 1
    section, stats = sections.weights(layer, config)
    assert stats.table_bits == 2 * 4 + 4 * 2**stats.run_width
    assert section.payload[12] == 0


def test_run_width_is_the_best():
    config = Config(pes=2, lanes=1, weight_depth=1 << 14, pointer_depth=1024)
    widths = [
        sections.weights(layout(config, 1000, 16, density), config)[1].run_width
        for density in (0.9, 0.3, 0.05, 0.01)
    ]
    assert widths == sorted(widths)
    assert len(set(widths)) > 2


def test_a_million_entries():
    config = Config(pes=64, lanes=8, weight_depth=1 << 17, pointer_depth=8192, acc_rows=16)
    layer = layout(config, 1500, 16, 0.7)
    section, stats = sections.weights(layer, config)
    memories = loaded(config, section)
    assert stats.entries > 1_000_000
    assert (memories.pointers[:, :1500, 1] == layer.present.sum(axis=2)).all()
    held = memories.weights[63, : layer.present[63].sum()] & 255
    assert (held == layer.codes[63][layer.present[63]]).all()


def test_the_other_sections():
    config = small(acc_rows=6, channel_depth=8, record_depth=8)
    rng = np.random.default_rng(0)
    bias = rng.integers(-(1 << 31), 1 << 31, 7)
    pe, row = rng.integers(0, 2, 7), rng.integers(0, 6, 7)
    multiplier, shift = rng.integers(1 << 30, 1 << 31, 5), rng.integers(-32, 32, 5)
    table = rng.integers(-128, 128, 11)
    layers = [{"op": 1, "columns": 9, "in_zero": -3}, {"op": 1, "outputs": 2}]
    parts = [
        sections.network(1, 5, 7, 9, config),
        sections.program(layers, config),
        sections.codebook(1, table, config),
        sections.channels(3, bias, pe, row, config),
        sections.records(2, multiplier, shift, config),
    ]
    memories = read_image(pack(parts, config.hash), config)
    assert memories.network == Network(1, 5, 7, 9)
    assert [layer["op"] for layer in memories.program] == [1, 1, 0]
    assert memories.program[0]["in_zero"] == -3
    assert memories.codebooks[1, :11].tolist() == table.tolist()
    assert not memories.codebooks[0].any()
    for found, values in (
        (memories.channel_bias, bias),
        (memories.channel_pe, pe),
        (memories.channel_row, row),
    ):
        assert found[3:7].ravel()[:7].tolist() == values.tolist()
    assert memories.record_multiplier[2:5].ravel()[:5].tolist() == multiplier.tolist()
    assert memories.record_shift[2:5].ravel()[:5].tolist() == shift.tolist()


@pytest.mark.parametrize(
    "low, high, bits",
    [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-128, 127, 8), (-129, 0, 9), (0, 128, 9)]
    + [(-(1 << 31), (1 << 31) - 1, 32)],
)
def test_biases_take_the_fewest_bits(low, high, bits):
    config = small()
    section = sections.channels(0, [low, high], [0, 1], [3, 4], config)
    assert section.payload[4] == bits
    assert loaded(config, section).channel_bias[0].tolist() == [low, high]


def refuse(message, make, *arguments):
    with pytest.raises(ValueError, match=message):
        make(*arguments)


def test_values_out_of_range_are_refused():
    config = small(channel_depth=2)
    zeros = np.zeros(2, int)
    refuse("^input_base must leave 4 bytes of acti", sections.network, 256, 4, 0, 4, config)
    refuse(
        "^descriptors must be at most 4 with END, not 5$", sections.program, [{"op": 1}] * 4, config
    )
    refuse("^slot must be 0 to 1, not 2$", sections.codebook, 2, [1], config)
    refuse("^values must be 1 to 16 long, not 17$", sections.codebook, 0, [1] * 17, config)
    refuse("^values must be -128 to 127, not 128$", sections.codebook, 0, [128], config)
    refuse("^base must leave 3 of 2 words, not 0$", sections.channels, 0, [0] * 5, 0, 0, config)
    refuse("^row must be 0 to 7, not 8$", sections.channels, 0, zeros, zeros, zeros + 8, config)
    refuse("^pe must be 0 to 1, not 2$", sections.channels, 0, zeros, zeros + 2, zeros, config)
    refuse("^multipliers must be 1073741824 to", sections.records, 0, [1], [1], config)
    refuse("^shifts must be -32 to 31, not 32$", sections.records, 0, [1 << 30], [32], config)


def test_layers_that_do_not_fit_are_refused():
    config = small()
    codes = np.zeros((4, 65, 8), np.uint8)
    present = np.ones(codes.shape, bool)
    for message, layer in (
        (r"^codes must be \(4, columns, rows\), not \(3, 1, 1\)$", WeightLayout(codes[:3, :1, :1])),
        (
            "^weight_base must leave 512 of 512 entries, not 1$",
            WeightLayout(codes[:, :64], None, 1),
        ),
        ("^pointer_base must leave 65 of 64 words, not 0$", WeightLayout(codes, present)),
        ("^codes must be 0 to 15, not 16$", WeightLayout(codes[:, :1] + 16)),
        ("^rows must be at most 8, not 9$", WeightLayout(np.zeros((4, 1, 9), int))),
        ("^present must be", WeightLayout(codes, present[:, 1:])),
    ):
        refuse(message, sections.weights, layer, config)
    flat = small(sparse=False)
    refuse("^present must be None where", sections.weights, WeightLayout(codes, present), flat)


def test_damage_is_found():
    config = small()
    section, _ = sections.weights(layout(config, 7, 5, 0.3), config)
    raw = pack([sections.network(0, 4, 1, 4, config), section], config.hash)
    read_image(raw, config)
    for at in range(len(raw)):
        damaged = bytearray(raw)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(ImageError):
            read_image(bytes(damaged), config)
        with pytest.raises(ImageError):
            read_image(raw[:at], config)
    with pytest.raises(ImageError, match="^image is for configuration"):
        read_image(raw, small(huffman_bits=11))
    with pytest.raises(ImageError, match="^section 0 is not NETWORK$"):
        read_sections([section], config)


def test_damage_behind_a_good_crc_is_found():
    """No payload makes the reader write out of range or run on for ever."""
    config = small()
    good, _ = sections.weights(layout(config, 7, 5, 0.3), config)
    refused = 0
    for at in range(len(good.payload)):
        for bit in range(8):
            payload = bytearray(good.payload)
            payload[at] ^= 1 << bit
            try:
                loaded(config, Section(Kind.WEIGHTS, bytes(payload)))
            except ImageError:
                refused += 1
    assert refused > 100
    with pytest.raises(ImageError, match="^section 1, WEIGHTS: "):
        loaded(config, Section(Kind.WEIGHTS, good.payload[:-2]))
    assert HEADER_BYTES == 16
