"""Reading back what prepare fixed: never without its manifest, never another run's, never truncated."""

from collections.abc import Callable
from typing import Any

import pytest

from evolution_api.jobs import StageInput
from evolution_api.layout import SCENE_PLAN_KEY
from evolution_jobs.program import BadInputError
from evolution_jobs.scene_plan import read_heldout, read_plan
from evolution_storage.store import CorruptError
from evolution_storage.uri import run_store

Build = Callable[..., StageInput]


def test_the_plan_comes_back_as_it_was_fixed(job: Build, generated: Any) -> None:
    of = job()
    generated(of, [])
    assert read_plan(run_store(of), of).train == ("a", "b", "c", "d")


@pytest.mark.parametrize("read", [read_plan, read_heldout])
def test_a_run_that_was_never_prepared(job: Build, read: Callable[..., object]) -> None:
    of = job()
    with pytest.raises(BadInputError, match="were never prepared"):
        read(run_store(of), of)


def test_a_truncated_plan_is_refused(job: Build, generated: Any) -> None:
    of = job()
    generated(of, [])
    store = run_store(of)
    store.write(SCENE_PLAN_KEY, store.read(SCENE_PLAN_KEY)[:-5])
    with pytest.raises(CorruptError, match="truncated"):
        read_plan(store, of)


def test_another_run_s_manifest_is_refused_by_name(job: Build, generated: Any) -> None:
    of = job()
    generated(of, [])
    with pytest.raises(CorruptError, match="uid u1, not to u2"):
        read_plan(run_store(of), of.model_copy(update={"uid": "u2"}))
