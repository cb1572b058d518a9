"""Progress is read from logs as they grow."""

import json
from pathlib import Path

from evolution_operator.children.onemachine import PodProcess
from evolution_operator.local.folder import RunFolder
from evolution_operator.local.progress import Progress, ProgressReader

POD = PodProcess(
    {"metadata": {"name": "pod", "uid": "uid"}, "status": {"phase": "Running", "startTime": "1970-01-01T00:00:00.5Z"}}
)


def mark(time_s: float, done: int, total: int, unit: str = "steps") -> str:
    return json.dumps({"time": time_s, "level": "info", "message": "x", "done": done, "total": total, "unit": unit}) + "\n"


def test_the_latest_mark_counts_and_the_pace_gives_the_time_left(tmp_path: Path) -> None:
    reader = ProgressReader(RunFolder(tmp_path))
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "pod.log"
    assert reader.of(POD) is None
    log.write_text("some words\n" + mark(100.0, 10, 50))
    assert reader.of(POD) == Progress(10, 50, "steps", None)
    with log.open("a") as file:
        file.write(mark(110.0, 30, 50))
    assert reader.of(POD) == Progress(30, 50, "steps", 10.0)  # 20 in 10 s, 20 are left


def test_another_unit_begins_anew(tmp_path: Path) -> None:
    reader = ProgressReader(RunFolder(tmp_path))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "pod.log").write_text(mark(1.0, 1, 2, "scenes") + mark(2.0, 2, 2, "scenes") + mark(3.0, 4, 9, "answers"))
    assert reader.of(POD) == Progress(4, 9, "answers", None)


def test_what_an_earlier_start_wrote_does_not_count(tmp_path: Path) -> None:
    reader = ProgressReader(RunFolder(tmp_path))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "pod.log").write_text(mark(0.1, 90, 100))
    assert reader.of(POD) is None


def test_broken_lines_and_lines_without_progress_are_passed_over(tmp_path: Path) -> None:
    reader = ProgressReader(RunFolder(tmp_path))
    (tmp_path / "logs").mkdir()
    cut = mark(9.0, 3, 4)[:-20]
    lines = [mark(1.0, 1, 4), '{"total": 3}\n', '{"done": [], "total": 3, "unit": 4, "time": 1}\n', '{"total"\n', cut]
    (tmp_path / "logs" / "pod.log").write_text("".join(lines))
    assert reader.of(POD) == Progress(1, 4, "steps", None)
