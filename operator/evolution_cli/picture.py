"""Shows a run that is carried through on a terminal: rounds and stages as a table, the pods under way as bars with time left."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evolution_api.stages import STAGES
from evolution_operator.local.progress import ProgressReader

if TYPE_CHECKING:
    from evolution_api.run.resource import EvolutionRun
    from evolution_api.run.status import RoundStatus
    from evolution_operator.interface import Event
    from evolution_operator.local.cluster import LocalCluster
    from evolution_operator.local.folder import RunFolder

MOST_BARS = 8
"""Pods that are drawn; more are counted."""
SHOWN = [stage.name for stage in STAGES if stage.of_a_round]


class Picture:
    def __init__(self, place: "RunFolder") -> None:
        self._progress = ProgressReader(place)
        self._live = Live(console=Console(), refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        self._live.console.print(text)

    def happened(self, now: datetime, event: "Event") -> None:
        if event.type == "Warning":
            self._live.console.print(Text(f"{now.astimezone():%H:%M:%S} {event.message}", style="yellow"))

    def look(self, now: datetime, run: "EvolutionRun", cluster: "LocalCluster") -> None:
        self._live.update(Group(title(run, now), rounds(run), *self._bars(cluster)))

    def _bars(self, cluster: "LocalCluster") -> list[Table]:
        table = Table.grid(padding=(0, 1))
        going = [pod for pod in cluster.pods() if not pod.finished]
        for pod in going[:MOST_BARS]:
            progress = self._progress.of(pod)
            if progress is None:
                table.add_row(pod.name, ProgressBar(total=1, completed=0, width=30), pod.phase.lower(), "")
            else:
                left = "" if progress.left_s is None else f"{progress.left_s:.0f} s left"
                bar = ProgressBar(total=max(1, progress.total), completed=progress.done, width=30)
                table.add_row(pod.name, bar, f"{progress.done}/{progress.total} {progress.unit}", left)
        if len(going) > MOST_BARS:
            table.add_row(f"and {len(going) - MOST_BARS} more", "", "", "")
        return [table] if going else []


def title(run: "EvolutionRun", now: datetime) -> Text:
    status = run.status
    began = status.rounds[0].started if status.rounds else None
    since = "" if began is None else f"   {int((now - began).total_seconds())} s"
    stage = f"   {status.stage}" if status.stage else ""
    return Text(f"{run.metadata.name}   {status.phase}   round {status.progress}{stage}{since}", style="bold")


def rounds(run: "EvolutionRun") -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column in ("round", *SHOWN, "accepted", "easy / frontier / hard", "loss", "score", "seeing"):
        table.add_column(column, justify="left" if column == "round" else "right")
    for record in run.status.rounds:
        labels = f"{record.easy} / {record.frontier} / {record.hard}" if record.easy + record.frontier + record.hard else ""
        table.add_row(
            "base" if record.round == 0 else str(record.round),
            *(cell(run, record, stage) for stage in SHOWN),
            str(record.accepted or ""),
            labels,
            "" if record.train_loss is None else f"{record.train_loss:.3f}",
            *(f"{record.figures[name].mean:.3f}" if name in record.figures else "" for name in ("score", "seeing")),
        )
    return table


def cell(run: "EvolutionRun", record: "RoundStatus", stage: str) -> str:
    """Seconds that the stage took, or has taken so far."""
    for done, seconds in record.seconds.items():
        if done == stage:
            return f"{seconds:.0f} s"
    status = run.status
    if status.round == record.round and status.stage == stage:
        if status.stage_started is None:
            return "..."
        return f"({int((datetime.now(UTC) - status.stage_started).total_seconds())} s)"
    return ""
