"""Stands where the cluster adapter stands: a plan's children become files and processes, shown raw. Called by the loop."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from evolution_operator.children.onemachine import LocalChild, PodProcess, timestamp
from evolution_operator.children.registry import BY_NAME
from evolution_operator.errors import RefusedError
from evolution_operator.interface import KubeObject, Observed, Ref
from evolution_operator.local.pods import Node


class LocalCluster:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.children: dict[tuple[str, str], LocalChild] = {}
        self.leaving: list[PodProcess] = []
        """Pods of deleted children that have not ended yet."""
        for kept in node.folder.load_children():
            child = BY_NAME[kept["object"]["kind"]].local.restore(kept, node)
            self.children[child.kind, child.name] = child

    def observed(self) -> Observed:
        """Copies: the planner may keep what it was shown."""
        return Observed(
            children=tuple(_copy(child.raw) for child in self.children.values()),
            pods=tuple(_copy(pod.raw) for pod in self.pods()),
        )

    def pods(self) -> Iterable[PodProcess]:
        for child in self.children.values():
            yield from child.pods.values()
        yield from self.leaving

    @property
    def idle(self) -> bool:
        return all(pod.finished for pod in self.pods())

    def apply(self, manifest: KubeObject, now: datetime) -> None:
        """Create a child; one of that name that exists is left alone, for children are write-once. Raises RefusedError."""
        key = manifest["kind"], manifest["metadata"]["name"]
        if key in self.children:
            return
        if manifest["kind"] not in BY_NAME:
            raise RefusedError(
                f"kind {manifest['kind']} of {key[1]} is unknown here: only {', '.join(BY_NAME)} are run as processes"
            )
        child = BY_NAME[manifest["kind"]].local.create(manifest, self.node, now)
        self._save(child)
        self.children[key] = child

    def delete(self, ref: Ref, now: datetime) -> None:
        """Background propagation: the object goes at once, its pods when they have ended."""
        child = self.children.get((ref.kind, ref.name))
        if child is None or child.uid != ref.uid:
            return
        child.terminate(now)
        for pod in child.going:
            pod.raw["metadata"]["deletionTimestamp"] = timestamp(now)
            if pod.process is not None:
                self.leaving.append(pod)
        del self.children[ref.kind, ref.name]
        self.node.folder.delete_child(ref.kind, ref.name)

    def step(self, now: datetime) -> bool:
        """One pass of every controller; true if anything changed."""
        changed = self.node.programs.read()
        for child in self.children.values():
            if child.step(now):
                self._save(child)
                changed = True
        for pod in list(self.leaving):
            self.node.settle(pod, now)
            if pod.finished:
                self.leaving.remove(pod)
                changed = True
        return changed

    def wake_after_s(self) -> float | None:
        waits = [wait for child in self.children.values() if (wait := child.wake_after_s()) is not None]
        if self.leaving:
            waits.append(1.0)
        return min(waits, default=None)

    def drain(self, now: datetime) -> None:
        """Tell every pod to go, without writing down that it ended: the next start begins it again."""
        for pod in self.pods():
            if not pod.finished:
                self.node.terminate(pod, now)

    def drained(self, now: datetime) -> bool:
        """True once no process is left. Pods past their grace period are killed."""
        self.node.programs.read()
        there = [pod for pod in self.pods() if not pod.finished and pod.process is not None and pod.process.exit is None]
        for pod in there:
            self.node.settle(pod, now)
        return not there

    def _save(self, child: LocalChild) -> None:
        self.node.folder.save_child(child.kind, child.name, child.kept())


def _copy(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key: _copy(value) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_copy(value) for value in raw]
    return raw
