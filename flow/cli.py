"""The command line: a thin layer on the Python API, and the one place where errors are worded."""

import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence

import click

from .commands.about import boards_command, doctor_command
from .commands.compress import compress_command
from .commands.demo import demo_command
from .commands.hardware import build_command, flash_command, infer_command, verilog_command
from .commands.model import compile_command, report_command, simulate_command
from .terminal import Failed

__all__ = ["cli", "main"]


class _Group(click.Group):
    """Commands in the order in which they are used, not in the alphabet's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            raise click.UsageError(f"no command {args[0]!r}; commands: {', '.join(self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="prunus", message="prunus %(version)s")
def cli() -> None:
    """Compressed neural networks to verified FPGA accelerators, on an open tool chain."""


for _command in (
    demo_command,
    compile_command,
    simulate_command,
    compress_command,
    verilog_command,
    build_command,
    flash_command,
    infer_command,
    report_command,
    boards_command,
    doctor_command,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    0 is success, 1 work that failed, 2 a bad call, 130 an interrupt.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:  # ends what it has started, and clears up, as at an interrupt
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # Amaranth's, of what an error or an interrupt has left half made.
        warnings.filterwarnings("ignore", message=".* created but never used")
    try:
        result = cli.main(given, prog_name="prunus", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # click takes it for the end of its own input
            raise error.__cause__ from None
        return _fail("interrupted", 130, given)
    except BrokenPipeError:  # "prunus ... | head": nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Failed as error:
        return _fail(str(error), 1, [])
    except Exception as error:
        found = _status(error)
        if found is None:
            raise
        return _fail(_message(error), found, given)


def _status(error: Exception) -> int | None:
    """Exit status of an error that was foreseen; None for a bug."""
    if isinstance(error, click.ClickException):
        return 2
    if isinstance(error, ValueError):  # models, graphs, builds, inputs, parameters
        return 2
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, (OSError, MemoryError)) or names & _FAILURES:
        return 1
    return None


# By name: to import them here would be to import everything.
_FAILURES = {"BenchError", "BuildError", "LinkError", "SimulationError", "ToolMissing"}


def _message(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, MemoryError):
        return "out of memory; give a smaller model, fewer samples or fewer PEs"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror or type(error).__name__}"
    return str(error) or type(error).__name__


def _fail(message: str, status: int, arguments: list[str]) -> int:
    """Say it on one line, and as an object to a script that reads one."""
    line = " ".join(message.split())
    click.echo(f"prunus: error: {line}", err=True)
    if "--json" in arguments:
        click.echo(json.dumps({"error": line}))
    return status


if __name__ == "__main__":
    sys.exit(main())
