"""The operator under faults: killed after each write, two at once, deaf, refused. Each such run ends like an undisturbed one."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.cluster.faults.proxy import Proxy, Request
from tests.cluster.harness.api import Object
from tests.cluster.lab import Lab, at_work, comparable, log_of, operator
from tests.tools.daemon import eventually

from evolution_operator.cluster.api import Api as Client

pytestmark = pytest.mark.skipif(
    "EVOLUTION_TEST_KUBECONFIG" in os.environ, reason="children are completed by hand: needs no nodes"
)

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


@pytest.fixture
def proxy(lab: Lab, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    with Proxy(Client()) as running:
        yield running


def succeeded(lab: Lab, name: str = "x") -> bool:
    left = [child for child in lab.names() if child.startswith(f"{name}-")]
    return lab.status(name).get("phase") == "Succeeded" and left == [f"{name}-{child}" for child in LEFT]


def assert_ended_well(lab: Lab, proxy: Proxy, name: str = "x") -> None:
    """As an undisturbed run of one round ends, which is stated here once for all faults."""
    made = [(kind, child.removeprefix(f"{name}-")) for kind, child in proxy.created() if child.startswith(f"{name}-")]
    assert sorted(made) == CHILDREN
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
        "observedGeneration": 1,
        "phase": "Succeeded",
        "round": 1,
        "progress": "1/1",
        "attempt": 1,
        "firstAttempt": 1,
        "rounds": [
            {**NOTHING_ASKED, "round": 0, "score": 0.4, "seeing": 0, "blind": 0.3},
            {
                "round": 1,
                "proposed": 20,
                "executed": 18,
                "accepted": 12,
                "rejected": {"blind": 6},
                "easy": 2,
                "frontier": 6,
                "hard": 4,
                "meanConfidence": 0.5,
                "trainLoss": 1.5,
                "checkpoint": "rounds/0001/train/checkpoint",
                "score": 0.5,
                "seeing": 0.1,
                "blind": 0.3,
            },
        ],
        "best": {"round": 1, "score": 0.5, "checkpoint": "rounds/0001/train/checkpoint"},
        "accepted": 12,
        "frontierPercent": 50,
        "score": 0.5,
    }


NOTHING_ASKED: Object = {"proposed": 0, "executed": 0, "accepted": 0, "rejected": {}, "easy": 0, "frontier": 0, "hard": 0}


def test_an_undisturbed_run_makes_each_child_once_with_few_requests(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """docs/operator.md states these numbers."""
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="only")):
        lab.start(rounds=1)
        lab.turn(lambda: succeeded(lab), "the run ends")
    assert_ended_well(lab, proxy)
    assert not [request for request in proxy.requests if request.status >= 400]
    events = [request for request in proxy.requests if request.kind == "events"]
    assert len(events) == 2 * (len(CHILDREN) - 1) + 1
    # Events are published beside the looks. The last look may have been cut short when the operator stopped.
    *looks, _ = looks_of([request for request in proxy.requests if request.kind != "events"])
    for look in looks:
        reads = [request.kind for request in look if request.method == "GET"]
        assert sorted(set(reads)) == ["evolutionruns", "inferenceservices", "jobs", "pods", "pytorchjobs"]
        assert len(reads) <= 5 + 1, "pods may be read again"
        writes = [request.method for request in look if request.method != "GET"]
        assert writes.count("POST") <= 1
        assert writes.count("PATCH") <= 1
    advances = [look for look in looks if any(request.method == "POST" for request in look)]
    assert len(advances) == len(CHILDREN)
    # Reads, the child and the status, which a server that is ready before its second look leaves as it was.
    assert {len(look) for look in advances} <= {5 + 1, 5 + 1 + 1, 5 + 1 + 1 + 1}
    deleted = [request.name for request in proxy.requests if request.method == "DELETE"]
    assert len(deleted) == len(set(deleted)) == len(CHILDREN) - len(LEFT)


def looks_of(requests: list[Request]) -> list[list[Request]]:
    """What the only run's looks asked for; each begins with a read of the run."""
    looks: list[list[Request]] = []
    for request in requests:
        if (request.method, request.kind) == ("GET", "evolutionruns"):
            looks.append([])
        looks[-1].append(request)
    return looks


MORTAL = [f"k{write:02}" for write in range(1, 21)]
"""A run each, and the number of its write after which the operator is killed."""


def test_the_operator_may_be_killed_after_each_of_its_writes(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """It never hears the answer to that write; and to all the other runs, the kill comes somewhere."""
    written: Counter[str] = Counter()
    victim = operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="mortal", resync_s=1)

    def kill(request: Request) -> None:
        if request.method == "GET" or request.kind == "events":
            return
        run = request.name[:3]
        written[run] += 1
        if f"k{written[run]:02}" == run and victim.process is not None:
            os.kill(victim.process.pid, signal.SIGKILL)

    def ended() -> bool:
        if all(succeeded(lab, name) for name in MORTAL):
            return True
        if victim.process is None or victim.process.poll() is not None:
            victim.stop()
            try:
                victim.start()
            except RuntimeError as died:
                # Before it told that it is ready.
                assert "exit code -9" in str(died)  # noqa: PT017
        return False

    proxy.after = kill
    for name in MORTAL:
        lab.start(name, rounds=1)
    try:
        lab.turn(ended, "the runs end", limit_s=280)
    finally:
        proxy.after = lambda request: None
        victim.stop()
    for name in MORTAL:
        assert_ended_well(lab, proxy, name)
    killed = [run for run in MORTAL if written[run] >= int(run[1:])]
    assert len(killed) > 2 * len(CHILDREN)


def test_two_operators_at_once_make_no_double_child(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """Both believe that they hold the lease: they go by the same name."""
    both = []
    for place in ("one", "other"):
        folder = tmp_path / place
        folder.mkdir()
        both.append(operator(folder, proxy.kubeconfig(folder), lab.namespace, identity="same"))
    try:
        for each in both:
            each.start()
        lab.start(rounds=1)
        lab.turn(lambda: succeeded(lab), "the run ends")
        assert all(any(line["message"] == "working as same" for line in log_of(each)) for each in both)
    finally:
        for each in both:
            each.stop()
    assert_ended_well(lab, proxy)
    assert lab.reasons().count("RunSucceeded") == 1


def test_a_second_replica_waits_and_takes_over_when_the_first_one_goes(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    first, second = (operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity=name) for name in ("first", "second"))

    def works(daemon: object) -> bool:
        return any(line["message"].startswith("working as") for line in log_of(daemon))

    try:
        first.start()
        eventually(lambda: works(first), "the first one works", 30)
        second.start()
        lab.start(rounds=1)
        lab.turn_to(1, "generate")
        assert not works(second)
        first.stop()
        eventually(lambda: works(second), "the second one works", 30)
        lab.turn(lambda: succeeded(lab), "the run ends")
    finally:
        first.stop()
        second.stop()
    assert_ended_well(lab, proxy)


def test_a_run_ends_even_if_no_watch_ever_tells_anything(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """What is there at the start is listed; everything after it is found by time."""
    proxy.deaf = True
    lab.start(rounds=1)
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="deaf", resync_s=0.5)):
        lab.turn(lambda: succeeded(lab), "the run ends")
    assert_ended_well(lab, proxy)


REFUSALS: dict[str, Object] = {
    "r409": {"code": 409, "reason": "Conflict", "message": "the object has been modified"},
    "r429": {"code": 429, "reason": "TooManyRequests", "message": "slowly", "details": {"retryAfterSeconds": 1}},
    "r500": {"code": 500, "reason": "InternalError", "message": "etcdserver: request timed out"},
    "r503": {"code": 503},
}
"""A run each, and the answer that stands in its way."""


def test_every_request_may_be_refused_once(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    refused: set[tuple[str, str, str, int]] = set()

    def once(request: Request) -> web.Response | None:
        # A read, the first time; a write, the first time after each one that was taken there.
        taken = sum((r.method, r.path, r.name) == (request.method, request.path, request.name) for r in proxy.requests)
        what = (request.method, request.path, request.name, taken if request.method != "GET" else 0)
        if request.kind == "events" or what in refused:
            return None
        refused.add(what)
        refusal = REFUSALS[request.name[:4]]
        return web.json_response({"kind": "Status", **refusal}, status=refusal["code"])

    proxy.before = once
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="refused")):
        for name in REFUSALS:
            lab.start(name, rounds=1)
        lab.turn(lambda: all(succeeded(lab, name) for name in REFUSALS), "the runs end", limit_s=240)
    for name in REFUSALS:
        assert_ended_well(lab, proxy, name)
    assert len(refused) > 2 * len(CHILDREN) * len(REFUSALS)


LATE = ("evolutionruns", "inferenceservices", "jobs", "pods", "pytorchjobs", "everything")
"""A run each, and what of it is read late: all that a look reads."""


def test_every_new_state_may_be_read_late_by_one_version(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    proxy.late = lambda request: request.name.startswith((request.kind, "everything"))
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="late", resync_s=1)):
        for name in LATE:
            lab.start(name, rounds=1)
        lab.turn(lambda: all(succeeded(lab, name) for name in LATE), "the runs end", limit_s=240)
    for name in LATE:
        assert_ended_well(lab, proxy, name)
    assert proxy.shown_late > len(CHILDREN) * len(LATE)


def test_what_is_refused_for_long_stands_in_the_condition(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    def no_jobs(request: Request) -> web.Response | None:
        if (request.method, request.kind) == ("POST", "jobs"):
            return web.json_response({"kind": "Status", "message": "etcd is full", "reason": "InternalError"}, status=500)
        return None

    proxy.before = no_jobs
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="only")):
        lab.start(rounds=1)
        eventually(lambda: lab.condition("Progressing").get("reason") == "ApiServerError", "the run says so", 30)
        assert lab.condition("Progressing")["message"] == "cannot create Job x-r0-prepare: etcd is full; tried again"
        proxy.before = lambda request: None
        lab.turn(lambda: succeeded(lab), "the run ends")
    assert_ended_well(lab, proxy)
