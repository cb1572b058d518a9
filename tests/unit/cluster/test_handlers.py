"""Whom an event of a child wakes, and how soon."""

from typing import Any

import pytest

from evolution_operator.cluster.handlers import decisive_of, holds_pod, runs_of
from evolution_operator.cluster.workqueue import Key, WorkQueue
from evolution_operator.pod import run_label


def child(kind: str, **conditions: str) -> dict[str, Any]:
    return {"kind": kind, "status": {"conditions": [{"type": t, "status": s} for t, s in conditions.items()]}}


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        (child("Job", Complete="True"), True),
        (child("Job", Complete="False", Suspended="True"), False),
        (child("PyTorchJob", Running="False", Succeeded="True"), True),
        (child("InferenceService", PredictorReady="True", Ready="Unknown"), False),
        (child("InferenceService", Ready="True"), True),
        (child("Pod", Ready="True"), False),
        ({"kind": "Job"}, False),
    ],
)
def test_only_what_can_move_a_run_on_is_decisive(child: dict[str, Any], expected: bool) -> None:
    assert bool(decisive_of(child)) == expected


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (child("Job", Complete="True"), False),
        (child("Job", Suspended="True"), True),
        (child("PyTorchJob", Failed="True"), False),
        (child("InferenceService", Ready="True"), True),
        ({"kind": "Pod", "status": {"phase": "Running"}}, True),
        ({"kind": "Pod", "status": {"phase": "Failed"}}, False),
    ],
)
def test_what_held_a_pod_may_have_been_waited_for(gone: dict[str, Any], expected: bool) -> None:
    assert holds_pod(gone) == expected


def test_a_label_names_its_run() -> None:
    assert runs_of("lab", "x", WorkQueue()) == [Key("lab", "x")]


def test_a_label_that_was_cut_stands_for_every_run_that_it_fits() -> None:
    workqueue = WorkQueue()
    long = [f"{'n' * 62}.{end}" for end in "ab"]
    for key in (*(Key("lab", name) for name in long), Key("other", long[0]), Key("lab", "m" * 70)):
        workqueue.wake(key)
    assert sorted(runs_of("lab", run_label(long[0]), workqueue)) == [Key("lab", name) for name in long]
