"""Layouts, costs, divisions and the filling of tables: what the lowering is made of."""

import numpy as np
import pytest

from prunus.compiler.cost import best_tile, conv_cycles, depthwise_cycles, window_cycles
from prunus.compiler.ir import GraphError
from prunus.compiler.layout import Layout, common_runs, joined, packed, standard
from prunus.compiler.lower_window import EXACT, average_scaling, window
from prunus.compiler.plan_tables import FILL, schedule
from prunus.compiler.steps import Sizes, Table, check_fields
from prunus.hw.isa import Mode
from prunus.sim.ops import requantize
from prunus.sim.ops_pool import divide_away

SIZES = Sizes(word=16, lanes=8, columns=8, tile_pixels=64, matrices=False)


@pytest.mark.parametrize("count", [*range(1, 70), 125, 127, 128, 1000, 2304, 4095, 4096])
def test_every_total_is_divided_exactly(count):
    totals = np.arange(-128 * count, 127 * count + 1)
    s = average_scaling(count, (-128, 127))
    rounding = "double" if s.double_round else "single"
    got = requantize(totals, s.multiplier, -s.shift, rounding, 0, -128, 127)
    assert np.array_equal(got, divide_away(totals, count))
    assert 1 << 30 <= s.multiplier[0] < 1 << 31 and 0 <= s.shift[0] < 32


def test_the_ends_of_large_averages():
    for count in (1 << 20, (1 << 21) - 1, 1 << 21):
        halves = np.arange(-255, 256) * count // 2
        totals = np.unique(np.clip(halves[:, None] + np.arange(-3, 4), -128 * count, 127 * count))
        s = average_scaling(count, (-128, 127))
        got = requantize(totals, s.multiplier, -s.shift, "single", 0, -128, 127)
        assert np.array_equal(got, divide_away(totals, count))
    with pytest.raises(GraphError, match=r"^average of 8388608 values: at most 4194304"):
        average_scaling(1 << 23, (-128, 127))


def test_copies_are_exact():
    x = np.array([-(1 << 29), -129, -128, -1, 0, 1, 127, 1 << 29])
    for rounding in ("single", "double"):
        got = requantize(x, EXACT.multiplier, -EXACT.shift, rounding, 0, -(1 << 31), 1 << 31)
        assert got.tolist() == x.tolist()


def test_images():
    image = standard("t", (3, 4, 20), 16).image(16)
    assert (image.height, image.width, image.pitch, image.bytes) == (3, 4, 32, 20)
    assert image.aligned(16) and image.lines(1, 2).start == 128
    assert image.layout((3, 4, 20)).positions[2, 3, 19] == 11 * 32 + 19
    narrow = packed("t", (3, 4, 5)).image(16)
    assert narrow.pitch == 5 and not narrow.aligned(16)
    assert standard("t", (4, 6, 5), 16).reshaped((2, 5, 12)).image(16) is None
    part = narrow.part(np.array([3, 4]), 2)
    assert part.start == 2 and part.channels.tolist() == [1, 2]


def test_runs():
    assert packed("t", (3, 5)).runs(16).size == 15
    assert packed("t", (4, 8)).runs(16).count == 2
    gaps = standard("t", (3, 4, 20), 16).reshaped((240,))
    runs = gaps.runs(16)
    assert (runs.count, runs.size, runs.pitch) == (12, 20, 32)
    whole, parts = joined("t", [(2, 3, 5), (2, 3, 16)], 2, 16)
    assert whole.runs(16) is None and parts[1].runs(16).start == 16
    first, second = common_runs([standard("a", (2, 3, 16), 16), parts[1]], 16)
    assert (first.count, first.pitch) == (6, 16) and (second.count, second.pitch) == (6, 32)
    assert common_runs([packed("a", (2, 3, 5)), parts[0]], 16) is None
    assert Layout("t", np.array([3, 4])).runs(16) is None


def test_costs():
    # 64 pixels at a time keep the array busy; a single pixel waits for weights.
    assert conv_cycles(SIZES, 64, 1024, 9, 16) == 9 * 1024 + 128 + 71
    assert conv_cycles(SIZES, 1, 1, 4, 16) == 4 * 16 + 2 + 71
    assert conv_cycles(SIZES, 64, 64, 1, 32) == 64 + 128 + 128 + 71  # drains take longer
    assert conv_cycles(SIZES, 16, 64, 1, 16) == 16 + 32 + 2 * 44 + 32 + 71  # banks are waited for
    for pixels, taps, outputs in [(1, 1, 1), (125, 4, 64), (1000, 9, 40), (36, 2, 17)]:
        tile, cycles = best_tile(SIZES, pixels, taps, outputs)
        every = [
            conv_cycles(SIZES, t, pixels, taps, outputs) for t in range(1, min(65, pixels + 1))
        ]
        assert cycles == min(every) == conv_cycles(SIZES, tile, pixels, taps, outputs)
    assert depthwise_cycles(SIZES, 8, 27, 6) == 8 * (162 + 5) + 64
    assert depthwise_cycles(SIZES, 3, 3, 3) == 3 * 25 + 64  # the next block's weights are loaded
    assert window_cycles(SIZES, 20, 10, 1) == 10 * 3 + 34
    assert window_cycles(SIZES, 64, 1, 125) == 500 + 34


def steps_of(plans, cycles=1000):
    """Window steps with these tables; others run for ``cycles``."""
    image = standard("t", (1, cycles, 8), 16).image(16)
    result = []
    for tables in plans:
        mode = {0: Mode.SUM, 1: Mode.LUT, 2: Mode.ADD}[len(tables)]
        result.append(
            window(SIZES, image, image, EXACT, 8, mode=mode, second=image if tables[1:] else None,
                   tables=tuple(Table(values=name.encode()) for name in tables))
        )  # fmt: skip
    return result


def filled(plans, cycles=1000):
    fills, halves = schedule(steps_of(plans, cycles))
    return [[(fill.half, fill.table.values.decode()) for fill in some] for some in fills], halves


def test_tables_are_filled_while_other_layers_run():
    fills, _ = filled(["", "", "", "ab"])
    assert fills == [[], [(0, "a")], [(1, "b")], []]
    fills, halves = filled(["", "a", "", "b", "b", "a"])
    assert fills == [[(0, "a")], [], [(1, "b")], [], [], []]
    assert [halves[n] for n in (1, 3, 4, 5)] == [0, 1, 1, 0]


def test_tables_are_not_overwritten_while_they_are_needed():
    fills, _ = filled(["ab", "cd", "cd"])
    assert fills == [[(0, "a"), (1, "b")], [(0, "c"), (1, "d")], []]
    fills, _ = filled(["", "", "", "ab"], cycles=FILL // 2 - 60)
    assert sum(map(len, fills)) == 2 and not fills[3]


def test_what_a_descriptor_has_no_room_for():
    check_fields("n", {"taps_x": 255})
    with pytest.raises(GraphError, match=r"^n: too large for the hardware, taps of a line: 256, "):
        check_fields("n", {"taps_x": 256})
