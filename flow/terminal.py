"""What the commands share: one JSON object or a table, progress on standard error, errors."""

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

__all__ = [
    "Failed",
    "InputError",
    "json_option",
    "progress",
    "say",
    "show",
    "temporary_name",
    "writable",
]

F = TypeVar("F", bound=Callable[..., Any])
Report = Callable[[str, int, int], None]  # what, done, of (0: not known)


class InputError(ValueError):
    """A file that cannot be used, or written; the message begins with its name."""


class Failed(RuntimeError):
    """Work whose result was shown, and is a failure; one line."""


def json_option(command: F) -> F:
    """``--json``, on every command."""
    text = "Print one JSON object on standard output, and nothing else there."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def show(value: dict[str, Any], as_json: bool, draw: Callable[[Console], None]) -> None:
    """The result of a command: ``value`` as JSON, or what ``draw`` makes of it."""
    if as_json:
        click.echo(json.dumps(value))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 120  # a file has no right edge
        draw(console)


def say(line: str) -> None:
    """A line on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(line))


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """A function that shows how far the work is: bars on a terminal, a line a step elsewhere."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        with _Lines() as lines:
            yield lines.report
        return
    columns = (
        TextColumn("{task.description:<38}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def bar(what: str, done: int, of: int) -> None:
            if what not in tasks:
                for task in tasks.values():  # the step before is over
                    whole = bars.tasks[task].total
                    bars.update(task, total=whole or 1, completed=whole or 1)
                    bars.stop_task(task)
                tasks[what] = bars.add_task(what, total=of or None)
            bars.update(tasks[what], completed=done, total=of or None)

        yield bar


class _Lines:
    """A line for each step that takes two seconds, where there is no terminal to draw on."""

    def __init__(self) -> None:
        self._step = ""
        self._timer: threading.Timer | None = None

    def report(self, what: str, done: int, of: int) -> None:
        if what == self._step:
            return
        self._cancel()
        self._step = what
        self._timer = threading.Timer(2.0, click.echo, (f"{what} ...",), {"err": True})
        self._timer.daemon = True
        self._timer.start()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel()


def writable(path: Path) -> Path:
    """``path``, when a file can be written there; asked before long work, not after it."""
    folder = path.absolute().parent
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if not folder.is_dir():
        raise InputError(f"{path}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: the folder {folder} cannot be written to")
    return path


@contextlib.contextmanager
def temporary_name(path: Path) -> Iterator[Path]:
    """A name to write to; the file takes the place of ``path`` once it is complete."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as folder:
        scratch = Path(folder) / path.name
        yield scratch
        os.replace(scratch, path)
