"""PLL dividers; the limits are written down here once more, from the data sheets."""

import bisect
from fractions import Fraction

import pytest
from board_support import MHZ

from prunus.boards.clock import below
from prunus.boards.pll import Ecp5Dividers, ecp5_dividers, ice40_dividers
from prunus.boards.pll_gowin import gowin_dividers
from prunus.boards.registry import BOARDS


def closest(made, wanted):
    """The element of the sorted list ``made`` that is nearest to ``wanted``."""
    at = bisect.bisect(made, wanted)
    return min(made[max(at - 1, 0) : at + 1], key=lambda f: abs(f - wanted))


def check_dividers(find, input_hz, made, clocks):
    """``find`` gives the nearest of the frequencies ``made``, or refuses when it is 1 % away."""
    found = []
    for clock in clocks:
        nearest = closest(made, clock)
        if abs(nearest - clock) > Fraction(clock, 100):
            with pytest.raises(ValueError, match=r"^clock_hz must be within 1 % of .*nearest"):
                find(input_hz, clock)
            continue
        found.append(find(input_hz, clock))
        assert abs(found[-1].output_hz(input_hz) - clock) == abs(nearest - clock)
    assert len(found) > 0.7 * len(clocks)
    return found


@pytest.mark.parametrize("input_hz, step", [(12 * MHZ, 7), (25 * MHZ, 1), (100 * MHZ, 13)])
def test_ecp5_dividers(input_hz, step):
    makes = {
        Fraction(input_hz * multiply, reference * output)
        for reference in range(1, input_hz // (10 * MHZ) + 1)
        for multiply in range(1, 129)
        for output in range(1, 129)
        if 400 * MHZ * reference <= input_hz * multiply <= 800 * MHZ * reference
    }
    makes = sorted(f for f in makes if 3.125 * MHZ <= f <= 400 * MHZ)
    clocks = (*range(4 * MHZ, 401 * MHZ, step * MHZ), 33_333_333, 66_666_667, 79_990_000)
    for got in check_dividers(ecp5_dividers, input_hz, makes, clocks):
        assert all(1 <= n <= 128 for n in (got.reference, got.multiply, got.output))
        assert 10 * MHZ <= Fraction(input_hz, got.reference) <= 400 * MHZ
        assert 400 * MHZ <= Fraction(input_hz * got.multiply, got.reference) <= 800 * MHZ
        assert 3.125 * MHZ <= got.output_hz(input_hz) <= 400 * MHZ


@pytest.mark.parametrize("input_hz, step", [(12 * MHZ, 1), (48 * MHZ, 7)])
def test_ice40_dividers(input_hz, step):
    makes = {
        Fraction(input_hz * (divf + 1), (divr + 1) * 2**divq)
        for divr in range(min(16, input_hz // (10 * MHZ)))
        for divf in range(128)
        for divq in range(1, 7)
        if 533 * MHZ * (divr + 1) <= input_hz * (divf + 1) <= 1066 * MHZ * (divr + 1)
    }
    makes = sorted(f for f in makes if 16 * MHZ <= f <= 275 * MHZ)
    clocks = range(16 * MHZ, 276 * MHZ, step * MHZ)
    for got in check_dividers(ice40_dividers, input_hz, makes, clocks):
        made = got.output_hz(input_hz)
        assert 0 <= got.divr <= 15 and 0 <= got.divf <= 127 and 1 <= got.divq <= 6
        assert 16 * MHZ <= made <= 275 * MHZ
        assert 533 * MHZ <= made * 2**got.divq <= 1066 * MHZ


@pytest.mark.parametrize("input_hz, step", [(27 * MHZ, 1), (50 * MHZ, 7)])
def test_gowin_dividers(input_hz, step):
    makes = {
        Fraction(input_hz * multiply, reference)
        for reference in range(1, 65)
        for multiply in range(1, 65)
        if 3 * MHZ * reference <= input_hz
    }
    makes = sorted(f for f in makes if 3.125 * MHZ <= f <= 600 * MHZ)
    clocks = range(4 * MHZ, 401 * MHZ, step * MHZ)
    for got in check_dividers(gowin_dividers, input_hz, makes, clocks):
        made = got.output_hz(input_hz)
        assert 1 <= got.reference <= 64 and 1 <= got.multiply <= 64
        assert got.vco in (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)
        assert 3 * MHZ <= Fraction(input_hz, got.reference) <= 400 * MHZ
        assert 400 * MHZ <= made * got.vco <= 1200 * MHZ


def test_dividers_refuse():
    for clock in (3 * MHZ, 401 * MHZ):
        with pytest.raises(ValueError, match=r"^clock_hz must be 3.125 to 400 MHz, not \d+ MHz$"):
            ecp5_dividers(25 * MHZ, clock)
    with pytest.raises(ValueError, match=r"^input_hz must be 10 to 133 MHz, not 8 MHz$"):
        ice40_dividers(8 * MHZ, 24 * MHZ)
    with pytest.raises(ValueError, match=r"^clock_hz must be 3.125 to 600 MHz, not 601 MHz$"):
        gowin_dividers(27 * MHZ, 601 * MHZ)
    with pytest.raises(TypeError, match=r"^clock_hz must be an int, not 80.5$"):
        ecp5_dividers(25 * MHZ, 80.5)
    assert ecp5_dividers(25 * MHZ, 80 * MHZ) in (Ecp5Dividers(1, 16, 5), Ecp5Dividers(1, 32, 10))


@pytest.mark.parametrize(
    "name, limit, made",
    [("upduino3", 32.1, 24), ("upduino3", 5.9, None), ("icebreaker", 31.9, 31),
     ("icebreaker", 15.9, 12), ("ulx3s-12f", 70.3, 70), ("ulx3s-12f", 2.0, None)],
)  # fmt: skip
def test_the_fastest_clock_below(name, limit, made):
    assert below(BOARDS[name], limit * MHZ) == (made and made * MHZ)
