"""Symbols that are several members, and zeros of tiles that are runs, through the loader."""

import numpy as np
import pytest
from load_support import apply_writes, differences, small
from loading import check, check_damaged, load

from prunus.compiler import image as sections
from prunus.compiler import image_weights, weight_codes
from prunus.compiler.huffman import pack_bits
from prunus.compiler.image import WeightLayout
from prunus.hw.image import ImageError, Kind, LoadError, Section, pack
from prunus.sim.image import read_image

ARRAY = dict(pes=0, lanes=2, act_word=4, columns=2, tile_depth=90, huffman_bits=8, code_groups=True)
BOTH = dict(
    pes=2,
    lanes=2,
    columns=2,
    tile_depth=90,
    weight_depth=250,
    acc_rows=8,
    huffman_bits=9,
    code_groups=True,
)
FORMS = ("groups of 8", "groups of 4", "groups of 2")
LONG = weight_codes.Coded("raw", 2, np.zeros(0, int), np.zeros(0, int), 1 << 40)
HEADER = [24, 24, 16, 16, 8, 8, 8]


def image(config, *parts):
    return pack([sections.network(1, 2, 3, 4, config), *parts], config.hash)


def made(monkeypatch, mapped, build, dense):
    """A section in the form that ``mapped`` says, short or not; ``dense``: without runs."""
    with monkeypatch.context() as patched:
        patched.setattr(weight_codes, "_size", lambda coded: (coded.mapped != mapped, coded.bits))
        if dense:
            patched.setattr(image_weights, "sparse_code", lambda *_, **__: None)
        else:
            patched.setattr(image_weights, "dense_code", lambda *_, **__: LONG)
        section, stats = build()
    assert section.payload[12] == mapped
    return section, stats


def tile(monkeypatch, config, form, seed=0):
    """A section of tiles of a form."""
    rng = np.random.default_rng(seed)
    mapped, values, share = {
        "groups of 8": (17, [-7, 9], [0.9, 0.1]),
        "groups of 4": (33, [-7, 9, 4], [0.8, 0.1, 0.1]),
        "groups of 2": (65, [5, -7, 9, 4, 0], [0.6, 0.1, 0.1, 0.1, 0.1]),
        "joint": (65, [0, *range(60, 69)], [0.91, *[0.01] * 9]),
        "two pairs": (33, [0, 70], [0.88, 0.12]),
        "separate": (1, [0, *range(60, 85)], [0.75, *[0.01] * 25]),
    }[form]
    drawn = rng.choice(values, (80, 4), p=share)
    dense = form in FORMS
    section, stats = made(monkeypatch, mapped, lambda: sections.tiles(5, drawn, config), dense)
    assert stats.form == {"two pairs": "joint"}.get(form, form)
    return section


@pytest.mark.parametrize("changes", [ARRAY, BOTH | dict(code_bits=4), ARRAY | dict(tile_runs=True)],
                         ids=["array", "both", "runs"])  # fmt: skip
def test_tiles(changes, monkeypatch):
    config = small(**changes)
    forms = [*FORMS, "two pairs", *(["separate"] if config.tile_runs else ["joint"])]
    # One behind the other: nothing is left over from the section before.
    parts = [tile(monkeypatch, config, form) for form in forms]
    check(config, image(config, *parts), settle=4000)


@pytest.mark.parametrize("code_bits", [1, 3, 8])
@pytest.mark.parametrize("changes", [dict(pes=4, code_groups=True), BOTH], ids=["pes", "both"])
def test_weights(changes, code_bits, monkeypatch):
    config = small(**(changes | dict(code_bits=code_bits, weight_depth=250, huffman_bits=8)))
    rng = np.random.default_rng(code_bits)
    values = np.array({1: [0, 1], 3: [7, 1, 2], 8: [200, 3, 77, 9, 255]}[code_bits])
    parts = []
    for bits, density in ((1, None), (2, None), (4, None), (1, 0.9), (2, 0.6), (4, 0.05)):
        some = values[: 1 << bits if density is None or bits > 1 else 1]
        codes = rng.choice(some, (config.pes, 11, 5))
        layer = WeightLayout(codes, None if density is None else rng.random(codes.shape) < density)

        def build(layer=layer):
            return sections.weights(layer, config)

        parts.append(made(monkeypatch, 1 + 16 * bits, build, density is None))
    assert [stats.form for _, stats in parts] == [*FORMS, "joint", "joint", "joint"]
    check(config, image(config, *(section for section, _ in parts)), settle=4000, gaps=0.2)


def test_cycles_of_members(monkeypatch):
    """Three for a symbol and two for each of its members."""
    config = small(**ARRAY | dict(tile_depth=400))
    rng = np.random.default_rng(0)
    for bits in (1, 2, 4):
        values = rng.integers(3, 3 + (1 << bits), (80, 4))
        values[:40] = values[40:]  # so that the tables are the same
        parts = [
            made(monkeypatch, 1 + 16 * bits, lambda v=v: sections.tiles(0, v, config), True)[0]
            for v in (values[:40], values)
        ]
        some, most = (check(config, image(config, part), settle=3500)[0].cycles for part in parts)
        size = 8 // bits
        expected = 160 // size * 3 + 160 * 2
        # A column of a unit takes no more time; nor do bytes, at the most one a cycle.
        assert abs(most - some - expected) < 20


def by_hand(config, kind, *, mapped, names=(), runs=0, lengths=(1, 1), stream=(), sizes=(2, 1),
            bases=(0, 1)):  # fmt: skip
    fields = [*zip([*bases, *sizes, runs, len(lengths) - 1, mapped], HEADER, strict=True)]
    fields += [(name, 8) for name in names] + [(length, 4) for length in lengths] + [*stream]
    section = Section(kind, pack_bits(*zip(*fields, strict=True)))
    return image(config, section)


def test_headers_that_are_none():
    """One step further is refused, by the loader and by the model."""
    config = small(**BOTH | dict(code_bits=4))
    array = small(**ARRAY)
    tiles, pes = Kind.TILES, Kind.WEIGHTS
    word = [(0, 1)]
    two, four = [3, 4], [3, 4, 0, 1]
    cases = {
        "two bits": (config, tiles, dict(mapped=17, names=two), dict(mapped=16, names=two)),
        "raw": (config, tiles, dict(mapped=17, names=two), dict(mapped=18, names=two)),
        "three": (config, tiles, dict(mapped=33, names=[1] * 4), dict(mapped=49, names=[1] * 8)),
        "eight": (config, tiles, dict(mapped=65, names=[1] * 16), dict(mapped=129, names=[1] * 99)),
        "low": (config, tiles, dict(mapped=1, names=two), dict(mapped=5, names=two)),
        "wide": (config, pes, dict(mapped=17, names=[15, 1]), dict(mapped=17, names=[1, 16])),
        "wide run": (
            config, pes, dict(mapped=17, names=[15, 1, 0, 255], runs=1),
            dict(mapped=17, names=[15, 17, 0, 255], runs=1),
        ),
        "runs": (
            array, tiles, dict(mapped=17, names=four, runs=1), dict(mapped=0, runs=1),
        ),
        "most runs": (
            array, tiles, dict(mapped=17, names=four, runs=8), dict(mapped=17, names=four, runs=9),
        ),
        "a word": (
            array, tiles, dict(mapped=17, names=two, lengths=(1, 0)),
            dict(mapped=17, names=two, lengths=(0, 1), stream=[(1, 1)]),
        ),
    }  # fmt: skip
    images = {config: [], array: []}
    for name, (one, kind, good, bad) in cases.items():
        for n, fields in enumerate((good, bad)):
            made = by_hand(one, kind, **({"stream": word * 16} | fields))
            images[one].append((name, n, made))
    for one, made in images.items():
        results = load(one, *(raw for *_, raw in made), settle=900)
        for (name, n, raw), result in zip(made, results, strict=True):
            assert (name, result.done) == (name, 1 - n)
            if n:
                assert result.error in (LoadError.SECTION_LENGTH, LoadError.CODE), name
                with pytest.raises(ImageError):
                    read_image(raw, one)
            else:
                memories = apply_writes(result.writes, result.network, one)
                assert (name, differences(memories, read_image(raw, one))) == (name, [])


@pytest.mark.parametrize("number", range(5))
def test_behind_a_good_crc_it_agrees_with_the_model(number, monkeypatch):
    """What is wrong in a payload is refused as the model does, and what is not is loaded."""
    changes = BOTH | dict(
        code_bits=2,
        weight_depth=40,
        acc_rows=6,
        tile_depth=30,
        huffman_bits=6,
        tile_runs=number == 4,
    )
    config = small(**changes)
    rng = np.random.default_rng(7)
    codes = rng.choice([0, 3, 1], (2, 6, 4), p=[0.8, 0.1, 0.1])
    present = rng.random(codes.shape) < 0.7
    few = rng.choice([0, 5, -6], (20, 4), p=[0.9, 0.05, 0.05])
    many = few * np.arange(1, 21)[:, None]
    mapped, build = [
        (17, lambda: sections.weights(WeightLayout(np.minimum(codes, 1), None, 3), config)),
        (33, lambda: sections.weights(WeightLayout(codes, present, 3, 2), config)),
        (65, lambda: sections.tiles(4, np.where(few == 0, 9, few), config)),
        (33, lambda: sections.tiles(4, few, config)),
        (1, lambda: sections.tiles(4, many, config)),
    ][number]
    part, stats = made(monkeypatch, mapped, build, number in (0, 2))
    assert (stats.run_width > 0) == (number in (1, 3, 4))
    good = part.payload
    images = []
    for bit in range(number, 8 * len(good), max(3, 8 * len(good) // 16)):
        payload = bytearray(good)
        payload[bit // 8] ^= 0x80 >> bit % 8
        images.append(image(config, Section(part.kind, bytes(payload))))
    for result in check_damaged(config, *images, settle=1900):
        for target, unit, address, _ in result.writes:  # nothing was ever written out of range
            depth = [config.weight_depth, config.pointer_depth, 4, 5, 4, 64, 30, 256][target]
            assert unit < 4 and address < depth
