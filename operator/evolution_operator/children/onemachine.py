"""What all kinds of children have in common on one machine, where a pod is a process: an object, pods, conditions, and an end.

A kind's own file says what its controller does; what touches the machine is behind the protocol `Machine`, filled in by `local`.
"""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from evolution_operator.errors import RefusedError

LOOPBACK = "127.0.0.1"


def timestamp(now: datetime) -> str:
    return now.isoformat().replace("+00:00", "Z")


def only(where: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises RefusedError for a field that a process cannot honour."""
    for name in given.keys() - set(known):
        raise RefusedError(f"{where}.{name} = {given[name]!r} cannot be honoured on one machine without a cluster; leave it out")


@dataclass
class Process:
    """One program; `exit` is its code, 128 + n where signal n ended it."""

    id: str
    pid: int | None = None
    exit: int | None = None


@dataclass
class PodProcess:
    """`raw` is what the API server would show; `process` is None for one that an earlier start ran."""

    raw: dict[str, Any]
    process: Process | None = None
    devices: tuple[str, ...] = ()
    kill_at: datetime | None = None
    """End of the grace period, once the pod was told to go."""

    @property
    def name(self) -> str:
        return str(self.raw["metadata"]["name"])

    @property
    def phase(self) -> str:
        return str(self.raw["status"]["phase"])

    @property
    def finished(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


class Machine(Protocol):
    """What a controller may ask of the machine."""

    def start(self, pod: PodProcess, now: datetime, *, share: int) -> None:
        """Start the pod's program, unless the devices that it asks for are taken: then it stays pending, as on a full cluster.

        `share` is how many threads of work share the machine's cores while it runs.
        """
        ...

    def settle(self, pod: PodProcess, now: datetime) -> bool:
        """Write into the pod's status what became of its process; true if that changed it."""
        ...

    def terminate(self, pod: PodProcess, now: datetime) -> None:
        """SIGTERM now and SIGKILL after the pod's grace period; a second call changes nothing."""
        ...

    def free_port(self) -> int:
        """A port that was free a moment ago; a program that finds it taken fails and is tried again on another."""
        ...

    def answers(self, port: int, path: str, timeout_s: float) -> bool:
        """Whether a server on loopback answers there with success."""
        ...


CONTAINER_FIELDS = frozenset(
    {
        "name",
        "image",  # the installed package is the image; the command line refuses another one
        "command",
        "args",
        "env",
        "resources",
        "volumeMounts",
        "ports",
        "readinessProbe",
        "terminationMessagePolicy",
        "securityContext",  # a promise about what the process may not do; it is the user's own process here
    }
)
POD_FIELDS = frozenset(
    {
        "automountServiceAccountToken",
        "containers",
        "securityContext",
        "shareProcessNamespace",
        "terminationGracePeriodSeconds",
        "volumes",
    }
)


def new_pod(
    name: str, template: Mapping[str, Any], owner: Mapping[str, Any], labels: Mapping[str, str], env: Mapping[str, str]
) -> PodProcess:
    """A pending pod of `owner` after `template`, with further labels and the variables that its controller injects."""
    spec = dict(template["spec"])
    (main,) = spec["containers"]
    only("container", main, CONTAINER_FIELDS)
    only("pod", spec, POD_FIELDS | {"restartPolicy"})
    spec["containers"] = [{**main, "env": [*main.get("env", ()), *({"name": k, "value": v} for k, v in env.items())]}]
    return PodProcess(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": owner["metadata"]["namespace"],
                "uid": str(uuid.uuid4()),
                "labels": {**template.get("metadata", {}).get("labels", {}), **labels},
                "ownerReferences": [
                    {
                        "apiVersion": owner["apiVersion"],
                        "kind": owner["kind"],
                        "name": owner["metadata"]["name"],
                        "uid": owner["metadata"]["uid"],
                        "controller": True,
                    }
                ],
            },
            "spec": spec,
            "status": {"phase": "Pending"},
        }
    )


META_FIELDS = frozenset(
    {"name", "namespace", "labels", "annotations", "ownerReferences", "uid", "generation", "creationTimestamp"}
)


class LocalChild(ABC):
    """Stands for the controller that a cluster has for its kind: it starts pods and writes the status that the real one writes.

    Its facts follow from the object and its pods alone, so a child that was read from disk goes on like any other.
    """

    def __init__(self, raw: dict[str, Any], pods: Mapping[str, PodProcess], machine: Machine) -> None:
        self.raw = raw
        self.pods = dict(pods)
        self.machine = machine

    @classmethod
    def create(cls, manifest: Mapping[str, Any], machine: Machine, now: datetime) -> "LocalChild":
        """The child as the API server would keep it. Raises RefusedError for a field that this machine cannot honour."""
        only(f"{manifest['kind']}.metadata", manifest["metadata"], META_FIELDS)
        kept = {"uid": str(uuid.uuid4()), "generation": 1, "creationTimestamp": timestamp(now)}
        child = cls({**manifest, "metadata": {**manifest["metadata"], **kept}, "status": {}}, {}, machine)
        child.check()
        return child

    @property
    def kind(self) -> str:
        return str(self.raw["kind"])

    @property
    def name(self) -> str:
        return str(self.raw["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.raw["metadata"]["uid"])

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.raw["status"]
        return status

    @property
    def going(self) -> list[PodProcess]:
        return [pod for pod in self.pods.values() if not pod.finished]

    @classmethod
    def restore(cls, kept: Mapping[str, Any], machine: Machine) -> "LocalChild":
        """A child as an earlier start left it. That start's processes are gone, so their pods are too."""
        pods = [PodProcess(raw) for raw in kept["pods"]]
        child = cls(kept["object"], {pod.name: pod for pod in pods if pod.finished}, machine)
        if len(child.pods) < len(pods):
            child.disrupted()
        return child

    def kept(self) -> dict[str, Any]:
        return {"object": self.raw, "pods": [pod.raw for pod in self.pods.values()]}

    def disrupted(self) -> None:
        """Some of its pods were taken away: forget what no longer holds."""
        self.status.clear()

    @abstractmethod
    def check(self) -> None:
        """Raises RefusedError for a field of the spec that a process cannot honour."""

    @abstractmethod
    def reconcile(self, now: datetime) -> None:
        """Start what is missing and write the status. Called after every change and whenever `wake_after_s` has passed."""

    def wake_after_s(self) -> float | None:
        """Seconds after which time alone may change something; None if only the end of a process can."""
        return 1.0 if any(pod.kill_at is not None or pod.process is None for pod in self.going) else None

    def step(self, now: datetime) -> bool:
        """One pass of the controller; true if the object or a pod changed."""
        before = (repr(self.status), len(self.pods))
        settled = [self.machine.settle(pod, now) for pod in self.pods.values()]
        self.reconcile(now)
        return any(settled) or before != (repr(self.status), len(self.pods))

    def add(self, pod: PodProcess, now: datetime, *, share: int) -> None:
        self.pods[pod.name] = pod
        self.machine.start(pod, now, share=share)

    def terminate(self, now: datetime) -> None:
        for pod in self.going:
            self.machine.terminate(pod, now)

    def condition(self, type_: str, status: str, now: datetime, reason: str, message: str = "") -> None:
        """Set one condition; its transition time moves only when its status does."""
        conditions: list[dict[str, Any]] = self.status.setdefault("conditions", [])
        old = next((c for c in conditions if c["type"] == type_), None)
        since = old["lastTransitionTime"] if old is not None and old["status"] == status else timestamp(now)
        new = {"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}
        if old is None:
            conditions.append(new)
        else:
            old.update(new)

    def has(self, type_: str) -> bool:
        return any(c["type"] == type_ and c["status"] == "True" for c in self.status.get("conditions", ()))
