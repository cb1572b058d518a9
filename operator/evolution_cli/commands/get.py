"""`evolution get`: the runs of a folder or of a cluster, in the columns of `kubectl get evolutionruns`."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from evolution_cli.console import (
    DEFAULT_WORKDIR,
    AsJson,
    Context,
    InCluster,
    Namespace,
    Workdir,
    age,
    say,
    say_json,
    told_errors,
)
from evolution_cli.locate import location_of

COLUMNS = ("NAME", "PHASE", "ROUND", "STAGE", "ACCEPTED", "FRONTIER", "SCORE", "BEST", "AGE")


def get(
    workdir: Workdir = DEFAULT_WORKDIR,
    cluster: InCluster = False,
    namespace: Namespace = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces of the cluster.")] = False,
    context: Context = None,
    as_json: AsJson = False,
) -> None:
    """List the runs and how far they are."""
    with told_errors():
        place = location_of(workdir, cluster, namespace, context, everywhere=everywhere)
        runs = place.runs()
        if as_json:
            say_json([{key: value for key, value in run.items() if key != "spec"} for run in runs])
            return
        if not runs:
            say(place.nothing)
            return
        rows = [COLUMNS, *map(row, runs)]
        if everywhere:
            namespaces = ["NAMESPACE", *(run["metadata"]["namespace"] for run in runs)]
            rows = [(namespace, *cells) for namespace, cells in zip(namespaces, rows, strict=True)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for cells in rows:
            say("   ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def row(run: dict[str, Any]) -> tuple[str, ...]:
    """From the run as it is stored, so that one of another version is listed too."""
    status, meta = run.get("status") or {}, run["metadata"]
    rounds = status.get("rounds") or [{}]
    began = meta.get("creationTimestamp") or rounds[0].get("started")
    frontier, score = status.get("frontierPercent"), status.get("score")
    best = (status.get("best") or {}).get("value")
    return (
        meta["name"],
        status.get("phase", "Pending"),
        status.get("progress", ""),
        status.get("stage") or "",
        str(status.get("accepted", 0)),
        "" if frontier is None else str(frontier),
        "" if score is None else f"{score:.3f}",
        "" if best is None else f"{best:.3f}",
        "" if began is None else age((datetime.now(UTC) - datetime.fromisoformat(began)).total_seconds()),
    )
