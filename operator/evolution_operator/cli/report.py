"""`evolution report`: one HTML file of a run that opens without a network."""

from pathlib import Path
from typing import Annotated

import typer

from evolution_operator.cli.console import DEFAULT_WORKDIR, RunName, Workdir, say, sentences, told_errors


def report(
    run: RunName,
    workdir: Workdir = DEFAULT_WORKDIR,
    to: Annotated[Path | None, typer.Option("--to", help="File to write; report.html in the run's folder by default.")] = None,
) -> None:
    """Write the report of a run, finished or not."""
    with told_errors(), sentences(ValueError):
        from evolution_jobs.storage.store import run_store
        from evolution_operator.local.folder import Workdir as Folder
        from evolution_operator.report.collect import run_input
        from evolution_operator.report.page import write_report

        place = Folder(workdir).find(run)
        kept = place.load()
        say(str(write_report(kept, run_store(run_input(kept)), to or place.path / "report.html")))
