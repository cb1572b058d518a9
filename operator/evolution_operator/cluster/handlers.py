"""What Kopf watches, and whom it wakes. The handlers decide nothing: they only say which run wants to be looked at, and how soon.

What can move a run on wakes it at once; other news of its children (a pod was scheduled, a container started) is gathered for a
second, so that a busy run costs a look a second and not one for each of its pods. What the operator itself has just written is no
news: a run whose status changed, a child that came to be.
"""

from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories

from evolution_api.layout import GROUP, LABEL_RUN, PLURAL, VERSION
from evolution_operator.children.registry import BY_NAME, KINDS, is_alive
from evolution_operator.children.verdict import condition, pod_is_active
from evolution_operator.cluster.metrics import observe_lag
from evolution_operator.cluster.reconciler import Reconciler
from evolution_operator.cluster.workqueue import Key, WorkQueue
from evolution_operator.interface import KubeObject
from evolution_operator.pod import LABEL_MANAGED_BY, MANAGER, run_label

WATCHED = (*((kind.group, kind.version, kind.plural) for kind in KINDS), ("", "v1", "pods"))
"""Children and their pods: those with the operator's label."""
GATHER_S = 1.0
SURELY_WHOLE = 60
"""Characters: a shorter label is a run's whole name, for cutting leaves 63 less a few dots and dashes."""
WORKER_IDLE_S = 1
"""After which Kopf ends the task that it gave an object; each keeps memory."""
API_PATIENCE_S = (0.2, 0.5, 1, 2, 5, *[10] * 60)
"""Waits between tries of Kopf's own requests while the API server is away: ten minutes, then the process ends."""


class NothingRemembered(ResourceMemories):  # type: ignore[misc]
    """What Kopf keeps of every object that it has heard of, for handlers that are tried again, of which there are none here."""

    async def recall(self, raw_body: Any, **options: Any) -> Any:
        return await super().recall(raw_body, **{**options, "ephemeral": True})


class NothingToCompare(kopf.DiffBaseStorage):  # type: ignore[misc]
    """What Kopf compares for handlers of changes, of which there are none here; its own copies every object that it hears of."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        pass


def settings(*, namespaced: bool) -> Any:
    """kopf.OperatorSettings: no peering (there is the lease), no events of Kopf's own, watches that notice when they are dead."""
    chosen = kopf.OperatorSettings()
    # Who serves chosen namespaces has no right to ask which kinds and namespaces come and go.
    chosen.scanning.disabled = namespaced
    chosen.persistence.diffbase_storage = NothingToCompare()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.queueing.idle_timeout = WORKER_IDLE_S
    chosen.networking.error_backoffs = API_PATIENCE_S
    chosen.networking.connect_timeout = 5
    chosen.networking.request_timeout = 60
    chosen.watching.server_timeout = 300
    for resource in WATCHED:
        chosen.watching.label_selectors[resource] = f"{LABEL_MANAGED_BY}={MANAGER}"
    return chosen


def registry(workqueue: WorkQueue, reconciler: Reconciler, login: Any) -> Any:
    """kopf.OperatorRegistry with everything that wakes a run."""
    heard: set[str] = set()
    """Children of which something decisive was heard, by uid."""

    async def run_changed(event: Any, **_: Any) -> None:
        reconciler.recent.heard(event["object"])
        meta = event["object"]["metadata"]
        if event["type"] == "DELETED" or not reconciler.knows(event["object"]):
            workqueue.wake(Key(meta["namespace"], meta["name"]))

    async def child_changed(event: Any, **_: Any) -> None:
        reconciler.recent.heard(event["object"])
        meta = event["object"]["metadata"]
        label = meta.get("labels", {}).get(LABEL_RUN)
        decisive = decisive_of(event["object"])
        if event["type"] == "DELETED":
            heard.discard(meta["uid"])
        elif decisive and meta["uid"] not in heard:
            heard.add(meta["uid"])
            if event["type"] == "MODIFIED":  # what is there at the start is no news
                observe_lag(decisive)
        if event["type"] == "ADDED" and not decisive:
            return  # it is ours, made just now, or a pod that nothing has happened to yet
        # What still held a pod when it went may be what a run waits for.
        at_once = decisive if event["type"] != "DELETED" else holds_pod(event["object"])
        within_s = 0.0 if at_once else GATHER_S
        for key in runs_of(meta["namespace"], label, workqueue) if label else ():
            workqueue.wake(key, within_s)

    async def log_in(**_: Any) -> Any:
        return login()

    found = kopf.OperatorRegistry()
    kopf.on.login(registry=found)(log_in)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=found)(run_changed)
    for resource in WATCHED:
        kopf.on.event(*resource, registry=found)(child_changed)
    return found


def decisive_of(child: KubeObject) -> list[KubeObject]:
    """The child's conditions that can move a run on, where they are true; a pod's never can."""
    kind = BY_NAME.get(child["kind"])
    return [c for name in sorted(kind.decisive) if (c := condition(child, name)) is not None] if kind is not None else []


def holds_pod(child: KubeObject) -> bool:
    """Whether it is, or may still make, a pod that has not ended."""
    return pod_is_active(child) if child["kind"] == "Pod" else is_alive(child, ())


def runs_of(namespace: str, label: str, workqueue: WorkQueue) -> list[Key]:
    """The run that a label names; or several, where the names were too long for a label."""
    if len(label) < SURELY_WHOLE:
        return [Key(namespace, label)]
    return [key for key in workqueue.known() if key.namespace == namespace and run_label(key.name) == label]
