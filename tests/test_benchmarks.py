"""The commands in ``benchmarks``: their networks, limits and tables, without the long runs."""

import argparse
import importlib.util
import re
import sys
from types import SimpleNamespace

import pytest
from networks import random_network
from support import ROOT

from prunus.boards.registry import BOARDS
from prunus.flow.compile import compile_graph

sys.path.insert(0, str(ROOT / "benchmarks"))  # where a command finds what it shares with others


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def networks():
    return load("networks")


ROW = {
    "network": "kws",
    "macs": 1000,
    "multipliers": 128,
    "requantization_multipliers": 16,
    "cycles": 20_000,
    "most_cycles": 20_000,
    "most_multipliers": 144,
    "utilization": 0.5,
    "rom_bytes": 10,
    "weight_bytes": 20,
    "activation_bytes": 30,
    "equal": True,
    "layers": [
        {"name": "a", "engine": "systolic", "macs": 1000, "cycles": 9, "utilization": 0.25},
        {"name": "b", "engine": "window", "macs": 0, "cycles": 5, "utilization": 0.0},
    ],
}


@pytest.mark.parametrize(
    "change",
    [{"equal": False}, {"cycles": 20_001}, {"multipliers": 129}],
    ids=lambda change: next(iter(change)),
)
def test_limits(networks, change):
    assert networks.good(ROW)
    assert not networks.good(ROW | change)


def test_peers_have_no_limit(networks):
    row = {key: value for key, value in ROW.items() if not key.startswith("most_")}
    assert networks.good(row | {"cycles": 10**9, "nngen_cycles": 1, "nngen_multipliers": 4})


def test_table(networks):
    lines = networks.table([ROW])
    cells = [line.count("|") for line in lines[:3]]
    assert cells == [cells[0]] * 3
    assert lines[2].startswith("| kws | 1,000 | 128 + 16 | 20,000 | 20,000 | 1.00 | 50.0% |")
    assert lines[-2:] == ["| a | systolic | 1,000 | 9 | 25.0% |", "| b | window | 0 | 5 |  |"]


@pytest.mark.parametrize("name, macs", [("nngen-mlp", 101_632), ("nngen-cnn", 15_403_520)])
def test_peers_have_the_multipliers_that_nngen_has(networks, name, macs):
    build, x, _ = networks.peer(name, 1)
    assert build.macs == macs
    assert len(x) == 1
    assert sum(networks.multipliers(build.config).values()) <= networks.PEERS[name][0]


def test_unknown_network(networks, capsys):
    with pytest.raises(SystemExit) as error:
        networks.main(["resnet"])
    assert error.value.code == 2
    assert re.search(r"NETWORK must be of kws, .*, not 'resnet'$", capsys.readouterr().err.strip())


@pytest.mark.parametrize("name", ["eie_table3", "eie_resources", "winograd_resources", "sim_speed"])
def test_help(name, capsys):
    module = load(name)
    with pytest.raises(SystemExit) as error:
        module.main(["--help"])
    assert error.value.code == 0
    assert module.__doc__.partition("\n")[0].split(":")[0] in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.fixture(scope="module")
def winograd():
    return load("winograd")


def test_winograd_layers_are_those_of_ic(winograd):
    macs = [winograd.layer(*size).nodes[0].consts["weight"].size * size[0] ** 2
            for size in winograd.LAYERS]  # fmt: skip
    assert macs == [32 * 32 * 9 * 16 * 16] * 4


def test_winograd_tables(winograd):
    layer = {
        "layer": "8x8x64", "macs": 1440, "cycles": 10, "predicted": 11, "systolic": 20,
        "multipliers": 36, "macs_per_multiplier": 4.0, "equal": True,
    }  # fmt: skip
    network = {
        "network": "ic", "macs": 5000, "systolic": 900, "winograd": 500, "winograd_predicted": 501,
        "equal": False,
    }  # fmt: skip
    lines = winograd.table([layer], [network])
    assert lines[2] == "| 8x8x64 | 1,440 | 10 | 11 | 20 | 4.00 | yes |"
    assert lines[-1] == "| ic | 5,000 | 900 | 500 | 501 | NO |"
    assert len(winograd.table([layer], [])) == 3


def test_open_division_without_its_data(tmp_path, monkeypatch, capsys):
    module = load("open_division")
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path))
    for name, message in (
        ("vww", "NETWORK must be of kws, ad, not 'vww'"),
        ("ad", "mlperf_tiny: not found; set PRUNUS_DATA"),
    ):
        with pytest.raises(SystemExit):
            module.main([name])
        assert message in capsys.readouterr().err


def test_words_are_moved_by_whole_frames():
    torch = pytest.importorskip("torch")
    module = load("open_division")
    x = torch.arange(20.0).reshape(1, 20, 1, 1).repeat(50, 1, 1, 1)
    found = module.moved(x, torch.Generator().manual_seed(0)).reshape(50, 20)
    shifts = {round(float(row[10])) - 10 for row in found}
    assert shifts <= set(range(-4, 5)) and len(shifts) > 5
    assert all((row.diff() >= 0).all() and row.min() >= 0 and row.max() <= 19 for row in found)


@pytest.fixture(scope="module")
def boards():
    return load("boards")


MEASURED = {
    "board": "icebreaker",
    "model": "digits",
    "clock_mhz": 24.0,
    "routed_mhz": 30.5,
    "timing_met": True,
    "resources": {"LUT": [4800, 5280], "FF": [2500, 5280], "BRAM": [29, 30], "DSP": [5, 8]},
    "cycles": 1200,
    "latency_ms": 0.05,
}


def test_a_row_for_each_board_and_model(boards, monkeypatch, capsys):
    asked = []

    def measure(board, model, options):
        asked.append((board.name, model))
        return MEASURED | {"board": board.name, "model": model, "timing_met": model != "kws"}

    monkeypatch.setattr(boards, "measure", measure)
    assert boards.main([]) == 0
    assert [board for board, _ in asked] == list(boards.BOARDS)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["board", "model", "clock"] and len(lines) == len(boards.BOARDS)
    assert lines[0].split() == [
        "icebreaker", "digits", "24.0", "30.5", "4800", "2500", "29", "5", "-", "1,200", "0.0500",
    ]  # fmt: skip
    monkeypatch.setenv("PRUNUS_DATA", "somewhere")
    assert boards.main(["ulx3s-85f", "--models", "kws,ic"]) == 1
    assert "timing missed" in capsys.readouterr().out.splitlines()[1]
    assert asked[-2:] == [("ulx3s-85f", "kws"), ("ulx3s-85f", "ic")]


def test_a_network_that_does_not_fit_is_a_row(boards, monkeypatch, capsys):
    def network(*_):
        raise boards.FitError("icebreaker: too small")

    monkeypatch.setattr(boards, "network", network)
    assert boards.main(["icebreaker"]) == 1
    assert capsys.readouterr().out.splitlines()[1].split(maxsplit=2)[2] == "icebreaker: too small"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["icebraker"], "BOARD must be of icebreaker, "), (["--models", "x"], "--models must be of "),
     (["--models", "kws"], "PRUNUS_DATA must name the folder")],
)  # fmt: skip
def test_bad_calls(boards, monkeypatch, capsys, arguments, message):
    monkeypatch.delenv("PRUNUS_DATA", raising=False)
    with pytest.raises(SystemExit):
        boards.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("board", ["ulx3s-25f", "tang-nano-9k"])
def test_cycles_are_measured_once(boards, monkeypatch, tmp_path, board):
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path))
    graph = random_network([16, 8, 4])
    monkeypatch.setattr(boards, "digits_network", lambda: graph)
    monkeypatch.setattr(
        boards, "compile_graph", lambda g, calibration, **rest: compile_graph(g, **rest)
    )
    build, inputs = boards.network("digits", boards.BOARDS[board], "auto", 3)
    assert inputs.shape == (3, 64)
    ran = []

    def simulated(*arguments):
        ran.append(arguments)
        return SimpleNamespace(bit_exact=True, cycles=[30, 50, 40])

    monkeypatch.setattr(boards, "simulate", simulated)
    assert [boards.most_cycles(build, inputs) for _ in range(2)] == [50, 50]
    assert len(ran) == 1
    assert boards.most_cycles(build, inputs[:1]) == 50 and len(ran) == 2
    monkeypatch.setattr(boards, "simulate", lambda *_: SimpleNamespace(
        bit_exact=False, first_mismatches=["here"]))  # fmt: skip
    with pytest.raises(ArithmeticError, match=r"^the gates differ: here$"):
        boards.most_cycles(build, inputs[:2])


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
def test_default_networks_meet_timing(boards, tmp_path, board):
    options = argparse.Namespace(
        engine="auto", samples=2, output=tmp_path, clock=None, seeds=4, tools="auto"
    )
    row = boards.measure(BOARDS[board], "digits", options)
    assert row["timing_met"] and row["cycles"] > 0
    assert (tmp_path / f"{board}-digits" / "result.json").is_file()
