"""The parameters of an accelerator: what is refused, and what follows from them."""

import dataclasses

import pytest

from prunus.hw.bus import WriteBus
from prunus.hw.config import Config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(pes=257), "pes must be 0 to 256, not 257"),
        (dict(lanes=0), "lanes must be 1 to 64, not 0"),
        (dict(lanes=3), "lanes must be a power of two, not 3"),
        (dict(act_word=12), "act_word must be a power of two, not 12"),
        (dict(act_word=4), r"lanes must divide act_word \(4\), not 8"),
        (dict(pes=12), r"pes must be a multiple of lanes \(8\), not 12"),
        (dict(pes=0), "pes must be positive where there are no columns, not 0"),
        (dict(columns=4), r"columns must be 0 or lanes \(8\), not 4"),
        (
            dict(columns=8, act_word=8),
            "act_word must be a multiple of 16, two outputs of each column, not 8",
        ),
        (dict(winograd=3), "winograd must be 0, 2 or 4, not 3"),
        (dict(winograd=4), "winograd must be 0 without columns, not 4"),
        (
            dict(winograd=4, columns=8, winograd_filters=3),
            r"winograd_filters must divide lanes \(8\), not 3",
        ),
        (dict(line_depth=9), "line_depth must be 0 without columns, not 9"),
        (dict(tables=1), "window must be True where there is an adder or a table, not False"),
        (dict(adder=True), "window must be True where there is an adder or a table, not False"),
        (dict(lane_blocks=3), "lane_blocks must be 2 or 4, not 3"),
        (dict(tile_pixels=8), "tile_pixels must be 16 to 512, not 8"),
    ],
)
def test_refuses(fields, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Config(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(pes="4"), "pes must be an int, not '4'"),
        (dict(pes=True), "pes must be an int, not True"),
        (dict(window=1), "window must be a bool, not 1"),
    ],
)
def test_refuses_other_kinds(fields, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        Config(**fields)


def test_without_pes_nothing_has_their_bits():
    config = Config(pes=0, columns=8)
    assert (config.pe_bits, config.row_bits) == (0, 0)
    assert (config.tile_outputs, config.line_taps) == (16, 5)
    assert Config().tile_outputs == 0
    assert config.tile_units == 16
    assert Config(columns=8, winograd=2, winograd_filters=4).tile_units == 16 + 36


def test_descriptors_are_long_where_an_engine_needs_it():
    assert Config().descriptor_words == 8
    assert Config(columns=8).descriptor_words == Config(window=True).descriptor_words == 16


def test_the_bus_is_as_wide_as_the_widest_memory():
    def bits(**fields):
        members = WriteBus(Config(**fields)).members
        return members["address"].shape.width, members["data"].shape.width

    assert bits() == (12, 39)
    assert bits(pes=0, columns=8, weight_depth=2, pointer_depth=2) == (8, 36)
    assert bits(columns=8, tile_depth=5000)[0] == 13
    assert bits(columns=8, winograd=4, winograd_depth=5000)[0] == 13
    assert bits(window=True, tables=40)[0] == 14
    assert bits(window=True, program_depth=1000)[0] == 14


def test_the_hash_is_of_what_an_image_depends_on():
    config = Config()
    for name in ("queue_depth", "frame_bytes", "trace"):
        value = True if name == "trace" else 2 * getattr(config, name)
        assert dataclasses.replace(config, **{name: value}).hash == config.hash
    assert dataclasses.replace(config, winograd_depth=9).hash == config.hash  # there is no unit
    unit = Config(columns=8, winograd=4)
    assert unit.hash != Config(columns=8).hash
    assert dataclasses.replace(unit, winograd_depth=9).hash != unit.hash
    for fields in (dict(tile_depth=9), dict(window=True), dict(lane_blocks=2), dict(lanes=4)):
        assert Config(**fields).hash != config.hash
