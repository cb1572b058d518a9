"""The stored status as JSON: what is patched, and what a refusal changes in it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from evolution_operator.cluster.reconciler import parsed
from evolution_operator.cluster.stored_status import difference, not_progressing

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 13, 0, tzinfo=UTC)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({}, {}, {}),
        ({}, {"round": 0}, {"round": 0}),
        ({"round": 1}, {"round": 1}, {}),
        ({"retryAt": "x", "round": 1}, {"round": 2}, {"retryAt": None, "round": 2}),
        ({"best": {"round": 1, "score": 0.5}}, {"best": {"round": 1, "score": 0.6}}, {"best": {"score": 0.6}}),
        ({"best": {"round": 1}}, {}, {"best": None}),
        ({"rounds": [{"round": 0}]}, {"rounds": [{"round": 0}, {"round": 1}]}, {"rounds": [{"round": 0}, {"round": 1}]}),
        ({"score": 1}, {"score": 1.0}, {}),
    ],
)
def test_the_difference_is_the_merge_patch_between_two_states(before: Any, after: Any, patch: Any) -> None:
    assert difference(before, after) == patch
    assert merged(before, patch) == after


def raw(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "namespace": "lab", "generation": 3}, "status": status}


@pytest.mark.parametrize(("passes", "for_kstatus"), [(True, "Reconciling"), (False, "Stalled")])
def test_a_refusal_changes_what_is_said_about_progress_and_nothing_else(passes: bool, for_kstatus: str) -> None:
    failed = {"type": "Failed", "status": "False", "reason": "NotFailed", "lastTransitionTime": "2025-01-01T00:00:00Z"}
    going = {"type": "Progressing", "status": "True", "reason": "StageRunning", "lastTransitionTime": "2025-01-01T00:00:00Z"}
    before = raw(phase="Running", round=2, stage="train", attempt=2, conditions=[going, failed, {**going, "type": "Reconciling"}])
    after = not_progressing(before, "QuotaExceeded", "no room", NOW, passes=passes)
    told = {
        "type": "Progressing",
        "status": "False",
        "reason": "QuotaExceeded",
        "message": "no room",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
        "observedGeneration": 3,
    }
    since = "2025-01-01T00:00:00Z" if passes else "2026-01-01T12:00:00Z"
    beside = {**told, "type": for_kstatus, "status": "True", "lastTransitionTime": since}
    assert after.pop("conditions") == [told, failed, beside]
    assert after == {"phase": "Running", "round": 2, "stage": "train", "attempt": 2, "observedGeneration": 3}
    again = {**before, "status": {**after, "conditions": [told, failed, beside]}}
    assert not_progressing(again, "QuotaExceeded", "no room", LATER, passes=passes) == again["status"]


def test_a_run_without_a_status_gets_one_that_says_why_nothing_happens() -> None:
    after = not_progressing({"metadata": {"generation": 1}}, "SpecInvalid", "no", NOW, passes=False)
    assert (after["phase"], after["observedGeneration"]) == ("Pending", 1)
    told = [(c["type"], c["status"], c["reason"]) for c in after["conditions"]]
    assert told == [("Progressing", "False", "SpecInvalid"), ("Stalled", "True", "SpecInvalid")]


SPEC: dict[str, Any] = {
    "model": {"uri": "file:///m"},
    "scenes": {"procedural": {"rooms": 60}},
    "storage": {"uri": "s3://bucket/runs"},
}


def document(**changes: Any) -> dict[str, Any]:
    meta = {"name": "x", "namespace": "lab", "uid": "u", "generation": 1}
    return {"apiVersion": "evolution.spatial.io/v1alpha1", "kind": "EvolutionRun", "metadata": meta, "spec": SPEC} | changes


def test_a_spec_that_does_not_validate_is_a_sentence_and_not_an_error() -> None:
    found = parsed(document(spec={**SPEC, "colour": "red"}))
    assert isinstance(found, str)
    assert found.startswith('spec.colour = "red": there is no such field')


def test_storage_that_pods_cannot_reach_is_refused() -> None:
    found = parsed(document(spec={**SPEC, "storage": {"uri": "file:///runs"}}, status={"phase": "Dancing"}))
    assert (
        found == 'spec.storage.uri = "file:///runs": the pods of a run share no folder; make the run anew with s3://bucket/prefix'
    )


def test_a_status_that_is_not_understood_is_made_anew() -> None:
    found = parsed(document(status={"phase": "Dancing", "round": 3}))
    assert not isinstance(found, str)
    assert (found.status.phase, found.status.round) == ("Pending", 0)
