"""What Prometheus is told, and that nothing is told twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from evolution_api.run.status import EvolutionRunStatus, RoundStatus
from evolution_operator.cluster.metrics import count_decision, count_run, observe_lag
from evolution_operator.interface import Event


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"evolution_operator_{name}", labels) or 0.0


def test_runs_are_counted_once_in_the_phase_that_they_are_in() -> None:
    before = {phase: value("runs", phase=phase) for phase in ("Pending", "Running")}
    count_run(("lab", "a"), "Pending")
    count_run(("lab", "b"), "Running")
    count_run(("lab", "a"), "Running")
    count_run(("lab", "a"), "Running")
    now = {phase: value("runs", phase=phase) - before[phase] for phase in before}
    assert now == {"Pending": 0, "Running": 2}
    for name in ("a", "b", "a"):
        count_run(("lab", name), None)
    assert {phase: value("runs", phase=phase) for phase in before} == before


@pytest.fixture
def raw() -> dict[str, Any]:
    return {"status": {"stage": "train", "rounds": [{"round": 0, "seconds": {"prepare": 5}}, {"round": 1}]}}


def test_a_stage_s_time_is_told_when_it_is_recorded_and_not_again(raw: dict[str, Any]) -> None:
    rounds = (RoundStatus(round=0, seconds={"prepare": 5.0}), RoundStatus(round=1, seconds={"train": 90.0}))
    trained, prepared = value("stage_seconds_sum", stage="train"), value("stage_seconds_count", stage="prepare")
    count_decision(raw, EvolutionRunStatus(rounds=rounds), ())
    raw["status"]["rounds"][1]["seconds"] = {"train": 90.0}
    count_decision(raw, EvolutionRunStatus(rounds=rounds), ())
    assert value("stage_seconds_sum", stage="train") == trained + 90
    assert value("stage_seconds_count", stage="prepare") == prepared


@pytest.mark.parametrize(("reason", "counter"), [("Retrying", "retries_total"), ("RunFailed", "failures_total")])
def test_failures_are_told_with_stage_and_reason(raw: dict[str, Any], reason: str, counter: str) -> None:
    before = value(counter, stage="train", reason="OOMKilled")
    events = (Event("Warning", reason, "in words", "OOMKilled"), Event("Normal", "StageStarted", "on"))
    count_decision(raw, EvolutionRunStatus(), events)
    assert value(counter, stage="train", reason="OOMKilled") == before + 1


def test_the_lag_is_that_of_the_latest_condition_and_never_negative() -> None:
    def dated(ago_s: float) -> dict[str, Any]:
        return {"lastTransitionTime": (datetime.now(UTC) - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")}

    before = value("watch_lag_seconds_sum"), value("watch_lag_seconds_count")
    observe_lag([dated(400), dated(40)])
    observe_lag([dated(-5)])
    observe_lag([{}])
    assert value("watch_lag_seconds_count") == before[1] + 2
    assert 40 <= value("watch_lag_seconds_sum") - before[0] < 400
