"""The README's Python runs, and its commands exist."""

import re
import shlex

import click
import pytest
from support import ROOT

from prunus.flow.cli import cli

TEXT = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


def commands():
    lines = (line for block in blocks("sh") for line in block.splitlines())
    return [shlex.split(line, comments=True) for line in lines if line.startswith("prunus ")]


def test_python_runs(capsys):
    (block,) = blocks("python")
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out.strip()
    # The figure may move with scikit-learn's training; that it is exact may not.
    assert re.fullmatch(r"\d+\.\d times smaller, bit-exact: True", printed)
    assert re.search(r"prints `\d+\.\d times smaller, bit-exact: True`", TEXT)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_parse(words):
    """Every option is known, and none that is required is left out."""
    name, command, arguments = cli.resolve_command(click.Context(cli), words[1:])
    command.make_context(name, arguments)
