"""A namespace in which the operator works as a process of its own, and whatever its children wait for is done by hand.

On a control plane without nodes the real Job controller makes pods and judges Jobs; here their pods end as a kubelet would
say it, PyTorchJobs get pods and conditions, and InferenceServices get ready. Used by the operator's tests.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tests.summaries import stage_summary
from tests.testbed.api import Api, Object, Refused, address, collection
from tests.testbed.control_plane import TIED
from tests.testbed.tools.daemon import LOOPBACK, POLL_S, Daemon, eventually, free_ports

from evolution_api.endings import LastWords
from evolution_api.layout import API_VERSION, KIND, LABEL_ROLE, LABEL_ROUND, LABEL_RUN, LABEL_STAGE
from evolution_operator.pod import LABEL_QUEUE

CHILDREN = (("batch/v1", "Job"), ("kubeflow.org/v1", "PyTorchJob"), ("serving.kserve.io/v1beta1", "InferenceService"))
ENDS = ("Complete", "Succeeded", "Failed")
LABEL_REPLICA = "training.kubeflow.org/replica-type"
PATIENCE_S = 120
SPEC: Object = {
    "rounds": 2,
    "model": {"uri": "s3://models/tiny"},
    "scenes": {"procedural": {"rooms": 60}},
    "generation": {"shards": 2, "parallelism": 2},
    "training": {"nodes": 2, "globalBatchSize": 8},
    "storage": {"uri": "s3://bucket/runs", "secretName": "credentials"},
    "retry": {"limit": 2, "backoffSeconds": 1},
}
STAGES = ((0, "prepare"), (0, "evaluate"), (1, "generate"), (1, "probe"), (1, "train"), (1, "evaluate"))
"""Of a run of one round, with their rounds."""


def upstream(group: str, version: str, kind: str) -> Object:
    """A CustomResourceDefinition for someone else's kind, as far as a client notices: any spec, any status."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": free, "status": free}}
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


UPSTREAM = (
    upstream("kubeflow.org", "v1", "PyTorchJob"),
    upstream("serving.kserve.io", "v1beta1", "InferenceService"),
)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Lab:
    def __init__(self, api: Api, namespace: str, poll_s: float = POLL_S) -> None:
        self.api = api
        self.namespace = namespace
        self._poll_s = poll_s
        """Between two looks at the children."""

    # ---- what a user does

    def start(self, name: str = "x", **changes: Any) -> None:
        meta = {"name": name, "namespace": self.namespace}
        spec = {**SPEC, **changes}
        self.api.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": spec})

    def edit(self, name: str = "x", **spec: Any) -> None:
        self.api.patch(self._address(name), {"spec": spec})

    def delete(self, name: str = "x") -> None:
        self.api.delete(self._address(name))

    def run(self, name: str = "x") -> Object:
        return self.api.get(self._address(name))

    def exists(self, name: str = "x") -> bool:
        try:
            self.run(name)
        except Refused as refused:
            if refused.code == 404:
                return False
            raise
        return True

    def status(self, name: str = "x") -> Object:
        found: Object = self.run(name).get("status", {})
        return found

    def runs(self) -> list[Object]:
        return self._list(API_VERSION, KIND)

    def condition(self, type_: str, name: str = "x") -> Object:
        conditions: list[Object] = self.status(name).get("conditions", [])
        return next((c for c in conditions if c["type"] == type_), {})

    def place(self, name: str = "x") -> tuple[Any, Any]:
        status = self.status(name)
        return status.get("round"), status.get("stage")

    def reasons(self) -> list[str]:
        """Of the events about runs, in the order in which they were published."""
        found = self._list("v1", "Event")
        ours = [event for event in found if event["involvedObject"]["kind"] == KIND]
        return [event["reason"] for event in sorted(ours, key=lambda e: int(e["metadata"]["resourceVersion"]))]

    def wait_told(self, *reasons: str) -> None:
        """Events are published beside the work: they come a while after the status that they are about."""
        eventually(lambda: set(reasons) <= set(self.reasons()), f"events tell {reasons}")

    # ---- what is there

    def children(self) -> list[Object]:
        return [child for version, kind in CHILDREN for child in self._list(version, kind)]

    def names(self) -> list[str]:
        return sorted(child["metadata"]["name"] for child in self.children())

    def pods(self) -> list[Object]:
        return self._list("v1", "Pod")

    def child(self, name: str) -> Object | None:
        return next((child for child in self.children() if child["metadata"]["name"] == name), None)

    # ---- what a node, the training operator and KServe do

    def finish(self, child: Object) -> None:
        """A child under way comes to its good end, once it is out of its queue; a service gets ready."""
        self._admit(child)
        if child["kind"] == "InferenceService":
            self._tell(child, ready_status(child))
        elif child["kind"] == "PyTorchJob":
            # The master last: it is the one that speaks.
            for role, replica in reversed(child["spec"]["pytorchReplicaSpecs"].items()):
                for index in range(replica["replicas"]):
                    self._end_pod(self._pod_of(child, role.lower(), index))
            condition = {"type": "Succeeded", "status": "True", "lastTransitionTime": now()}
            self._tell(child, {"conditions": [condition], "completionTime": now()})
        else:
            for pod in self.pods_of(child):
                self._end_pod(pod)

    def fail(self, child: Object, words: LastWords) -> None:
        """Every pod of a Job ends badly, with these last words."""
        for pod in self.pods_of(child):
            self._end_pod(pod, words, exit_code=1)

    def hold_up(self, child: Object, reason: str, message: str) -> None:
        """Its pods cannot start, and say why."""
        for pod in self.pods_of(child):
            waiting = {"waiting": {"reason": reason, "message": message}}
            self._tell(pod, {"phase": "Pending", "containerStatuses": [_container(pod, waiting)]})

    def hold_back(self, service: Object) -> None:
        """A server's pod as KServe makes it, which Kueue has not admitted."""
        predictor = service["spec"]["predictor"]
        own = {key: value for key, value in predictor.items() if key not in ("labels", "minReplicas", "maxReplicas", "timeout")}
        template = {"metadata": {"labels": predictor["labels"]}, "spec": own}
        pod = pod_made_by(service, f"{service['metadata']['name']}-predictor-0", template, {})
        pod["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
        self.api.create(pod)

    def turn(
        self,
        until: Callable[[], bool],
        what: str,
        limit_s: float = PATIENCE_S,
        spared: Callable[[Object], bool] = lambda child: False,
    ) -> None:
        """Finish every child that comes up, but those that are spared, until that holds."""

        def step() -> bool:
            self.finish_all(lambda child: not spared(child))
            return until()

        eventually(step, what, limit_s, self._poll_s)

    def turn_to(self, round_: int, stage: str, role: str = "work") -> Object:
        """Finish children until that one is there; it is left alone."""

        def is_it(child: Object) -> bool:
            return is_of(child, round_, stage, role)

        found: list[Object] = []

        def step() -> bool:
            self.finish_all(lambda child: not is_it(child))
            found[:] = filter(is_it, self.children())
            return bool(found)

        eventually(step, f"{stage} of round {round_} is under way", PATIENCE_S, self._poll_s)
        return found[0]

    def finish_all(self, chosen: Callable[[Object], bool]) -> None:
        """What is chosen among the children under way comes to its good end."""
        try:
            for child in self.children():
                if chosen(child) and not is_finished(child) and "deletionTimestamp" not in child["metadata"]:
                    self.finish(child)
        except Refused as refused:
            # Deleted or written by somebody else at the same time, or the API server has just started; seen again in a moment.
            if refused.code not in (404, 409, 429):
                raise

    # ---- parts

    def _address(self, name: str) -> str:
        return address({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": self.namespace}})

    def _list(self, version: str, kind: str, selector: str = "") -> list[Object]:
        where = collection({"apiVersion": version, "kind": kind, "metadata": {"namespace": self.namespace}})
        try:
            answer = self.api.get(f"{where}?labelSelector={selector}")
        except Refused as refused:
            if refused.code == 404:
                return []
            raise
        return [{"apiVersion": version, "kind": kind, **item} for item in answer["items"]]

    def _tell(self, child: Object, status: Object) -> None:
        self.api.patch(f"{address(child)}/status", {"status": status})

    def pods_of(self, child: Object) -> list[Object]:
        meta = child["metadata"]
        run = meta.get("labels", {}).get(LABEL_RUN)  # a stranger's child has none
        pods = self._list("v1", "Pod", f"{LABEL_RUN}={run}" if run else "")
        return [pod for pod in pods if any(o["uid"] == meta["uid"] for o in pod["metadata"].get("ownerReferences", ()))]

    def _pod_of(self, job: Object, role: str, index: int) -> Object:
        """The pod that the training operator makes."""
        meta, template = job["metadata"], job["spec"]["pytorchReplicaSpecs"][role.capitalize()]["template"]
        pod = pod_made_by(job, f"{meta['name']}-{role}-{index}", template, {LABEL_REPLICA: role})
        try:
            return {"kind": "Pod", "apiVersion": "v1", **self.api.create(pod)}
        except Refused as refused:
            if refused.reason != "AlreadyExists":
                raise
            return {"kind": "Pod", "apiVersion": "v1", **self.api.get(address(pod))}

    def _end_pod(self, pod: Object, words: LastWords | None = None, exit_code: int = 0) -> None:
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        self._tell(pod, end_status(pod, words, exit_code))

    # ---- parts

    def _admit(self, child: Object) -> None:
        """What Kueue does to a child in a queue when there is room."""
        if LABEL_QUEUE not in child["metadata"].get("labels", {}):
            return
        if child["spec"].get("suspend"):
            self.api.patch(address(child), {"spec": {"suspend": False}})
        if child["spec"].get("runPolicy", {}).get("suspend"):
            self.api.patch(address(child), {"spec": {"runPolicy": {"suspend": False}}})
        for pod in self.pods_of(child):
            if pod["spec"].get("schedulingGates"):
                self.api.patch(address(pod), {"spec": {"schedulingGates": None}})


def limit(lab: Lab, what: str) -> Object:
    """A quota by which the namespace takes none of these."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": lab.namespace},
        "spec": {"hard": {what: "0"}},
    }
    lab.api.create(quota)
    eventually(lambda: "hard" in lab.api.get(address(quota)).get("status", {}), "the quota counts", 60)
    return quota


def pod_made_by(child: Object, name: str, template: Object, labels: dict[str, str]) -> Object:
    """The pod that a controller makes for a child of this template, with further labels."""
    meta = child["metadata"]
    owner = {**{key: child[key] for key in ("apiVersion", "kind")}, "name": meta["name"], "uid": meta["uid"], "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": {**template["metadata"]["labels"], **labels},
            "ownerReferences": [owner],
        },
        "spec": {**template["spec"], "restartPolicy": "Never"},
    }


def end_status(pod: Object, words: LastWords | None = None, exit_code: int = 0) -> Object:
    """What a kubelet says of a pod that has ended with these last words; without any, with those of its stage."""
    labels = pod["metadata"]["labels"]
    words = words or LastWords(summary=stage_summary(labels[LABEL_STAGE], int(labels[LABEL_ROUND])))
    end = {
        "exitCode": exit_code,
        "reason": "Error" if exit_code else "Completed",
        "message": words.to_json(),
        "startedAt": now(),
        "finishedAt": now(),
    }
    phase = "Failed" if exit_code else "Succeeded"
    return {"phase": phase, "containerStatuses": [_container(pod, {"terminated": end})]}


def ready_status(service: Object) -> Object:
    """What KServe says of a service that answers."""
    url = "http://{name}.{namespace}.svc.cluster.local".format(**service["metadata"])
    return {"conditions": [{"type": "Ready", "status": "True"}], "address": {"url": url}}


def _container(pod: Object, state: Object) -> Object:
    container = pod["spec"]["containers"][0]
    told = {"name": container["name"], "image": container["image"], "imageID": "", "ready": False, "restartCount": 0}
    return {**told, "state": state}


def is_of(thing: Object, round_: int, stage: str, role: str) -> bool:
    """Whether a child or a pod is one of that stage and role."""
    labels = thing["metadata"]["labels"]
    return [labels.get(name) for name in (LABEL_ROUND, LABEL_STAGE, LABEL_ROLE)] == [str(round_), stage, role]


def is_finished(child: Object) -> bool:
    """At its end; a service: ready."""
    ends = ("Ready",) if child["kind"] == "InferenceService" else ENDS
    return any(c["type"] in ends and c["status"] == "True" for c in child.get("status", {}).get("conditions", ()))


def comparable(status: Object) -> Object:
    """The status without the times in it, which no two runs share."""
    times = {"lastTransitionTime", "started", "finished", "seconds", "stageStarted"}

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(inner) for key, inner in value.items() if key not in times}
        return [without(inner) for inner in value] if isinstance(value, list) else value

    found: Object = without(status)
    found["conditions"] = sorted(found["conditions"], key=lambda c: str(c["type"]))
    return found


def operator(
    folder: Path, kubeconfig: Path, namespace: str, *, identity: str, resync_s: float = 2, clusterwide: bool = False
) -> Daemon:
    """The operator, not started yet; its log is JSON lines in `folder`, its lease in the namespace."""
    (port,) = free_ports(1)
    environment = [f"KUBECONFIG={kubeconfig}", f"POD_NAME={identity}"]
    command = [sys.executable, "-m", "evolution_operator.cluster", "--lease-namespace", namespace]
    command += [] if clusterwide else ["--namespace", namespace]
    command += ["--health-port", str(port), "--resync-seconds", str(resync_s)]

    def ready() -> bool:
        try:
            return httpx.get(f"http://{LOOPBACK}:{port}/readyz", trust_env=False, timeout=5).is_success
        except httpx.TransportError:
            return False

    return Daemon([*TIED, "/usr/bin/env", *environment, *command], f"http://{LOOPBACK}:{port}", folder / f"{identity}.log", ready)


@contextmanager
def at_work(daemon: Daemon) -> Iterator[Daemon]:
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def log_of(daemon: Daemon) -> list[Object]:
    return [json.loads(line) for line in daemon.log.read_text().splitlines()]
