"""Memory blocks and multipliers of accelerators, as synthesis counts them."""

import pytest

from prunus.boards.estimate import estimate, memories, shortfall
from prunus.boards.registry import BOARDS
from prunus.hw.config import Config

ICE = dict(
    lanes=1, queue_depth=1, acc_width=24, tile_width=24, act_word=2, act_depth=512,
    channel_depth=128, record_depth=8, program_depth=8, huffman_bits=8, frame_bytes=64,
    tile_depth=1024,
)  # fmt: skip
RESNET = dict(
    pes=0, lanes=8, sparse=False, acc_width=28, tile_width=22, act_depth=3072, channel_depth=52,
    record_depth=47, program_depth=20, columns=8, tile_depth=4859, window=True, adder=True,
    lane_blocks=2,
)  # fmt: skip
WINOGRAD = dict(tile_depth=1691, winograd=4, winograd_filters=4, winograd_depth=1408)


@pytest.mark.parametrize(
    ("board", "fields", "image", "brams", "dsps"),
    [
        ("icebreaker", ICE | dict(pes=0, columns=1, sparse=False), 0, 22, 6),
        ("icebreaker", ICE | dict(pes=0, columns=1, sparse=False, act_word=4), 0, 24, 8),
        ("icebreaker", ICE | dict(pes=1, sparse=False, weight_depth=4096), 0, 23, 5),
        (
            "icebreaker",
            ICE | dict(pes=4, code_bits=4, codebooks=4, weight_depth=1024, acc_rows=32,
                       program_depth=4),
            0, 54, 8,
        ),
        ("ulx3s-85f", RESNET, 75801, 170, 144),
        ("ulx3s-85f", RESNET | WINOGRAD, 75801, 184, 144),
    ],
)  # fmt: skip
def test_blocks_and_multipliers(board, fields, image, brams, dsps):
    used = estimate(BOARDS[board], Config(**fields), image)
    assert (used["BRAM"], used["DSP"]) == (brams, dsps)


def test_each_engine_adds_its_memories():
    plain = set(memories(Config(), 0))
    window = set(memories(Config(window=True, adder=True), 0))
    tables = set(memories(Config(window=True, tables=1), 0))
    dense = set(memories(Config(columns=8, line_depth=8), 0))
    assert window - plain == {"tables"} and tables - window == {"slots"}
    assert dense - plain == {"tiles", "tile sums", "lines"}
    alone = set(memories(Config(pes=0, columns=8, code_bits=4), 0))
    assert plain - alone == {"weights", "accumulators", "pointers", "places"}
    assert set(memories(Config(code_bits=4), 1)) - plain == {"codebooks", "image"}


def test_more_of_anything_takes_more():
    board = BOARDS["ulx3s-85f"]
    steps = [
        dict(pes=8),
        dict(pes=8, columns=8),
        dict(pes=8, columns=8, lane_blocks=2),
        dict(pes=8, columns=8, lane_blocks=2, line_depth=50),
        dict(pes=8, columns=8, lane_blocks=2, line_depth=50, window=True),
        dict(pes=8, columns=8, lane_blocks=2, line_depth=50, window=True, adder=True),
        dict(
            pes=8,
            columns=8,
            lane_blocks=2,
            line_depth=50,
            window=True,
            adder=True,
            winograd=2,
            winograd_filters=4,
        ),
        dict(pes=16, columns=16, lanes=16, act_word=32, line_depth=50, window=True, adder=True),
    ]
    used = [estimate(board, Config(**step), 0) for step in steps]
    for less, more in zip(used, used[1:], strict=False):
        assert less["LUT"] < more["LUT"] and less["FF"] < more["FF"]
    assert not shortfall(board, used[-2])
    assert shortfall(board, used[-1])["DSP"] == (16 + 512 + 64, 156)
