"""`evolution report`: one HTML file of a run, on this machine or on a cluster, that opens without a network."""

from pathlib import Path
from typing import Annotated

import typer

from evolution_cli.console import (
    DEFAULT_WORKDIR,
    Context,
    Endpoint,
    InCluster,
    Namespace,
    RunName,
    Workdir,
    say,
    sentences,
    told_errors,
)
from evolution_cli.locate import location_of


def report(
    run: RunName,
    workdir: Workdir = DEFAULT_WORKDIR,
    cluster: InCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    endpoint: Endpoint = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="File to write; by default report.html in the run's folder, or RUN-report.html of a cluster's."
        ),
    ] = None,
) -> None:
    """Write the report of a run, finished or not."""
    with told_errors(), sentences(ValueError):
        from evolution_cli.report.page import write_report

        kept = location_of(workdir, cluster, namespace, context, endpoint=endpoint).find(run)
        say(str(write_report(kept.run, kept.store(), to or kept.report)))
