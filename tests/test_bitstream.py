# amaranth: UnusedElaboratable=no
"""One small design through the real tools."""

import pytest
from board_support import MHZ, Loopback

from prunus.boards import toolchain
from prunus.boards.build import STAGES, BuildError, build
from prunus.boards.registry import BOARDS


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path / "cache"))


def need(choice, family):
    try:
        toolchain.find_tool("yosys", choice, family.yosys)
        for name in (family.place_tool, family.pack_tool):
            toolchain.find_tool(name, choice)
    except BuildError as error:
        pytest.skip(str(error))


def check_build(board, tools, folder, **options):
    need(tools, toolchain.FAMILIES[board.family])
    calls = []
    result = build(board, Loopback(), folder, tools=tools,
                   progress=lambda stage, note: calls.append(stage), **options)  # fmt: skip
    assert list(dict.fromkeys(calls)) == list(STAGES)
    assert result.bitstream.stat().st_size > 50_000
    assert all(log.stat().st_size for log in result.logs.values())
    assert {kind: has for kind, (_, has) in result.resources.items()} == board.limits
    assert result.resources["BRAM"][0] == 1 and 50 < result.resources["FF"][0] < 200
    assert result.critical_path.delay_ns * result.fmax_mhz == pytest.approx(1000, rel=0.02)
    return result


def test_build_icebreaker(tmp_path):
    result = check_build(BOARDS["icebreaker"], "auto", tmp_path / "out")
    assert result.timing_met and result.clock_mhz == 24.0 and result.fmax_mhz > 24
    too_fast = build(BOARDS["icebreaker"], Loopback(), tmp_path / "out", clock_hz=240 * MHZ)
    assert not too_fast.timing_met and too_fast.clock_mhz == 240.0 and too_fast.fmax_mhz < 240


def test_block_ram_runs_out(tmp_path):
    need("auto", toolchain.FAMILIES["ice40"])
    expected = "it needs 32 BRAM of 30; the nearest board that holds it is tang-nano-9k"
    with pytest.raises(BuildError, match=f"^the design does not fit icebreaker: {expected}$"):
        build(BOARDS["icebreaker"], Loopback(depth=32 * 512), tmp_path / "out")
    assert (tmp_path / "out" / "top.tim").exists()


@pytest.mark.slow
@pytest.mark.parametrize("tools", ["native", "wheel"])
@pytest.mark.parametrize("name", BOARDS)
def test_build_everywhere(tmp_path, name, tools):
    result = check_build(BOARDS[name], tools, tmp_path / "out")
    assert result.timing_met
