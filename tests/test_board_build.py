# amaranth: UnusedElaboratable=no
"""Bitstreams: what is built again and what is not, and what each program's failure says."""

import os
import re
from pathlib import Path

import pytest
from board_support import FINE_ICEPACK, FINE_NEXTPNR, FINE_YOSYS, Loopback, fake_tools

from prunus.boards import build as build_module
from prunus.boards.build import STAGES, BuildError, UnroutableError, build
from prunus.boards.registry import BOARDS
from prunus.boards.report import critical_path, overflow
from prunus.boards.result import BuildResult


@pytest.mark.parametrize(
    "seeds, chosen, met", [((1,), 1, False), ((1, 2, 3), 2, False), ((3, 4, 1), 4, True)]
)
def test_best_seed(tmp_path, monkeypatch, seeds, chosen, met):
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, nextpnr_ice40=FINE_NEXTPNR,
               icepack=FINE_ICEPACK)  # fmt: skip
    calls = []
    out = tmp_path / "out"
    result = build(BOARDS["icebreaker"], Loopback(), out, seeds=seeds,
                   progress=lambda *call: calls.append(call))  # fmt: skip
    assert (result.seed, result.timing_met) == (chosen, met)
    assert result.bitstream.read_text() == f"asc {chosen}"
    assert f"seed {chosen}" in result.logs["placement"].read_text()
    assert result.resources == {"LUT": (9, 5280), "FF": (7, 5280)}
    tried = seeds if not met else seeds[: seeds.index(chosen) + 1]
    assert [stage for stage, _ in calls] == ["synthesis", *STAGES[1:] * len(tried)]
    assert BuildResult.load(out) == result
    assert sorted(path.name for path in out.iterdir()) == [
        "report.json", "result.json", "top.bin", "top.rpt", "top.tim"]  # fmt: skip


def test_an_image_for_the_flash(tmp_path, monkeypatch):
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, nextpnr_ice40=FINE_NEXTPNR,
               icepack=FINE_ICEPACK)  # fmt: skip
    board, out = BOARDS["icebreaker"], tmp_path / "out"
    result = build(board, Loopback(), out, image=b"image")
    assert result.image.read_bytes() == b"image" and result.image_offset == board.image_offset
    assert BuildResult.load(out) == result
    assert build(board, Loopback(), out).image is None


def test_unchanged_design_is_not_built_twice(tmp_path, monkeypatch):
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, nextpnr_ice40=FINE_NEXTPNR,
               icepack=FINE_ICEPACK)  # fmt: skip
    ran = []
    original = build_module.run
    monkeypatch.setattr(
        build_module, "run", lambda tool, *rest: ran.append(tool.name) or original(tool, *rest)
    )
    board = BOARDS["icebreaker"]
    first = build(board, Loopback(), tmp_path / "a")
    assert ran == ["yosys", "nextpnr-ice40", "icepack"]
    second = build(board, Loopback(), tmp_path / "b")
    assert len(ran) == 3 and second.bitstream.read_bytes() == first.bitstream.read_bytes()
    build(board, Loopback(), tmp_path / "b", seeds=(2,))  # the netlist is still good
    assert ran[3:] == ["nextpnr-ice40", "icepack"]
    build(board, Loopback(depth=1024), tmp_path / "b")
    assert ran[5:] == ["yosys", "nextpnr-ice40", "icepack"]


@pytest.mark.parametrize(
    "kind, name", [("synth", "top.json.gz"), ("route", "report.json"), ("route", "top.bin")]
)
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: os.truncate(path, 3)])
def test_what_is_damaged_in_the_cache_is_made_again(tmp_path, monkeypatch, kind, name, damage):
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, nextpnr_ice40=FINE_NEXTPNR,
               icepack=FINE_ICEPACK)  # fmt: skip
    board, out = BOARDS["icebreaker"], tmp_path / "out"
    first = build(board, Loopback(), out).as_dict()
    (found,) = (tmp_path / "cache").glob(f"**/{kind}-*/{name}")
    damage(found)
    assert build(board, Loopback(), out).as_dict() == first
    assert found.stat().st_size > 3


STUCK = """
for n in range(1, 60):
    print(f"Info:     iter={n} wires=99 overused={abs(30 - n) * 10 + 7} overuse=9", flush=True)
import time; time.sleep(60)
"""


def test_a_router_that_gets_nowhere_is_stopped(tmp_path, monkeypatch):
    """The next seed is tried, and it is not forgotten which ones failed."""
    stuck = f"seed = sys.argv[sys.argv.index('--seed') + 1]\nif seed != '3':{STUCK}"
    stuck = stuck.replace("\n", "\n    ").replace("\n    if", "\nif")
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, icepack=FINE_ICEPACK,
               nextpnr_ice40=f"{stuck}\n{FINE_NEXTPNR}")  # fmt: skip
    board, out = BOARDS["icebreaker"], tmp_path / "out"
    message = r"^nextpnr-ice40, seed 2: the router came down to 7 wires that are missing .*seeds"
    with pytest.raises(UnroutableError, match=message):
        build(board, Loopback(), out, seeds=(1, 2))
    assert not out.exists()
    assert build(board, Loopback(), out, seeds=(1, 2, 3)).seed == 3
    ran = []
    monkeypatch.setattr(build_module, "run", lambda *call: ran.append(call))
    assert build(board, Loopback(), out, seeds=(1, 2, 3)).seed == 3
    assert not ran


def test_another_seed_where_one_finds_no_place(tmp_path, monkeypatch):
    message = "ERROR: Unable to find legal placement for all cells, design is probably at ..."
    text = "seed = sys.argv[sys.argv.index('--seed') + 1]\n"
    text += f"if seed == '1':\n    open('top.tim', 'w').write({message!r}); sys.exit(1)\n"
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, icepack=FINE_ICEPACK,
               nextpnr_ice40=text + FINE_NEXTPNR)  # fmt: skip
    board, out = BOARDS["icebreaker"], tmp_path / "out"
    with pytest.raises(UnroutableError, match=r"^nextpnr-ice40, seed 1: no placement was found"):
        build(board, Loopback(), out, seeds=(1,))
    with pytest.raises(UnroutableError, match=r"or a smaller accelerator$"):  # that log may be gone
        build(board, Loopback(), tmp_path / "other", seeds=(1,))
    assert build(board, Loopback(), out, seeds=(1, 2)).seed == 2


@pytest.mark.parametrize("broken", ["yosys", "nextpnr-ice40", "icepack"])
def test_failed_step_quotes_the_log(tmp_path, monkeypatch, broken):
    texts = {"yosys": FINE_YOSYS, "nextpnr_ice40": FINE_NEXTPNR, "icepack": FINE_ICEPACK}
    log = {"yosys": "top.rpt", "nextpnr-ice40": "top.tim"}.get(broken)
    lines = "one\\nERROR: first\\nERROR: the last one\\nmore\\n"
    write = f"open({log!r}, 'w').write" if log else "sys.stderr.write"
    texts[broken.replace("-", "_")] = f"{write}('{lines}'); sys.exit(1)"
    fake_tools(tmp_path, monkeypatch, **texts)
    out = tmp_path / "out"
    with pytest.raises(BuildError, match=rf"^{broken}: the last one \(log: (.*)\)$") as caught:
        build(BOARDS["icebreaker"], Loopback(), out)
    kept = re.search(r"\(log: (.*)\)$", str(caught.value))[1]
    assert "ERROR: first" in Path(kept).read_text()
    with pytest.raises(BuildError, match=r"holds no finished build \(result.json is missing\)$"):
        BuildResult.load(out)


CONFLICT = "Driver-driver conflict for a.b [3] between cell c.O and constant 0: Resolved using c."


@pytest.mark.parametrize(
    "text, message",
    [
        (
            f"open('top.json', 'w'); open('top.rpt', 'w').write('Warning: {CONFLICT}')",
            r"two drivers for a.b \[3\] between cell c.O and constant 0",
        ),
        ("import os; os.kill(os.getpid(), 11)", "crashed with signal 11"),
    ],
)
def test_wrong_gates_and_crashes_are_refused(tmp_path, monkeypatch, text, message):
    fake_tools(tmp_path, monkeypatch, yosys=text, nextpnr_ice40=FINE_NEXTPNR,
               icepack=FINE_ICEPACK)  # fmt: skip
    with pytest.raises(BuildError, match=rf"^yosys: {message} \(log: .*top.rpt\)$"):
        build(BOARDS["icebreaker"], Loopback(), tmp_path / "out")


def test_design_without_clock(tmp_path, monkeypatch):
    empty = FINE_NEXTPNR.replace('{"clk": {"achieved": %f, "constraint": 24}}', "{}")
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, icepack=FINE_ICEPACK,
               nextpnr_ice40=empty.replace(" % fmax", ""))  # fmt: skip
    with pytest.raises(BuildError, match=r"^the design has no path between two registers"):
        build(BOARDS["icebreaker"], Loopback(), tmp_path / "out")
    with pytest.raises(ValueError, match=r"^seeds must name at least one seed, not \(\)$"):
        build(BOARDS["icebreaker"], Loopback(), tmp_path / "out", seeds=())


LOG = """Info: Device utilisation:
Info: \t         ICESTORM_LC:  {lc}/ 5280   113%
Info: \t        ICESTORM_RAM:    {ram}/   30    10%
Info: \t        ICESTORM_DSP:     9/    8   112%
ERROR: Unable to place cell 'x', no Bels remaining of type ICESTORM_DSP
"""


@pytest.mark.parametrize(
    "lc, ram, over, hint",
    [
        (100, 3, "9 DSP of 8", "the nearest board that holds it is tang-nano-9k"),
        (30000, 3, "30000 LUT of 5280, 9 DSP of 8", "the nearest board that holds it is ulx3s-45f"),
        (100, 900, "900 BRAM of 30, 9 DSP of 8", "the nearest board that holds it is ulx3s-85f"),
        (99999, 3, "99999 LUT of 5280, 9 DSP of 8", "no board holds it"),
    ],
)
def test_design_that_does_not_fit(tmp_path, monkeypatch, lc, ram, over, hint):
    log = LOG.format(lc=lc, ram=ram)
    fake_tools(tmp_path, monkeypatch, yosys=FINE_YOSYS, icepack=FINE_ICEPACK,
               nextpnr_ice40=f"open('top.tim', 'w').write({log!r}); sys.exit(1)")  # fmt: skip
    expected = f"the design does not fit icebreaker: it needs {over}; {hint}"
    with pytest.raises(BuildError, match=f"^{re.escape(expected)}$"):
        build(BOARDS["icebreaker"], Loopback(), tmp_path / "out")
    assert overflow(BOARDS["icebreaker"], LOG.replace(" 9/", " 8/").format(lc=1, ram=1)) == {}


def test_critical_path():
    def step(kind, delay, to):
        return {"type": kind, "delay": delay, "from": {"cell": "any"}, "to": {"cell": to}}

    slow = [
        step("clk-to-q", 0.5, "core.pe_0.acc_TRELLIS_FF_Q_3"),
        step("routing", 2.0, "core.sum_LUT4_Z_1"),
        step("logic", 0.25, "core.sum_LUT4_Z_1"),
        step("routing", 1.0, "core.out_TRELLIS_FF_Q"),
        step("setup", 0.0, "core.out_TRELLIS_FF_Q"),
    ]
    clk = "posedge clk"
    report = {"critical_paths": [
        {"from": "<async>", "to": clk, "path": [step("routing", 99.0, "pin")]},
        {"from": clk, "to": clk, "path": slow},
    ]}  # fmt: skip
    path = critical_path(report)
    assert str(path) == "core.pe_0.acc to core.out: 3.8 ns, of which 3.0 ns routing, 1 levels"
    assert critical_path({"critical_paths": []}) is None
