"""How an undisturbed run of one round ends; every disturbed one is held to it."""

from collections.abc import Sequence

from tests.cluster.faults.proxy import Proxy
from tests.cluster.lab import Lab, comparable
from tests.summaries import figure
from tests.testbed.api import Object

CHILDREN = [
    ("inferenceservices", "r1-probe-server"),
    ("jobs", "r0-evaluate"),
    ("jobs", "r0-prepare"),
    ("jobs", "r1-evaluate"),
    ("jobs", "r1-generate"),
    ("jobs", "r1-probe"),
    ("pytorchjobs", "r1-train"),
]
"""Of a run of one round, each made once."""
LEFT = ["r1-evaluate", "r1-generate", "r1-probe", "r1-train"]
"""Of them when the run has ended."""
NOTHING_ASKED: Object = {"proposed": 0, "executed": 0, "accepted": 0, "rejected": {}, "easy": 0, "frontier": 0, "hard": 0}


def figures(**means: float) -> Object:
    return {name: figure(mean).model_dump() for name, mean in means.items()}


def ended(lab: Lab) -> bool:
    """Whether all runs have succeeded and nothing is left of them but what should be."""
    runs = lab.runs()
    if not all(run.get("status", {}).get("phase") == "Succeeded" for run in runs):
        return False
    return lab.names() == sorted(f"{run['metadata']['name']}-{child}" for run in runs for child in LEFT)


def made(proxy: Proxy, run: str) -> list[tuple[str, str]]:
    """(plural, name without the run's) of all its children that were really made, as often as they were."""
    return sorted((kind, child.removeprefix(f"{run}-")) for kind, child in proxy.created() if child.startswith(f"{run}-"))


def assert_ended_well(
    lab: Lab, proxy: Proxy, name: str = "x", *, generation: int = 1, again: Sequence[tuple[str, str]] = ()
) -> None:
    """As an undisturbed run ends, which is stated here once for all faults; `again` was taken from it, and made a second time."""
    assert made(proxy, name) == sorted([*CHILDREN, *again])
    status = comparable(lab.status(name))
    conditions = {c["type"]: (c["status"], c["reason"], c.get("message", "")) for c in status.pop("conditions")}
    done = ("RunSucceeded", "all 1 rounds are done")
    assert conditions == {
        "Failed": ("False", "NotFailed", ""),
        "Progressing": ("False", *done),
        "Succeeded": ("True", *done),
        "Suspended": ("False", "NotSuspended", ""),
    }
    assert status == {
        "observedGeneration": generation,
        "phase": "Succeeded",
        "round": 1,
        "progress": "1/1",
        "attempt": 1,
        "firstAttempt": 1,
        "rounds": [
            {**NOTHING_ASKED, "round": 0, "figures": figures(score=0.4, seeing=0, blind=0.3)},
            {
                "round": 1,
                "proposed": 20,
                "executed": 18,
                "accepted": 12,
                "rejected": {"blind": 6, "duplicate": 2},
                "easy": 2,
                "frontier": 6,
                "hard": 4,
                "meanConfidence": 0.5,
                "trainLoss": 1.5,
                "checkpoint": "rounds/0001/train/checkpoint",
                "figures": figures(score=0.5, seeing=0.1, blind=0.3),
            },
        ],
        "best": {"metric": "seeing", "value": 0.1, "round": 1, "checkpoint": "rounds/0001/train/checkpoint"},
        "accepted": 12,
        "frontierPercent": 50,
        "score": 0.5,
    }
