"""What every command shares: the options that say where runs are, how errors are told, how a program is answered."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

Workdir = Annotated[Path, typer.Option("--workdir", help="Folder in which runs are kept.", show_default=True)]
DEFAULT_WORKDIR = Path("runs")
InCluster = Annotated[bool, typer.Option("--cluster", help="Look at the cluster of the kubeconfig instead of a folder.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NS", help="Namespace on the cluster; by default the context's.")
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig; by default the current one.")]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", help="S3 server as this machine reaches it, such as a forwarded port."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run, or namespace/name.")]

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141
"""As a shell tells that SIGPIPE ended a program."""


class ReaderGoneError(Exception):
    """Whoever read what is printed has had enough, as in `evolution questions RUN | head`."""


def say(text: str = "") -> None:
    try:
        typer.echo(text)
    except BrokenPipeError:
        raise ReaderGoneError from None


def say_json(value: Any) -> None:
    say(json.dumps(value, indent=2, default=str))


def age(seconds: float) -> str:
    """As kubectl prints it: 45s, 12m, 3h, 2d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


@contextlib.contextmanager
def sentences(*errors: type[Exception]) -> Iterator[None]:
    """Errors whose message is already a sentence for the user."""
    from evolution_operator.errors import RefusedError

    try:
        yield
    except errors as error:
        raise RefusedError(str(error)) from error


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """What a person can mend is told in a sentence; anything else is a fault of ours and keeps its traceback."""
    from evolution_operator.errors import RefusedError

    try:
        yield
    except RefusedError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        typer.echo(f"error: {what}; mend it and type the same command again", err=True)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except ReaderGoneError:
        # What is left in the buffer must not fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_READER_GONE)
