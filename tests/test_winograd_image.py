"""Weights of the Winograd unit in an image, its descriptors on the functional model, its costs."""

import numpy as np
import pytest
from dense_image import Image, dense_config, words_of

from prunus.compiler import image as sections
from prunus.compiler.lower_winograd import choices
from prunus.compiler.steps import Sizes
from prunus.hw.image import ImageError, Kind, Section
from prunus.hw.isa import Op
from prunus.hw.winograd.geometry import Geometry
from prunus.sim import ops_conv
from prunus.sim.image import read_sections
from prunus.sim.machine import DescriptorError, Machine

IDENTITY = 1 << 30, 1  # multiplier and shift


def config(**changes):
    fields = dict(winograd=4, winograd_filters=2, winograd_channels=32, winograd_depth=300)
    return dense_config(**(fields | changes))


@pytest.mark.parametrize(("words", "base"), [(1, 0), (1, 299), (70, 7), (300, 0)])
def test_words_are_read_back(words, base):
    chosen = config()
    values = np.random.default_rng(words).choice([-128, -1, 0, 0, 99], (words, 18)).astype(np.int8)
    section, stats = sections.tiles(base, values, chosen, winograd=True)
    assert section.kind == Kind.TILES and stats.places == values.size
    memories = read_sections([sections.network(0, 4, 1, 4, chosen), section], chosen)
    expected = np.zeros((300, 18), np.int8)
    expected[base : base + words] = values
    assert (memories.filters == expected).all() and not memories.tiles.any()


def test_refuses_words_that_do_not_fit():
    chosen = config()
    with pytest.raises(ValueError, match=r"^values must be \(words, at most 18 units\), not"):
        sections.tiles(0, np.zeros((1, 19)), chosen, winograd=True)
    with pytest.raises(ValueError, match=r"^base must leave 2 of 300 words, not 299$"):
        sections.tiles(299, np.zeros((2, 18)), chosen, winograd=True)


@pytest.mark.parametrize(("first", "end"), [(16, 35), (16, 16), (15, 17), (17, 20), (0, 17)])
def test_refuses_units_of_no_memory(first, end):
    chosen = config()
    section, _ = sections.tiles(0, np.ones((4, 18)), chosen, winograd=True)
    payload = bytearray(section.payload)
    payload[3:6] = (first << 12 | end).to_bytes(3, "big")
    parts = [sections.network(0, 4, 1, 4, chosen), Section(Kind.TILES, bytes(payload))]
    with pytest.raises(ImageError, match=r"units from"):
        read_sections(parts, chosen)


def described(chosen, weight, size, padding, zero):
    """An image with one layer, and the words between the pixels of what it writes."""
    outputs, _, _, channels = weight.shape
    (height, width), (top, bottom, left, right) = size, padding
    pixel, out_words = words_of(channels, chosen), words_of(outputs, chosen) + 1
    blocks = -(-outputs // chosen.winograd_filters)
    every = np.zeros((blocks * chosen.winograd_filters, 9, channels), np.int8)
    every[:outputs] = weight.reshape(outputs, 9, channels)
    words = every.reshape(blocks, -1, 9, channels).transpose(0, 3, 1, 2)
    image = Image(chosen, height * width * pixel * chosen.act_word, input_base=3)
    image.parts.append(
        sections.tiles(5, words.reshape(blocks * channels, -1), chosen, winograd=True)[0]
    )
    out = height + top + bottom - 2, width + left + right - 2
    image.layer(
        np.zeros(outputs, np.int64), *IDENTITY, op=Op.WINOGRAD, double_round=1,
        in_base=(3 - top * width * pixel - left * pixel) % (1 << 16), in_zero=zero,
        columns=out[0], outputs=outputs, rows=channels, weight_base=5, out_base=1000,
        clamp_min=-128, clamp_max=127, line_bytes=width * pixel, in_height=height, in_width=width,
        pad_x=left, pad_y=top, step_x=out[1] * out_words, tap_x=pixel, segments=pixel,
        blocks=blocks, out_width=out[1], out_pixels=out[0] * out[1], out_words=out_words,
    )  # fmt: skip
    return image


@pytest.mark.parametrize("channels", [1, 16, 19])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 0, 1)])
def test_descriptors_are_convolutions(padding, channels):
    rng = np.random.default_rng(channels)
    chosen, size = config(), (5, 6)
    weight = rng.integers(-1, 2, (5, 3, 3, channels)).astype(np.int8)
    x = rng.integers(-3, 4, (2, *size, channels)).astype(np.int8)
    stored = rng.integers(-128, 128, (2, *size, words_of(channels, chosen) * 16)).astype(np.int8)
    stored[..., :channels] = x
    machine = Machine(chosen, described(chosen, weight, size, padding, zero=-2).bytes())
    ran = machine.run_batch(stored.reshape(2, -1))
    top, bottom, left, right = padding
    whole = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=-2)
    expected = np.clip(ops_conv.conv_2d(whole, weight, 0), -128, 127)
    assert np.array_equal(ran.layers[0], expected.reshape(2, -1))
    assert ran.macs[0].tolist() == [expected[0].size * 9 * channels] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(rows=33, segments=3), "33 channels, of 32"),
        (dict(segments=2), "2 words for 16 channels"),
        (dict(blocks=4), "4 blocks for 5 outputs"),
        (dict(columns=4), "30 pixels in 4 lines"),
        (dict(step_x=6), "output lines do not follow each other"),
        (dict(weight_base=290), "48 words of weights from 290 on, of 300"),
    ],
)
def test_refuses_descriptors(changes, message):
    weight = np.ones((5, 3, 3, 16), np.int8)
    chosen = config()
    image = described(chosen, weight, (5, 6), (1, 1, 1, 1), zero=0)
    image.program[0] |= changes
    with pytest.raises(DescriptorError, match=f"{message}$"):
        Machine(chosen, image.bytes()).run(np.zeros(480, np.int8))


def test_units_share_the_arrays_multipliers():
    """All of a unit's products but the four with the narrowest kernels of each filter."""
    for word, lanes, expected in ((16, 8, [(4, 4), (2, 8)]), (8, 4, [(4, 1), (2, 2)]),
                                  (8, 2, [(2, 1)]), (4, 2, [])):  # fmt: skip
        sizes = Sizes(word=word, lanes=lanes, columns=lanes, tile_pixels=64, matrices=False)
        assert [(unit.outputs, unit.filters) for unit in choices(sizes)] == expected
    unit = Geometry(outputs=4, filters=4, shares=True)
    shared = unit.shared(dense_config())
    assert len(shared) == 128 and len(set(shared)) == 128
    corners = {(0, 0), (0, 5), (5, 0), (5, 5)}
    assert not corners & {(a, b) for _, a, b in shared}
    assert Geometry(outputs=4, filters=4).shared(dense_config()) == ()
