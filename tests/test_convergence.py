"""A router that gets nowhere is noticed, from the lines that it prints."""

from prunus.boards.convergence import Convergence, UnroutableError, watched
from prunus.boards.registry import BOARDS
from prunus.boards.toolchain import FAMILIES, RIPUP

LINE = "Info:     iter={} wires=741 overused={} overuse=9 tmgfail={} archfail=NA"


def test_a_way_for_all_wires():
    counts = [500, 90, 100, 80, *[95] * 40, 60, *[140] * 15]
    router = Convergence("it")
    assert not any(router.gives_up(LINE.format(n, count, 0)) for n, count in enumerate(counts))
    assert router.left == 60 and not router.late
    assert not router.gives_up("Info: Routing complete.")
    assert router.gives_up(LINE.format(99, 141, 0)) and not router.late


def test_wires_that_stay_late():
    counts = [(500, 30), (90, 20), *[(0, 9)] * 31, (0, 8), *[(4, 8)] * 30]
    router = Convergence("it")
    assert not any(router.gives_up(LINE.format(n, *pair)) for n, pair in enumerate(counts))
    assert router.gives_up(LINE.format(99, 0, 8)) and router.late


def test_few_shared_wires_take_their_time():
    router = Convergence("it")
    assert not any(router.gives_up(LINE.format(n, 3, 0)) for n in range(99))
    old = Convergence("it")  # says nothing of late ones
    assert not any(old.gives_up(f"iter={n} wires=9 overused=3 archfail=NA") for n in range(99))


def test_arcs_that_remain():
    """Lines of the router of other families."""
    line = "Info: {:10} |      133       1866 |   94   906 | {:9}|       2.63       7.19|"
    router = Convergence("it")
    remain = [900, 500, *[600] * 100, 400, *[450] * 100]
    assert not any(router.gives_up(line.format(1000 * n, left)) for n, left in enumerate(remain))
    assert router.left == 400
    assert router.gives_up(line.format(1000 * len(remain), 401))
    assert str(router).startswith("it: the router came down to 400 wires")


def start(late):
    """Arguments of the runs of a router, which would go on with :data:`RIPUP` if some are late."""
    made = []

    def run(arguments, watch):
        made.append([*arguments])
        for n in range(99 if RIPUP in arguments else 3):
            watch(LINE.format(n, 0 if late else 9 * n, late))
        return "routed"

    try:
        return made, watched(run, ["--seed", "1", RIPUP, "--json", "top.json"], "it")
    except UnroutableError as error:
        return made, error


def test_a_clock_that_cannot_be_met_keeps_no_router_going():
    """The option that would is left out then."""
    made, result = start(late=5)
    assert result == "routed"
    assert [RIPUP in arguments for arguments in made] == [True, False]
    assert made[1] == ["--seed", "1", "--json", "top.json"]


def test_shared_wires_are_no_reason_to_start_again():
    made, error = start(late=0)
    assert str(error).startswith("it: the router came down to 0 wires")
    assert len(made) == 1


def test_the_option_is_in_use():
    assert RIPUP in FAMILIES["ecp5"].place(BOARDS["ulx3s-85f"], 80_000_000)
