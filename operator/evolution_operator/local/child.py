"""What the three kinds of children have in common: an object, its pods, conditions, and an end.

A subclass stands for the controller that a cluster has for its kind: it starts pods and writes the status that the real one
writes. Its facts follow from the object and its pods alone, so a child that was read from disk goes on like any other.
"""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from evolution_operator.local.pods import Node, PodProcess, only, settle, start, terminate, timestamp

META_FIELDS = frozenset(
    {"name", "namespace", "labels", "annotations", "ownerReferences", "uid", "generation", "creationTimestamp"}
)


class Child(ABC):
    def __init__(self, raw: dict[str, Any], pods: Mapping[str, PodProcess], node: Node) -> None:
        self.raw = raw
        self.pods = dict(pods)
        self.node = node

    @classmethod
    def create(cls, manifest: Mapping[str, Any], node: Node, now: datetime) -> "Child":
        """The child as the API server would keep it. Raises RefusedError for a field that this machine cannot honour."""
        only(f"{manifest['kind']}.metadata", manifest["metadata"], META_FIELDS)
        kept = {"uid": str(uuid.uuid4()), "generation": 1, "creationTimestamp": timestamp(now)}
        child = cls({**manifest, "metadata": {**manifest["metadata"], **kept}, "status": {}}, {}, node)
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
    def restore(cls, kept: Mapping[str, Any], node: Node) -> "Child":
        """A child as an earlier start left it. That start's processes are gone, so their pods are too."""
        pods = [PodProcess(raw) for raw in kept["pods"]]
        child = cls(kept["object"], {pod.name: pod for pod in pods if pod.finished}, node)
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
        settled = [settle(pod, self.node, now) for pod in self.pods.values()]
        self.reconcile(now)
        return any(settled) or before != (repr(self.status), len(self.pods))

    def add(self, pod: PodProcess, now: datetime, *, share: int) -> None:
        self.pods[pod.name] = pod
        start(pod, self.node, now, share=share)

    def terminate(self, now: datetime) -> None:
        for pod in self.going:
            terminate(pod, self.node, now)

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
