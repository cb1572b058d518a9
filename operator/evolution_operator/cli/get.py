"""`evolution get`: the runs of a folder, in the columns of `kubectl get evolutionruns`."""

from datetime import UTC, datetime

from evolution_operator.cli.console import DEFAULT_WORKDIR, AsJson, Workdir, say, say_json, told_errors

COLUMNS = ("NAME", "PHASE", "ROUND", "STAGE", "ACCEPTED", "FRONTIER", "SCORE", "AGE")


def get(workdir: Workdir = DEFAULT_WORKDIR, as_json: AsJson = False) -> None:
    """List the runs and how far they are."""
    with told_errors():
        from evolution_operator.local.folder import Workdir as Folder

        runs = [folder.load() for folder in Folder(workdir).runs()]
        if as_json:
            say_json([run.model_dump(mode="json", by_alias=True, exclude={"spec"}) for run in runs])
            return
        if not runs:
            say(f"No runs in {workdir}. Start one with `evolution run FILE`.")
            return
        now = datetime.now(UTC)
        rows = [COLUMNS]
        for run in runs:
            status = run.status
            began = status.rounds[0].started if status.rounds else None
            rows.append(
                (
                    run.metadata.name,
                    status.phase,
                    status.progress,
                    status.stage or "",
                    str(status.accepted),
                    "" if status.frontier_percent is None else str(status.frontier_percent),
                    "" if status.score is None else f"{status.score:.3f}",
                    "" if began is None else age((now - began).total_seconds()),
                )
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
        for row in rows:
            say("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def age(seconds: float) -> str:
    """As kubectl prints it: 45s, 12m, 3h, 2d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"
