"""The commands in ``benchmarks``: their networks, limits and tables, without the long runs."""

import importlib.util
import re
import sys

import pytest
from support import ROOT

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
