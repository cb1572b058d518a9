"""The operator is killed after each write of a run: one run for each, with an operator of its own that is killed once."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.faults.endings import ended, made
from tests.cluster.faults.forked import Forked
from tests.cluster.faults.proxy import Proxy, Request
from tests.cluster.lab import SPEC, Lab, comparable
from tests.testbed.api import Api, Object, own_namespace
from tests.testbed.tools.daemon import eventually

from evolution_api.endings import LastWords

AT_ONCE = 12
"""Runs: each is mostly waiting for the Job controller, which looks at a Job once a second."""
POLL_S = 0.5
Story = Callable[[Lab, str], Object]
"""What people and nodes do to a run of that name; its status in the end."""


def smooth(lab: Lab, name: str) -> Object:
    def awaited(child: Object) -> bool:
        return child["kind"] != "InferenceService" or lab.condition("Progressing", name).get("reason") == "WaitingForServer"

    lab.start(name, rounds=1)
    lab.turn(lambda: ended(lab), "the run ends", spared=lambda child: not awaited(child))
    return lab.status(name)


def troubled(lab: Lab, name: str) -> Object:
    """A failed attempt, a stage that is suspended and resumed, and a deletion with what is stored; the status before that."""
    storage = {**SPEC["storage"], "onDelete": "Delete"}
    lab.start(name, rounds=1, storage=storage, retry={"limit": 1, "backoffSeconds": 0})
    first = lab.turn_to(0, "prepare")
    eventually(lambda: len(lab.pods_of(first)) == 1, "its pod", poll_s=POLL_S)
    lab.fail(first, LastWords(error="the scenes are gone"))
    lab.turn_to(0, "evaluate")
    eventually(lambda: lab.condition("Progressing", name).get("reason") == "StageRunning", "the run says so", poll_s=POLL_S)
    lab.edit(name, suspend=True)
    eventually(lambda: lab.condition("Suspended", name).get("status") == "True", "the run is suspended", poll_s=POLL_S)
    lab.edit(name, suspend=False)
    lab.turn_to(0, "evaluate")
    eventually(lambda: lab.condition("Progressing", name).get("reason") == "StageRunning", "the run says so", poll_s=POLL_S)
    status = lab.status(name)
    lab.delete(name)
    lab.turn(lambda: not (lab.exists(name) or lab.names()), "the run is gone")
    return status


STORIES: dict[str, Story] = {"smooth": smooth, "troubled": troubled}
STATUS = "PATCH evolutionruns/status"
Write = tuple[str, int]
"""What is written, and the how manieth of those of a run."""


@dataclass
class Played:
    """A run with its operator."""

    story: str
    name: str
    operator: Forked
    last: Write | None
    """After it, the operator is killed."""
    written: Counter[str] = field(default_factory=Counter)
    """Events aside, from which nothing is decided."""
    killed: bool = False
    status: Object = field(default_factory=dict)


def test_the_operator_may_be_killed_after_each_write_of_a_run(api: Api, proxy: Proxy, lab: Lab, tmp_path: Path) -> None:
    """It never hears the answer to that write. Children and status are in the end those of the undisturbed run of that story."""
    runs: dict[str, Played] = {}
    kubeconfig = proxy.kubeconfig(tmp_path)

    def play(story: str, last: Write | None) -> Played:
        with own_namespace(api) as namespace:
            name = namespace.replace("-", "")
            run = runs[name] = Played(story, name, Forked(kubeconfig, namespace, tmp_path / f"{name}.log"), last)
            with run.operator.kept_at_work():
                run.status = comparable(STORIES[story](Lab(api, namespace, POLL_S), name))
        return run

    def kill(request: Request) -> None:
        if request.method == "GET" or request.kind == "events":
            return
        run, what = runs[request.run], what_of(request)
        run.written[what] += 1
        if (what, run.written[what]) == run.last:
            run.operator.kill()
            run.killed = True

    proxy.after = kill
    with ThreadPoolExecutor(AT_ONCE) as pool:
        undisturbed = {run.story: run for run in pool.map(play, STORIES, [None] * len(STORIES))}
        assert next(iter(undisturbed["troubled"].written)) == "PATCH evolutionruns", "its finalizer comes before what could store"
        stories = [run.story for run in undisturbed.values() for _ in range(run.written.total())]
        lasts = [(what, n + 1) for run in undisturbed.values() for what, times in run.written.items() for n in range(times)]
        disturbed = list(pool.map(play, stories, lasts))
    for run in disturbed:
        model = undisturbed[run.story]
        assert (run.status, made(proxy, run.name)) == (model.status, made(proxy, model.name)), run
    missed = [run.last[0] for run in disturbed if run.last is not None and not run.killed]
    assert missed in ([], [STATUS], [STATUS] * 2), "how often it says for what it waits is up to the garbage collector"


def what_of(request: Request) -> str:
    of_run = request.name.removeprefix(request.run)
    return f"{request.method} {request.kind}{of_run}{'/status' if request.path.endswith('/status') else ''}"
