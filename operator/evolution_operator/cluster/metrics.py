"""What the operator tells Prometheus, at /metrics beside the probes. Filled by the handlers, the reconciler and the API client.

Counters begin anew with the process; what a crash swallows between a status and its count is not made up for.
"""

from datetime import UTC, datetime

from prometheus_client import Counter, Gauge, Histogram

from evolution_api.run.status import EvolutionRunStatus
from evolution_api.stages import STAGES
from evolution_operator.cluster.stored_status import said
from evolution_operator.interface import Event, KubeObject

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LONG = (10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 57600, 86400)
"""Upper bounds of buckets, seconds: for what the operator does, and for stages."""

RUNS = Gauge("evolution_operator_runs", "Runs by the phase that their status says", ["phase"])
STAGE_SECONDS = Histogram("evolution_operator_stage_seconds", "Seconds of stages' successful attempts", ["stage"], buckets=LONG)
RETRIES = Counter("evolution_operator_retries", "Attempts of stages that failed and are tried again", ["stage", "reason"])
FAILURES = Counter("evolution_operator_failures", "Runs that failed", ["stage", "reason"])
PLAN_SECONDS = Histogram("evolution_operator_plan_seconds", "Seconds to decide what a run needs", buckets=SHORT)
LOOK_SECONDS = Histogram("evolution_operator_look_seconds", "Seconds of a look: reads, plan and writes", buckets=SHORT)
OVERDUE_SECONDS = Histogram("evolution_operator_overdue_seconds", "Seconds that a run waited for its turn", buckets=SHORT)
WATCH_LAG_SECONDS = Histogram(
    "evolution_operator_watch_lag_seconds",
    "Seconds from a child's end or readiness, as its controller dates it (to the second), until the operator hears of it",
    buckets=(1, 2, 5, 10, 30, 60, 300),
)
API_REQUESTS = Counter(
    "evolution_operator_api_requests",
    "Requests to the API server, watches not counted; status 0 where no answer came",
    ["method", "resource", "status"],
)

for _stage in STAGES:
    STAGE_SECONDS.labels(_stage.name)  # a series that begins with its first observation hides it from Prometheus's rates

_phases: dict[tuple[str, str], str] = {}
"""By namespace and name."""


def count_run(key: tuple[str, str], phase: str | None) -> None:
    """The run is in that phase now; None where it is gone."""
    before = _phases.pop(key, None)
    if before is not None:
        RUNS.labels(before).dec()
    if phase is not None:
        _phases[key] = phase
        RUNS.labels(phase).inc()


def count_decision(raw: KubeObject, status: EvolutionRunStatus, events: tuple[Event, ...]) -> None:
    """What has happened between the status that was stored and the one that was decided on."""
    before = {record["round"]: record.get("seconds", {}) for record in said(raw, "rounds") or ()}
    for record in status.rounds:
        for stage, seconds in record.seconds.items():
            if stage not in before.get(record.round, {}):
                STAGE_SECONDS.labels(stage).observe(seconds)
    for event in events:
        if counter := {"Retrying": RETRIES, "RunFailed": FAILURES}.get(event.reason):
            counter.labels(said(raw, "stage") or "", event.cause).inc()


def observe_lag(conditions: list[KubeObject]) -> None:
    """Of a child of which something decisive became true just now."""
    dated = [datetime.fromisoformat(c["lastTransitionTime"]) for c in conditions if c.get("lastTransitionTime")]
    if dated:
        WATCH_LAG_SECONDS.observe(max(0.0, (datetime.now(UTC) - max(dated)).total_seconds()))
