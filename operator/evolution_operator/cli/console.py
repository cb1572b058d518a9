"""What every command shares: where runs are kept, how errors are told, how a program is answered."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

Workdir = Annotated[Path, typer.Option("--workdir", help="Folder in which runs are kept.", show_default=True)]
DEFAULT_WORKDIR = Path("runs")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run, or namespace/name.")]

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def say(text: str = "") -> None:
    typer.echo(text)


def say_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, default=str))


@contextlib.contextmanager
def sentences(*errors: type[Exception]) -> Iterator[None]:
    """Errors whose message is already a sentence for the user."""
    from evolution_operator.local.errors import LocalError

    try:
        yield
    except errors as error:
        raise LocalError(str(error)) from error


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """What a person can mend is told in a sentence; anything else is a fault of ours and keeps its traceback."""
    from evolution_operator.local.errors import LocalError

    try:
        yield
    except LocalError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        typer.echo(f"error: {what}; mend it and type the same command again", err=True)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
