"""A small world to plan in: it keeps a run and raw objects, and does to them what the real controllers do, when told to."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from tests.documents import laid_over
from tests.summaries import stage_summary

from evolution_api.endings import LastWords
from evolution_api.layout import LABEL_ATTEMPT, LABEL_ROLE, LABEL_ROUND, LABEL_STAGE
from evolution_api.run.resource import EvolutionRun
from evolution_api.summaries import AnySummary
from evolution_operator.interface import Event, Observed, Plan, Settings
from evolution_operator.lifecycle.planner import plan

hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis_settings.load_profile("repeatable")

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "rounds": 2,
    "model": {"uri": "file:///models/tiny"},
    "scenes": {"procedural": {}},
    "generation": {"shards": 2},
    "training": {"nodes": 2, "globalBatchSize": 8},
    "storage": {"uri": "s3://bucket/runs"},
    "retry": {"limit": 2, "backoffSeconds": 10, "maxBackoffSeconds": 15},
}


class World:
    """A run, its children and their pods, in a namespace where nothing happens by itself."""

    def __init__(self, **changes: Any) -> None:
        self.now = START
        self.spec = laid_over(SPEC, changes)
        self.meta: dict[str, Any] = {
            "name": "x",
            "namespace": "lab",
            "uid": "uid-x",
            "generation": 1,
            "annotations": {},
            "finalizers": [],
        }
        self.status: dict[str, Any] = {}
        self.children: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.events: list[Event] = []
        self.warnings: list[dict[str, Any]] = []
        """What controllers told of children."""
        self.gone = False
        self.made: list[str] = []
        self._uids = iter(range(10**6))
        self.settings = Settings()

    # ---- the adapter's part

    @property
    def run(self) -> EvolutionRun:
        return EvolutionRun.model_validate({"metadata": self.meta, "spec": self.spec, "status": self.status})

    def look(self) -> Plan:
        observed = Observed(tuple(self.children.values()), tuple(self.pods.values()))
        plan_ = plan(self.run, observed, self.now, self.settings)
        if plan_.unexplained:
            plan_ = plan(self.run, replace(observed, events=tuple(self.warnings)), self.now, self.settings)
        return plan_

    def step(self, *, lose_status: bool = False, lose_deletes: bool = False) -> Plan:
        """Plan once and carry it out, in the order that `Plan` asks for."""
        plan_ = self.look()
        if len(plan_.finalizers) > len(self.meta["finalizers"]):
            self.meta["finalizers"] = list(plan_.finalizers)
        for manifest in plan_.apply:
            self.create(manifest)
        if lose_status:
            return plan_
        self.status = json.loads(plan_.status.model_dump_json(by_alias=True, exclude_none=True))
        if not lose_deletes:
            for ref in plan_.delete:
                assert self.children[ref.name]["metadata"]["uid"] == ref.uid
                self.delete(ref.name)
            self.meta["finalizers"] = list(plan_.finalizers)
            self.gone = "deletionTimestamp" in self.meta and not plan_.finalizers
            self.events += plan_.events
        return plan_

    def settle(self) -> None:
        """Plan until there is nothing more to do at this moment."""
        for _ in range(20):
            before = deepcopy((self.status, sorted(self.children), sorted(self.pods)))
            self.step()
            self.sweep()
            if before == (self.status, sorted(self.children), sorted(self.pods)):
                return
        raise AssertionError("the plan does not come to rest")

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def edit(self, **changes: Any) -> None:
        self.spec = laid_over(self.spec, changes)
        self.meta["generation"] += 1

    def resume(self, value: str) -> None:
        self.meta["annotations"]["evolution.spatial.io/resume"] = value

    def ask_deletion(self) -> None:
        self.meta["deletionTimestamp"] = stamp(self.now)

    # ---- the API server's part

    def create(self, manifest: dict[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        assert name not in self.children, f"{name} is there already"
        raw = deepcopy(manifest)
        raw["metadata"] |= {"uid": f"uid-{next(self._uids)}", "creationTimestamp": stamp(self.now)}
        self.children[name] = raw
        self.made.append(name)

    def delete(self, name: str, *, slowly: bool = False) -> None:
        """Background deletion: the child goes at once (or later, where a finalizer holds it), its pods terminate."""
        self.children[name]["metadata"]["deletionTimestamp"] = stamp(self.now)
        for pod in self.pods_of(name):
            pod["metadata"]["deletionTimestamp"] = stamp(self.now)
        if not slowly:
            del self.children[name]

    def sweep(self) -> None:
        """What is terminating is gone."""
        self.pods = {n: p for n, p in self.pods.items() if "deletionTimestamp" not in p["metadata"]}
        self.children = {n: c for n, c in self.children.items() if "deletionTimestamp" not in c["metadata"]}

    def pods_of(self, name: str) -> list[dict[str, Any]]:
        uid = self.children[name]["metadata"]["uid"]
        return [pod for pod in self.pods.values() if pod["metadata"]["ownerReferences"][0]["uid"] == uid]

    # ---- the controllers' part

    def start(self, name: str) -> None:
        """The child gets its pods, and they run."""
        child = self.children[name]
        kind = child["kind"]
        child["status"] = child.get("status", {})
        if kind == "Job":
            child["spec"]["suspend"] = False
            indexed = child["spec"].get("completionMode") == "Indexed"
            for index in range(child["spec"].get("completions", 1)):
                label = {"batch.kubernetes.io/job-completion-index": str(index)} if indexed else {}
                self._pod(child, f"{name}-{index}-{next(self._uids)}", child["spec"]["template"]["metadata"]["labels"] | label)
            child["status"] |= {"startTime": stamp(self.now)}
        elif kind == "PyTorchJob":
            child["spec"]["runPolicy"]["suspend"] = False
            for role, replica in child["spec"]["pytorchReplicaSpecs"].items():
                for index in range(replica["replicas"]):
                    label = {"training.kubeflow.org/replica-type": role.lower()}
                    self._pod(child, f"{name}-{role.lower()}-{index}", replica["template"]["metadata"]["labels"] | label)
            child["status"] |= {"startTime": stamp(self.now), "conditions": [condition("Running", self.now)]}
        else:
            self._pod(child, f"{name}-predictor-{next(self._uids)}", child["spec"]["predictor"]["labels"], "ReplicaSet")

    def _pod(self, child: dict[str, Any], name: str, labels: dict[str, str], owner: str | None = None) -> None:
        reference = {"kind": owner or child["kind"], "uid": child["metadata"]["uid"]}
        self.pods[name] = {
            "metadata": {"name": name, "namespace": "lab", "labels": labels, "ownerReferences": [reference]},
            "status": {"phase": "Running", "containerStatuses": [{"name": "main", "state": {"running": {}}, "restartCount": 0}]},
        }

    def ready(self, name: str) -> None:
        self.start(name)
        self.children[name]["status"] = {
            "conditions": [condition("PredictorReady", self.now), condition("Ready", self.now)],
            "address": {"url": f"http://{name}-predictor.lab.svc.cluster.local"},
        }

    def refuse_pods(self, name: str, words: str) -> None:
        """The child's controller cannot make its pods, and says so in an event."""
        involved = {"kind": self.children[name]["kind"], "uid": self.children[name]["metadata"]["uid"]}
        meta = {"resourceVersion": str(next(self._uids))}
        self.warnings.append({"metadata": meta, "involvedObject": involved, "message": f"Error creating: {words}"})

    def hold_up(self, name: str, reason: str, message: str) -> None:
        """Its pods are there and cannot start."""
        if not self.pods_of(name):
            self.start(name)
        for pod in self.pods_of(name):
            pod["status"] = {
                "phase": "Pending",
                "containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}],
            }

    def end_pod(self, pod: dict[str, Any], code: int, message: str | None, reason: str = "") -> None:
        end = {"exitCode": code, "reason": reason or ("Error" if code else "Completed")}
        end |= {"message": message} if message is not None else {}
        pod["status"]["phase"] = "Failed" if code else "Succeeded"
        pod["status"]["containerStatuses"] = [{"name": "main", "state": {"terminated": end}, "restartCount": 0}]

    def succeed(self, name: str, summary: AnySummary | None = None, *, mute: bool = False) -> None:
        child = self.children[name]
        if not self.pods_of(name):
            self.start(name)
        labels = child["metadata"]["labels"]
        words = LastWords(summary=summary or stage_summary(labels[LABEL_STAGE], int(labels[LABEL_ROUND])))
        for pod in self.pods_of(name):
            self.end_pod(pod, 0, None if mute else words.to_json())
        type_ = "Complete" if child["kind"] == "Job" else "Succeeded"
        child["status"] |= {"conditions": [condition(type_, self.now)], "completionTime": stamp(self.now)}

    def fail(
        self,
        name: str,
        words: str = "disk full",
        *,
        code: int = 1,
        shards: tuple[int, ...] = (0,),
        retryable: bool = True,
    ) -> None:
        """The pods of these shards fail; the others of a Job succeed, those of a PyTorchJob are stopped."""
        child = self.children[name]
        if not self.pods_of(name):
            self.start(name)
        labels = child["metadata"]["labels"]
        good = LastWords(summary=stage_summary(labels[LABEL_STAGE], int(labels[LABEL_ROUND]))).to_json()
        bad = LastWords(error=words, retryable=retryable).to_json()
        pods = self.pods_of(name)
        for index, pod in enumerate(pods):
            if index in shards:
                self.end_pod(pod, code, bad)
            elif child["kind"] == "Job":
                self.end_pod(pod, 0, good)
            else:
                self.end_pod(pod, 143, LastWords(error="terminated by SIGTERM").to_json())
        failed = condition("Failed", self.now) | {"reason": "FailedIndexes", "message": "Job has failed indexes"}
        child["status"] |= {"conditions": [failed]}
        if child["spec"].get("completionMode") == "Indexed":
            child["status"]["completedIndexes"] = ",".join(str(i) for i in range(len(pods)) if i not in shards)

    # ---- the storyteller's part

    def pass_all(self, until: str | None = None) -> None:
        """Let everything that is made succeed, until a child of that name is there or the run rests."""
        for _ in range(200):
            self.settle()
            if until is not None and until in self.children:
                return
            work = [n for n, c in self.children.items() if not finished(c)]
            if not work:
                assert until is None, f"{until} never came; there are {sorted(self.children)}"
                return
            for name in work:
                if self.children[name]["kind"] == "InferenceService":
                    if "status" not in self.children[name]:
                        self.ready(name)
                else:
                    self.succeed(name)
            self.wait(1)

    def condition(self, type_: str) -> dict[str, Any]:
        return next(c for c in self.status["conditions"] if c["type"] == type_)

    def true_conditions(self, *, for_kstatus: bool = False) -> list[str]:
        true = [c["type"] for c in self.status["conditions"] if c["status"] == "True"]
        return [type_ for type_ in true if (type_ in ("Reconciling", "Stalled")) == for_kstatus]

    def alive_attempts(self) -> set[tuple[str, str, str]]:
        """(round, stage, attempt) of whatever holds a pod or may come to hold one."""
        keys = (LABEL_ROUND, LABEL_STAGE, LABEL_ATTEMPT)
        alive = [c["metadata"]["labels"] for c in self.children.values() if not finished(c)]
        alive += [p["metadata"]["labels"] for p in self.pods.values() if p["status"]["phase"] == "Running"]
        return {tuple(labels[key] for key in keys) for labels in alive}  # type: ignore[misc]

    def roles_alive(self) -> set[tuple[str, str]]:
        alive = [c["metadata"]["labels"] for c in self.children.values() if not finished(c)]
        alive += [p["metadata"]["labels"] for p in self.pods.values() if p["status"]["phase"] == "Running"]
        return {(labels[LABEL_STAGE], labels[LABEL_ROLE]) for labels in alive}


def finished(child: dict[str, Any]) -> bool:
    conditions = child.get("status", {}).get("conditions", [])
    return any(c["type"] in ("Complete", "Succeeded", "Failed") and c["status"] == "True" for c in conditions)


def condition(type_: str, at: datetime) -> dict[str, Any]:
    return {"type": type_, "status": "True", "reason": type_, "lastTransitionTime": stamp(at)}


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@pytest.fixture
def world_of() -> Iterator[type[World]]:
    return World


@pytest.fixture
def world() -> World:
    return World()
