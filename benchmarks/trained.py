"""Command lines of benchmarks that train networks."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data import needed

from prunus.compiler.train.extra import need_train

__all__ = ["notify", "read_arguments", "training_parser"]


def training_parser(
    text: str, names: Sequence[str], samples: int, of_what: str
) -> argparse.ArgumentParser:
    """Options that they have in common: networks, samples, epochs, JSON."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(names), metavar="NETWORK",
                        help=f"of {', '.join(names)} (default: all)")  # fmt: skip
    parser.add_argument("--samples", type=int, default=samples, help=of_what)
    parser.add_argument("--epochs", type=float, default=1.0, help="times those of the recipe")
    parser.add_argument("--json", action="store_true")
    return parser


def read_arguments(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, names: Sequence[str], data: str
) -> tuple[argparse.Namespace, Path]:
    """The arguments and the folder ``data``, if all that is needed is there."""
    arguments = parser.parse_args(argv)
    for name in arguments.networks:
        if name not in names:
            parser.error(f"NETWORK must be of {', '.join(names)}, not {name!r}")
    folder = needed(parser, data)
    try:
        need_train()
    except ValueError as error:
        parser.error(str(error))
    return arguments, folder


def notify(what: str, done: int, of: int) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {what} {done}/{of}", file=sys.stderr, flush=True)
