"""Shows a run that is carried through without a terminal: plain lines for people, JSON lines for programs."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Self

from evolution_cli.console import say

if TYPE_CHECKING:
    from evolution_api.run.resource import EvolutionRun
    from evolution_operator.interface import Event
    from evolution_operator.local.cluster import LocalCluster
    from evolution_operator.local.folder import RunFolder

PROGRESS_EVERY_S = 10.0
"""Between two lines about the same stage's progress."""


class JsonWatcher:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, text: str) -> None:
        say(json.dumps({"type": "Normal", "reason": "Note", "message": text}))

    def happened(self, now: datetime, event: "Event") -> None:
        line = {"time": now.isoformat(), "type": event.type, "reason": event.reason, "message": event.message}
        say(json.dumps(line))

    def look(self, now: datetime, run: "EvolutionRun", cluster: "LocalCluster") -> None:
        """Nothing: events say it all."""


class PlainWatcher:
    def __init__(self, place: "RunFolder") -> None:
        from evolution_operator.local.progress import ProgressReader

        self._progress = ProgressReader(place)
        self._told: dict[str, tuple[float, object]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, text: str) -> None:
        say(text)

    def happened(self, now: datetime, event: "Event") -> None:
        mark = "" if event.type == "Normal" else "WARNING "
        say(f"{now.astimezone():%H:%M:%S} {mark}{event.message}")

    def look(self, now: datetime, _run: "EvolutionRun", cluster: "LocalCluster") -> None:
        for pod in cluster.pods():
            if pod.finished:
                continue
            progress = self._progress.of(pod)
            told_at, told = self._told.get(pod.name, (0.0, None))
            if told_at == 0.0:
                self._told[pod.name] = (now.timestamp(), None)
            elif progress is not None and progress != told and now.timestamp() - told_at >= PROGRESS_EVERY_S:
                left = "" if progress.left_s is None else f", {progress.left_s:.0f} s left"
                say(f"{now.astimezone():%H:%M:%S}   {pod.name}: {progress.done}/{progress.total} {progress.unit}{left}")
                self._told[pod.name] = (now.timestamp(), progress)
