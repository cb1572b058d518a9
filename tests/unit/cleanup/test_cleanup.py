"""Deleting what a run stored: all of it, nothing beside it, as often as asked."""

from pathlib import Path

import pytest

from evolution_api.jobs import StageInput
from evolution_jobs import cleanup
from evolution_jobs.program import BadInputError


def job(root: Path, on_delete: str) -> StageInput:
    return StageInput.model_validate(
        {
            "namespace": "default",
            "run": "loop",
            "uid": "u1",
            "stage": "cleanup",
            "round": 0,
            "spec": {
                "model": {"uri": "file:///nowhere"},
                "scenes": {"uri": "file:///nowhere"},
                "storage": {"uri": f"file://{root}", "on_delete": on_delete},
            },
        }
    )


@pytest.fixture
def stored(tmp_path: Path) -> list[Path]:
    """Two files of the run, one of an earlier run of that name, one of the user's."""
    names = ["default/loop/u1/run.json", "default/loop/u1/rounds/0001/train/state/a", "default/loop/u0/run.json", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return [tmp_path / name for name in names]


def test_everything_of_the_run_goes_and_nothing_else(tmp_path: Path, stored: list[Path]) -> None:
    assert cleanup.main(job(tmp_path, "Delete")).deleted == 2
    assert [path.exists() for path in stored] == [False, False, True, True]


def test_a_second_cleanup_finds_nothing_and_ends_well(tmp_path: Path, stored: list[Path]) -> None:
    cleanup.main(job(tmp_path, "Delete"))
    assert cleanup.main(job(tmp_path, "Delete")).deleted == 0


def test_what_is_to_be_retained_is_not_touched(tmp_path: Path, stored: list[Path]) -> None:
    with pytest.raises(BadInputError, match=r"storage\.onDelete is Retain"):
        cleanup.main(job(tmp_path, "Retain"))
    assert all(path.exists() for path in stored)
