import dataclasses
import itertools
import random
import struct
import zlib

import numpy as np
import pytest
from amaranth.sim import Simulator
from load_support import apply_writes, differences, random_image, small
from loading import check, check_damaged, load

from prunus.compiler import image as sections
from prunus.compiler.huffman import pack_bits
from prunus.compiler.image import WeightLayout
from prunus.hw.bus import Target
from prunus.hw.image import VERSION, ImageError, Kind, LoadError, Section, pack, unpack
from prunus.hw.load.loader import Loader
from prunus.sim.image import read_image

DENSE = dict(columns=2, tile_depth=50, window=True, tables=3)
CONFIGS = [
    dict(),
    dict(pes=1, lanes=1),
    dict(pes=4, lanes=1, huffman_bits=4),
    dict(code_bits=8, huffman_bits=9),
    dict(code_bits=8, sparse=False, huffman_bits=8),
    dict(code_bits=4, huffman_bits=10, acc_rows=8, weight_depth=128),
    dict(code_bits=2, huffman_bits=3, pes=6),
    DENSE,
    DENSE | dict(pes=0, columns=8, lanes=8, act_word=16, huffman_bits=8),
    DENSE | dict(pes=0, lanes=1, act_word=2, columns=1, tables=1, pointer_depth=2),
    DENSE | dict(code_bits=8, huffman_bits=9, sparse=False),
    DENSE | dict(pes=0, winograd=4, winograd_filters=2, winograd_depth=70, huffman_bits=9),
    DENSE | dict(winograd=2, winograd_filters=1, winograd_depth=9),
    dict(pes=0, lanes=4, act_word=8, columns=4, tile_depth=64, sparse=False, code_bits=8),
    dict(window=True, tables=5),
]


@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_fills_the_memories(changes):
    config = small(**changes)
    check(config, random_image(config, 1), settle=4000)
    check(config, random_image(config, 2), settle=4000, gaps=0.6)


@pytest.mark.parametrize("huffman_bits", [1, 13, pytest.param(15, marks=pytest.mark.slow)])
def test_shortest_and_longest_codes(huffman_bits):
    config = small(code_bits=1, sparse=False, huffman_bits=huffman_bits)
    check(config, random_image(config, 1), settle=(2 << huffman_bits) + 500)


@pytest.mark.parametrize("seed", range(4))
def test_random_layers(seed):
    rng = np.random.default_rng(seed)
    config = small(weight_depth=300, pointer_depth=40, huffman_bits=int(rng.integers(4, 9)))
    columns, rows = int(rng.integers(3, 30)), int(rng.integers(1, 7))
    image = random_image(config, seed, columns=columns, rows=rows, density=rng.random() ** 2)
    check(config, image, gaps=rng.random() * 0.5, seed=seed)


def layer_image(config, codes, present=None):
    layer, _ = sections.weights(WeightLayout(codes, present), config)
    return pack([sections.network(0, 4, 1, 4, config), layer], config.hash)


def test_empty_layers_and_single_symbols():
    config = small(pointer_depth=64, weight_depth=300)
    zeros = np.zeros((4, 45, 6), int)
    check(
        config,
        layer_image(config, zeros, zeros > 0),
        layer_image(config, zeros + 15, zeros == 0),
        layer_image(config, zeros + 15),
        layer_image(config, zeros),
    )


def test_weights_fill_the_whole_memory():
    config = small(weight_depth=36, pointer_depth=6)
    codes = np.arange(4 * 36).reshape(4, 6, 6) % 16
    present = np.ones(codes.shape, bool)
    present[1, 5] = present[2] = False
    check(config, layer_image(config, codes, present), layer_image(config, codes))


def test_cycles_of_a_weight():
    config = small(huffman_bits=4, weight_depth=1024, pointer_depth=200)
    codes = np.random.default_rng(0).integers(0, 16, (4, 100, 3))
    present = np.zeros(codes.shape, bool)
    present[:, :, 1] = True  # every run is 2, but for the first one and the end
    half, whole, sparse_half, sparse = check(
        config,
        layer_image(config, codes[:, :50]),
        layer_image(config, codes),
        layer_image(config, codes[:, :50], present[:, :50]),
        layer_image(config, codes, present),
    )
    assert whole.cycles - half.cycles == 4 * 4 * 50 * 3
    assert sparse.cycles - sparse_half.cycles == 8 * 4 * 50  # an entry; its column ends meanwhile


def test_image_id_is_of_all_crcs():
    config = small()
    image = random_image(config, 0)
    identity, position = int.from_bytes(image[12:16], "big"), 16
    while position < len(image):
        position += 4 + int.from_bytes(image[position + 1 : position + 4], "big")
        identity ^= int.from_bytes(image[position : position + 4], "big")
        position += 4
    assert check(config, image)[0].image_id == identity


TINY = dict(pes=1, lanes=1, huffman_bits=4, code_bits=2, program_depth=1)


def tiny_image(config):
    return pack([sections.network(1, 2, 3, 4, config), *tiny_sections(config)], config.hash)


def tiny_sections(config):
    codes = np.array([[[0, 3], [1, 0], [0, 2]]])
    return [
        sections.program([], config),
        sections.codebook(0, [1, -2, 3], config),
        sections.channels(0, [-3, 9], [0, 0], [1, 5], config),
        sections.records(0, [1 << 30, (1 << 31) - 1], [-32, 31], config),
        sections.weights(WeightLayout(codes, codes > 0, 60), config)[0],
        sections.weights(WeightLayout(codes[:, :2], None, 3), config)[0],
    ]


def test_every_flipped_byte_is_refused():
    """In one loader: so every error is also left behind by a restart."""
    config = small(**TINY)
    good = tiny_image(config)
    images = []
    for at in range(len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 1 << at % 8
        images.append(bytes(damaged))
    *bad, last = load(config, *images, good, settle=300)
    assert [result.done for result in bad] == [0] * len(bad)
    # Of those that are not refused, a length has grown: the loader waits for more.
    waiting = [at for at, result in enumerate(bad) if result.error == LoadError.NONE]
    assert len(waiting) < 2 * 8
    assert {bad[at].error for at in range(4)} == {LoadError.MAGIC}
    assert {bad[at].error for at in (4, 5)} == {LoadError.VERSION}
    assert {bad[at].error for at in range(6, 16)} == {LoadError.HEADER_CRC}
    assert {bad[at].error for at in range(len(bad) - 4, len(bad))} == {LoadError.SECTION_CRC}
    assert last.done
    assert (
        differences(apply_writes(last.writes, last.network, config), read_image(good, config)) == []
    )


def test_a_cut_image_is_never_done():
    config = small(**TINY)
    good = tiny_image(config)
    cuts = [good[:at] for at in range(0, len(good), 7)] + [good[:-1]]
    for result in load(config, *cuts, settle=300):
        assert not result.done
        assert result.error == LoadError.NONE


def header(config_hash, *, version=VERSION, count=1):
    head = struct.pack(">4sHHI", b"PRNS", version, count, config_hash)
    return head + struct.pack(">I", zlib.crc32(head))


def test_errors_are_named():
    config = small(**TINY)
    network = sections.network(0, 4, 1, 4, config)
    short = Section(Kind.NETWORK, network.payload[:-1])
    program = sections.program([], config)

    def image(*parts):
        return pack(list(parts), config.hash)

    unknown = bytearray(image(network, program))
    at = len(image(network))
    unknown[at] = 9
    cases = [
        (LoadError.MAGIC, b"JUNK" + bytes(60)),
        (LoadError.VERSION, header(config.hash, version=VERSION - 1)),
        (LoadError.VERSION, header(config.hash, version=0)),
        (LoadError.CONFIG, header(config.hash ^ 1)),
        (LoadError.SECTION_KIND, header(config.hash, count=0)),
        (LoadError.SECTION_KIND, image(program)),
        (LoadError.SECTION_KIND, bytes(unknown)),
        (LoadError.SECTION_LENGTH, image(short)),
        (LoadError.SECTION_LENGTH, image(network, Section(Kind.PROGRAM, b""))),
        (LoadError.SECTION_LENGTH, image(network, Section(Kind.PROGRAM, bytes(31)))),
        (LoadError.SECTION_LENGTH, image(network, Section(Kind.PROGRAM, bytes(33)))),
        (LoadError.SECTION_LENGTH, image(network, Section(Kind.PROGRAM, bytes(64)))),
        (LoadError.SECTION_KIND, image(network, Section(Kind.TILES, bytes(20)))),
        (LoadError.SECTION_KIND, image(network, Section(Kind.TABLES, bytes(257)))),
        (LoadError.SECTION_LENGTH, image(network, Section(Kind.PROGRAM, b"\x10" + bytes(31)))),
    ]
    results = load(config, *(raw for _, raw in cases), settle=300)
    assert [result.error for result in results] == [expected for expected, _ in cases]
    assert not any(result.done for result in results)


def by_hand(config, *, bases=(0, 0), columns=1, rows=1, runs=(), stream=((0, 1),)):
    """An image with one WEIGHTS section; symbols 0 and 1 have a code word of one bit."""
    fields = [(base, 24) for base in bases] + [(columns, 16), (rows, 16)]
    fields += [((len(runs) - 1).bit_length() if runs else 0, 8), (1, 8), (0, 8), (1, 4), (1, 4)]
    fields += [(length, 4) for length in runs] + list(stream)
    payload = pack_bits(*zip(*fields, strict=True))
    network = sections.network(1, 2, 3, 4, config)
    return pack([network, Section(Kind.WEIGHTS, payload)], config.hash)


def test_the_last_that_fits():
    """One more of anything is refused, by the loader and by the model."""
    config = small(**TINY | dict(weight_depth=40, pointer_depth=12))  # no powers of two
    runs = (2, 2, 2, 2)
    entry, skip, far = [(0, 2), (1, 1)], (3, 2), (2, 2)
    cases = {
        "dense base": lambda n: dict(bases=(39 + n, 0)),
        "empty at the end": lambda n: dict(bases=(40 + n, 0), runs=runs, stream=[skip]),
        "sparse base": lambda n: dict(bases=(39 + n, 0), runs=runs, stream=entry),
        "entries": lambda n: dict(bases=(38, 0), columns=2 + n, runs=runs, stream=entry * (2 + n)),
        "pointer base": lambda n: dict(bases=(0, 11 + n), runs=runs, stream=entry),
        "pointers": lambda n: dict(bases=(0, 11), columns=1 + n, runs=runs, stream=[skip]),
        "dense rows": lambda n: dict(rows=6 + n, stream=[(1, 1)] * 7),
        "rows": lambda n: dict(rows=6 + n, runs=runs, stream=entry * 7),
        "behind the end": lambda n: dict(rows=4 - n, runs=runs, stream=[*entry, far, entry[1]]),
        "code word": lambda n: dict(runs=(1, 2, 0, 2 * (1 - n)), stream=[(3, 2)]),
    }
    names = [(name, n) for name in cases for n in (0, 1)]
    images = [by_hand(config, **cases[name](n)) for name, n in names]
    results = load(config, *images, settle=300)
    for (name, n), image, result in zip(names, images, results, strict=True):
        assert (name, result.done) == (name, 1 - n)
        assert (name, result.error != LoadError.NONE) == (name, n == 1)
        if n:
            with pytest.raises(ImageError):
                read_image(image, config)
        else:
            memories = apply_writes(result.writes, result.network, config)
            assert differences(memories, read_image(image, config)) == []
        depths = {0: config.weight_depth, 1: config.pointer_depth}
        assert all(address < depths[target] for target, _, address, _ in result.writes)


def test_the_last_table_entry_that_fits():
    config = small(
        pes=6, lanes=2, acc_rows=6, channel_depth=5, record_depth=3, codebooks=3, program_depth=3
    )

    def channels(base, count, bits, *, pe=2, row=5):
        return [(base, 16), (count, 16), (bits, 8)] + [
            (1, min(bits, 32)),
            (pe, 2),
            (row, 3),
        ] * count

    def records(base, count):
        return [(base, 16), (count, 16)] + [(5, 30), (-6, 6)] * count

    cases = {
        "channel base": lambda n: (Kind.CHANNELS, channels(4 + n, 1, 7)),
        "channels": lambda n: (Kind.CHANNELS, channels(3, 4 + n, 7)),
        "bias bits": lambda n: (Kind.CHANNELS, channels(0, 1, 32 + n)),
        "no bias bits": lambda n: (Kind.CHANNELS, channels(0, 1, 1 - n)),
        "row": lambda n: (Kind.CHANNELS, channels(0, 3, 9, row=5 + n)),
        "PE": lambda n: (Kind.CHANNELS, channels(0, 3, 9, pe=2 + n)),
        "record base": lambda n: (Kind.RECORDS, records(2 + n, 1)),
        "high base": lambda n: (Kind.RECORDS, records(n << 15, 1)),
        "records": lambda n: (Kind.RECORDS, records(0, 6 + n)),
        "slot": lambda n: (Kind.CODEBOOK, [(2 + n, 8), (1, 8), (7, 8), (8, 8)]),
        "weights": lambda n: (Kind.CODEBOOK, [(1, 8), (15 + n, 8)] + [(3, 8)] * 17),
        "short": lambda n: (Kind.CODEBOOK, [(1, 8), (9, 8)] + [(3, 8)] * (10 - n)),
        "layers": lambda n: (Kind.PROGRAM, [(1 << 28, 32), (9, 32)] * 4 * (2 + n) + [(0, 32)] * 8),
        "no end": lambda n: (Kind.PROGRAM, [(0, 32), (9, 32)] * 4 + [(n << 28, 32)] * 8),
    }
    names = [(name, n) for name in cases for n in (0, 1)]
    network = sections.network(1, 2, 3, 4, config)
    images = []
    for name, n in names:
        kind, fields = cases[name](n)
        section = Section(kind, pack_bits(*zip(*fields, strict=True)))
        images.append(pack([network, section], config.hash))
    results = load(config, *images, settle=300)
    for (name, n), image, result in zip(names, images, results, strict=True):
        assert (name, result.done) == (name, 1 - n)
        if n:
            assert (name, result.error) == (name, LoadError.SECTION_LENGTH)
            with pytest.raises(ImageError):
                read_image(image, config)
        else:
            memories = apply_writes(result.writes, result.network, config)
            assert differences(memories, read_image(image, config)) == []


def test_the_last_of_the_dense_engines_that_fits():
    """As above for tiles, raw weights and tables; symbols 0 and 1 have a code word of one bit."""
    config = small(
        pes=2, code_bits=8, sparse=False, weight_depth=40, act_word=8, program_depth=3,
        columns=2, tile_depth=21, window=True, tables=3, tile_pixels=16,
    )  # fmt: skip
    without = small(pes=0, lanes=1, act_word=2, columns=1, tile_depth=21)
    winograd = dataclasses.replace(config, winograd=2, winograd_filters=1, winograd_depth=30)
    first = config.tile_outputs << 12  # of the units of its words

    def head(base, units, columns, rows, runs, mapped):
        return [(base, 24), (units, 24), (columns, 16), (rows, 16), (runs, 8), (1, 8), (mapped, 8)]

    def coded(base, units, words, *, rows=1, runs=0, mapped=0, short=0):
        count = units * words - short
        names = [(0x81, 8), (5, 8)] if mapped == 1 else []
        codes = [(n % 2, 1) for n in range(count)]
        return [*head(base, units, words, rows, runs, mapped), *names, (1, 4), (1, 4), *codes]

    def raw(base, units, columns, *, rows=1, runs=0, short=0, streams=None):
        count = (streams or units) * columns * rows - short
        codes = [(200 + n & 0xFF, 8) for n in range(count)]
        return [*head(base, units, columns, rows, runs, 2), *codes]

    def table(slot, *, count=256):
        return [(slot, 8)] + [(n, 8) for n in range(count)]

    tiles, pes = Kind.TILES, Kind.WEIGHTS
    cases = {
        "words": lambda n: (config, tiles, coded(18, 3, 3 + n)),
        "base": lambda n: (config, tiles, coded(20 + n, 3, 1)),
        "far base": lambda n: (config, tiles, coded(2 + (n << 20), 3, 1)),
        "units": lambda n: (config, tiles, coded(0, 4 + n, 2)),
        "many units": lambda n: (config, tiles, coded(0, 1 + (n << 8), 2)),
        "a unit": lambda n: (config, tiles, coded(0, 1 - n, 2)),
        "a word": lambda n: (config, tiles, coded(0, 2, 1 - n)),
        "one row": lambda n: (config, tiles, coded(0, 2, 2, rows=1 + n)),
        "no row": lambda n: (config, tiles, coded(0, 2, 2, rows=1 - n)),
        "no runs": lambda n: (config, tiles, coded(0, 2, 2, runs=n)),
        "names": lambda n: (config, tiles, coded(0, 2, 2, mapped=1 + 2 * n)),
        "codes": lambda n: (config, tiles, coded(0, 2, 8, short=8 * n)),
        "raw words": lambda n: (config, tiles, raw(18, 4, 3 + n)),
        "raw codes": lambda n: (config, tiles, raw(0, 4, 3, short=n)),
        "raw weights": lambda n: (config, pes, raw(38, 0, 1, rows=2 + n, streams=2)),
        "short weights": lambda n: (config, pes, raw(0, 0, 3, rows=2, streams=2, short=n)),
        "raw runs": lambda n: (config, pes, raw(0, 0, 3, runs=n, streams=2)),
        "units alone": lambda n: (without, tiles, coded(0, 2 + n, 2)),
        "row alone": lambda n: (without, tiles, coded(19, 2, 2, rows=1 + n)),
        "words alone": lambda n: (without, tiles, raw(19, 2, 2 + n)),
        "filter words": lambda n: (winograd, tiles, raw(28, first + 5, 2 + n, streams=1)),
        "filter units": lambda n: (winograd, tiles, raw(0, first + 13 + n, 1, streams=9 + n)),
        "no filter units": lambda n: (winograd, tiles, raw(0, first + 5 - n, 1, streams=1)),
        "tile words beside": lambda n: (winograd, tiles, raw(19, 1, 2 + n)),
        "tile units beside": lambda n: (winograd, tiles, raw(0, 4 + n, 1)),
        "where filters begin": lambda n: (
            winograd, tiles, raw(0, first + 5 - (n << 12), 1, streams=1 + n)
        ),
        "slot": lambda n: (config, Kind.TABLES, table(2 + n)),
        "entries": lambda n: (config, Kind.TABLES, table(0, count=256 - n)),
        "no raw codes": lambda n: (
            small(code_bits=8 - n, pes=2, codebooks=1), pes, raw(0, 0, 1, streams=2)
        ),
        "pes": lambda n: (without if n else config, pes, raw(0, 0, 1, streams=2)),
        "codebook": lambda n: (
            without if n else small(), Kind.CODEBOOK, [(0, 8), (0, 8), (7, 8)]
        ),
    }  # fmt: skip
    by_config = {}
    for name in cases:
        for n in (0, 1):
            one, kind, fields = cases[name](n)
            network = sections.network(1, 2, 3, 4, one)
            section = Section(kind, pack_bits(*zip(*fields, strict=True)))
            image = pack([network, section], one.hash)
            by_config.setdefault(one, []).append((name, n, image))
    for one, images in by_config.items():
        results = load(one, *(image for *_, image in images), settle=400)
        for (name, n, image), result in zip(images, results, strict=True):
            assert (name, result.done) == (name, 1 - n)
            absent = one is without and name in ("pes", "codebook")
            if n:
                expected = LoadError.SECTION_KIND if absent else LoadError.SECTION_LENGTH
                assert (name, result.error) == (name, expected)
                with pytest.raises(ImageError):
                    read_image(image, one)
            else:
                memories = apply_writes(result.writes, result.network, one)
                assert (name, differences(memories, read_image(image, one))) == (name, [])


def test_every_bit_of_a_crc_counts():
    config = small(**TINY)
    good = pack([sections.network(1, 2, 3, 4, config)], config.hash)
    images = []
    for at, bit in itertools.product((*range(12, 16), *range(len(good) - 4, len(good))), range(8)):
        damaged = bytearray(good)
        damaged[at] ^= 1 << bit
        images.append(bytes(damaged))
    errors = [result.error for result in load(config, *images, settle=100)]
    assert errors == [LoadError.HEADER_CRC] * 32 + [LoadError.SECTION_CRC] * 32


@pytest.mark.parametrize("number", range(10))
def test_behind_a_good_crc_it_agrees_with_the_model(number):
    """What is wrong in a payload is refused as the model does, and what is not is loaded."""
    config = small(**TINY, acc_rows=6, channel_depth=3, record_depth=3, tables=1, window=True,
                   columns=1, tile_depth=9)  # fmt: skip
    parts = [sections.network(1, 2, 3, 4, config), *tiny_sections(config)]
    parts += [sections.tiles(1, [[5, -6]] * 8, config)[0], sections.tiles(6, [[7]], config)[0]]
    parts.append(sections.tables(0, range(-128, 128), config))
    good = parts[number].payload
    rng = random.Random(number)
    images = []
    for bit in range(0, 8 * len(good), max(3, len(good) // 9 | 1)):
        payload = bytearray(good)
        payload[bit // 8] ^= 0x80 >> bit % 8
        if not rng.randrange(8):
            payload = payload[: bit // 8 + 1]
        elif not rng.randrange(8):
            payload += bytes(3)
        parts[number] = Section(parts[number].kind, bytes(payload))
        # Behind NETWORK, only what was damaged.
        images.append(pack([parts[0], *([parts[number]] if number else [])], config.hash))
    for result in check_damaged(config, *images, settle=400):  # nothing is written out of range
        for target, unit, address, data in result.writes:
            depth = [config.weight_depth, config.pointer_depth, 8, 3, 3, 16, 9, 256][target]
            assert unit <= (target == Target.TILE.value) and address < depth
            assert target != 3 or (data >> 32) < 6


@pytest.mark.parametrize("config_hash, done", [(0, 1), (1, 0)])
def test_bytes_after_the_end_are_swallowed(config_hash, done):
    """The end is that of the image, or an error in its header: then nothing is written."""
    config = small(**TINY)
    good = pack(unpack(tiny_image(config), config.hash), config.hash ^ config_hash)
    dut = Loader(config)
    writes = 0

    async def testbench(ctx):
        nonlocal writes
        ctx.set(dut.i.valid, 1)
        for byte in good:
            ctx.set(dut.i.payload, byte)
            for _ in range(300):
                _, _, ready, write = await ctx.tick().sample(dut.i.ready, dut.bus.valid)
                writes += write
                if ready:
                    break
        for _ in range(30):
            await ctx.tick()
        for _ in range(30):
            assert ctx.get(dut.i.ready)
            await ctx.tick()
        assert (writes > 0) == ctx.get(dut.done) == done
        assert ctx.get(dut.error) == (LoadError.NONE if done else LoadError.CONFIG)
        ctx.set(dut.restart, 1)
        await ctx.tick()
        assert not ctx.get(dut.done) and not ctx.get(dut.i.ready)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
