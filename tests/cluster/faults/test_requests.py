"""What the operator asks of the API server: counted, refused, cut, answered slowly or late."""

from itertools import count
from pathlib import Path

from aiohttp import web
from tests.cluster.faults.endings import CHILDREN, LEFT, assert_ended_well, ended
from tests.cluster.faults.proxy import Cut, News, Proxy, Request
from tests.cluster.lab import Lab, at_work, operator
from tests.testbed.api import Object
from tests.testbed.tools.daemon import eventually


def test_an_undisturbed_run_makes_each_child_once_with_few_requests(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """docs/operator.md states these numbers."""
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="only")):
        lab.start(rounds=1)
        lab.turn(lambda: ended(lab), "the run ends")
        lab.wait_told("RunSucceeded")
    assert_ended_well(lab, proxy)
    assert not [request for request in proxy.requests if request.status >= 400]
    events = [request for request in proxy.requests if request.kind == "events"]
    assert len(events) == 2 * (len(CHILDREN) - 1) + 1
    # Events are published and all runs listed beside the looks. The last look may have been cut short when the operator stopped.
    *looks, _ = looks_of([request for request in proxy.requests if request.kind != "events" and request.name])
    for look in looks:
        reads = [request.kind for request in look if request.method == "GET"]
        assert sorted(set(reads)) == ["evolutionruns", "inferenceservices", "jobs", "pods", "pytorchjobs"]
        assert len(reads) <= 5 + 1, "pods may be read again"
        writes = [request.method for request in look if request.method != "GET"]
        assert writes.count("POST") <= 1
        assert writes.count("PATCH") <= 1
    advances = [look for look in looks if any(request.method == "POST" for request in look)]
    assert len(advances) == len(CHILDREN)
    # Reads, the child and the status, which a server that is ready before its second look leaves as it was; a look that makes a
    # child may be the one that removes what is over.
    assert {sum(request.method != "DELETE" for request in look) for look in advances} <= {5 + 1, 5 + 1 + 1, 5 + 1 + 1 + 1}
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


REFUSALS: dict[str, Object] = {
    "r409": {"code": 409, "reason": "Conflict", "message": "the object has been modified"},
    "r429": {"code": 429, "reason": "TooManyRequests", "message": "slowly", "details": {"retryAfterSeconds": 1}},
    "r500": {"code": 500, "reason": "InternalError", "message": "etcdserver: request timed out"},
    "r503": {"code": 503},
}
"""A run each, and the answer that stands in its way."""
HARMS = (*REFUSALS, "cut", "unheard", "slow", "torn")
"""A run each: its requests are refused, or cut off before they come to anything; its writes are taken, but the connection is
reset instead of an answer; all its answers come slowly; every event about it breaks off in the middle, with its watch."""
SLOW_S = 0.3


def test_every_request_may_be_refused_or_cut_off_or_left_unanswered_once(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    met: set[tuple[str, str, str, int]] = set()
    unheard: list[Request] = []
    slowed: list[Request] = []
    torn = count()

    def once(request: Request) -> web.Response | None:
        # A read, the first time; a write, the first time after each one that was taken there.
        taken = sum((r.method, r.path, r.name) == (request.method, request.path, request.name) for r in proxy.requests)
        what = (request.method, request.path, request.name, taken if request.method != "GET" else 0)
        if request.kind == "events" or request.run not in (*REFUSALS, "cut") or what in met:
            return None
        met.add(what)
        if request.run == "cut":
            raise Cut
        refusal = REFUSALS[request.run]
        return web.json_response({"kind": "Status", **refusal}, status=refusal["code"])

    def say_nothing(request: Request) -> None:
        if request.run == "unheard" and request.method != "GET" and request.kind != "events":
            unheard.append(request)
            raise Cut

    def slowly(request: Request) -> float:
        if request.run != "slow":
            return 0.0
        slowed.append(request)
        return SLOW_S

    def tear(news: News) -> bool:
        if news.run == "torn" and next(torn) % 2 == 0:
            raise Cut  # the watch goes on with the same event
        return False

    proxy.before, proxy.after, proxy.slow_s, proxy.lost = once, say_nothing, slowly, tear
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="harmed")):
        for name in HARMS:
            lab.start(name, rounds=1)
        lab.turn(lambda: ended(lab), "the runs end", limit_s=240)
    for name in HARMS:
        assert_ended_well(lab, proxy, name)
    assert len(met) > 2 * len(CHILDREN) * len((*REFUSALS, "cut"))
    assert len(unheard) > 2 * len(CHILDREN)
    assert len(slowed) > 7 * len(CHILDREN)
    assert next(torn) > 2 * 2 * len(CHILDREN)


KINDS = ("evolutionruns", "inferenceservices", "jobs", "pods", "pytorchjobs")
"""All that a look reads."""
LATE = {**{kind.removesuffix("s"): {kind} for kind in KINDS}, "everything": set(KINDS)}
"""A run each, and what of it is read late."""


def test_every_new_state_may_be_read_late_by_one_version(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    """Also that the last of them has gone."""
    proxy.late = lambda request: request.kind in LATE[request.run]
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="late", resync_s=1)):
        for name in LATE:
            lab.start(name, rounds=1)
        lab.turn(lambda: ended(lab), "the runs end", limit_s=240)
    for name in LATE:
        assert_ended_well(lab, proxy, name)
    assert {("inferenceservice", "inferenceservices"), ("everything", "inferenceservices")} <= proxy.outlived
    assert proxy.shown_late == {(name, kind) for name, kinds in LATE.items() for kind in kinds}


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
        lab.turn(lambda: ended(lab), "the run ends")
    assert_ended_well(lab, proxy)
