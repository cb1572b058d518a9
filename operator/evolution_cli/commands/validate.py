"""`evolution validate`: check a run's file without a cluster and without starting anything."""

from pathlib import Path
from typing import Annotated

import typer

from evolution_cli.console import say, told_errors


def validate(file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file with an EvolutionRun.")]) -> None:
    """Check an EvolutionRun; says field, value, why and what to do about everything that is wrong with it."""
    with told_errors():
        from evolution_cli.runfile import read_run

        run = read_run(file)
        say(f"{file}: {run.metadata.name} is valid")
