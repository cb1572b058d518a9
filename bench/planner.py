"""How long one `plan()` takes, and whether it grows with the rounds that are done.

    python bench/planner.py [--json]

Goal: at most 1 ms, not growing with rounds done. Plans a run in the middle of a round's training, with that round's children and
pods still there, after 1, 10 and 100 rounds; once where nothing happened, and once where the next stage's manifest is made.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from evolution_api.endings import LastWords
from evolution_api.run.resource import EvolutionRun
from evolution_api.run.status import EvolutionRunStatus, RoundStatus
from evolution_api.summaries import GenerateSummary
from evolution_operator.interface import KubeObject, Observed, Settings
from evolution_operator.lifecycle.planner import plan
from evolution_operator.manifests.catalogue import WORK
from evolution_operator.pod import Work

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = "2026-01-01T11:59:00Z"
REPEATS = 300
GOAL_MS = 1.0
SPEC: dict[str, Any] = {
    "rounds": 100,
    "model": {"uri": "hf://owner/model"},
    "scenes": {"uri": "s3://bucket/scenes"},
    "training": {"nodes": 4, "processesPerNode": 8},
    "storage": {"uri": "s3://bucket/runs"},
}


def story(done: int, *, trained: bool) -> tuple[EvolutionRun, Observed]:
    """A run in round `done`, whose training runs, or has just succeeded."""
    records = [
        RoundStatus(round=r, accepted=900, easy=300, frontier=300, hard=300, score=0.5, seeing=0.1) for r in range(done + 1)
    ]
    status = EvolutionRunStatus(
        round=done, stage="train", rounds=tuple(records), accepted=900 * (done + 1), stage_started=NOW, phase="Running"
    )
    run = EvolutionRun.model_validate({"metadata": {"name": "paper", "uid": "uid"}, "spec": SPEC})
    run = run.model_copy(update={"status": status})
    ended = [("generate", "Complete"), ("probe", "Complete"), ("train", "Succeeded" if trained else "Running")]
    children, pods = [], []
    for stage, condition in ended:
        work = Work(run, stage, done, 1, Settings(), server_url="http://solver")
        child = WORK[stage].manifest(work)
        child["metadata"]["uid"] = f"uid-{stage}"
        child["status"] = {"startTime": STAMP, "conditions": [{"type": condition, "status": "True", "lastTransitionTime": STAMP}]}
        children.append(child)
        pods += [pod(child, index, running=condition == "Running") for index in range(run.spec.generation.shards)]
    return run, Observed(tuple(children), tuple(pods))


def pod(child: KubeObject, index: int, *, running: bool) -> KubeObject:
    words = LastWords(summary=GenerateSummary(scenes=10, proposed=150, executed=140, accepted=100)).to_json()
    end = {"terminated": {"exitCode": 0, "message": words}}
    labels = {**child["metadata"]["labels"], "batch.kubernetes.io/job-completion-index": str(index)}
    return {
        "metadata": {
            "name": f"{child['metadata']['name']}-{index}",
            "labels": labels,
            "ownerReferences": [{"kind": child["kind"], "uid": child["metadata"]["uid"]}],
        },
        "status": {
            "phase": "Running" if running else "Succeeded",
            "containerStatuses": [{"state": {"running": {}} if running else end, "restartCount": 0}],
        },
    }


def milliseconds(action: Callable[[], object]) -> float:
    """Median over the repeats."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    results = {}
    for done in (1, 10, 100):
        for name, trained in (("nothing happened", False), ("next stage made", True)):
            run, observed = story(done, trained=trained)
            settings = Settings()
            assert bool(plan(run, observed, NOW, settings).apply) == trained
            results[f"{done} rounds done, {name}"] = milliseconds(lambda: plan(run, observed, NOW, settings))  # noqa: B023
    if as_json:
        print(json.dumps({"plan_ms": results, "goal_ms": GOAL_MS}))
        return
    for name, value in results.items():
        print(f"{name:40} {value:6.3f} ms")
    print(f"goal: at most {GOAL_MS} ms, not growing with rounds done")


if __name__ == "__main__":
    main()
