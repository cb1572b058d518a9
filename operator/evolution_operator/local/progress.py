"""How far the running pods are, read from the JSON lines that their programs write to their logs. Asked by what shows a run."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from evolution_operator.children.onemachine import PodProcess
from evolution_operator.local.folder import RunFolder


@dataclass(frozen=True)
class Progress:
    done: int
    total: int
    unit: str
    left_s: float | None
    """Seconds until it is done at the pace so far; None until two marks of it were seen."""


@dataclass
class _Tail:
    offset: int
    first: tuple[float, int] | None = None  # (time of the mark, done)
    unit: str = ""
    last: Progress | None = None


class ProgressReader:
    """Reads each log once as it grows; what an earlier start of the pod wrote does not count."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._tails: dict[str, _Tail] = {}

    def of(self, pod: PodProcess) -> Progress | None:
        started = pod.raw["status"].get("startTime")
        if started is None:
            return None
        tail = self._tails.setdefault(pod.raw["metadata"]["uid"], _Tail(offset=0))
        for line in self._new_lines(self._folder.logs / f"{pod.name}.log", tail):
            mark = _mark(line)
            if mark is None or mark[0] < datetime.fromisoformat(started).timestamp():
                continue
            time_s, done, total, unit = mark
            if tail.first is None or tail.unit != unit or done < tail.first[1]:
                tail.first, tail.unit = (time_s, done), unit
            since_s, more = time_s - tail.first[0], done - tail.first[1]
            left_s = (total - done) * since_s / more if more else None
            tail.last = Progress(done, total, unit, left_s)
        return tail.last

    def _new_lines(self, path: Path, tail: _Tail) -> list[bytes]:
        try:
            with path.open("rb") as file:
                file.seek(tail.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole, newline, _ = data.rpartition(b"\n")
        tail.offset += len(whole) + len(newline)
        return whole.split(b"\n") if newline else []


def _mark(line: bytes) -> tuple[float, int, int, str] | None:
    """(time, done, total, unit) of a line that `program.progress` wrote; None for every other line."""
    if not line.startswith(b"{") or b'"total"' not in line:
        return None
    try:
        fields = json.loads(line)
        return float(fields["time"]), int(fields["done"]), int(fields["total"]), str(fields["unit"])
    except (ValueError, KeyError, TypeError):
        return None
