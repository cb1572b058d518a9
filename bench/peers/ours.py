"""Our operator, and whoever completes the children of its runs. The control plane has no Job controller: pods are made here."""

from pathlib import Path

from tests.cluster.lab import CHILDREN, LABEL_REPLICA, SPEC, end_status, now, operator, pod_made_by, ready_status
from tests.testbed.api import address, collection
from tests.testbed.tools.daemon import Daemon

from evolution_api.layout import API_VERSION, KIND, LABEL_RUN
from evolution_operator.children.verdict import LABEL_INDEX
from peers.client import MERGE, Client, Object

ONE_POD = {**SPEC, "generation": {"shards": 1}, "training": {"nodes": 1, "globalBatchSize": 8}}
"""A stage has one pod, as a step of the peer's has."""


class Ours:
    def __init__(self, client: Client, namespace: str, kubeconfig: Path, folder: Path, **spec: object) -> None:
        self._client = client
        self.namespace = namespace
        self._spec = {**ONE_POD, **spec}
        self.daemon: Daemon = operator(folder, kubeconfig, namespace, identity=namespace, resync_s=600)
        self.watched = [
            collection({"apiVersion": version, "kind": kind, "metadata": {"namespace": namespace}}) for version, kind in CHILDREN
        ]
        self._waited_for: set[str] = set()

    async def begin(self, unit: str) -> None:
        meta = {"name": unit, "namespace": self.namespace}
        run = {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": self._spec}
        await self._client.send("POST", collection(run), run)

    def unit_of(self, child: Object) -> str | None:
        return str(child["metadata"]["labels"][LABEL_RUN])

    async def ready(self, child: Object) -> None:
        """What comes before a child's end: its pod has run and left its last words."""
        if child["kind"] == "InferenceService":
            return
        pod = await self.wait(child)
        await self._client.send("PATCH", f"{address(pod)}/status", {"status": end_status(pod)}, MERGE)

    async def wait(self, child: Object) -> Object:
        """Its pod, which is there from now on: the operator need not ask why it is not."""
        pod = _pod(child)
        if child["metadata"]["uid"] not in self._waited_for:
            self._waited_for.add(child["metadata"]["uid"])
            await self._client.send("POST", collection(pod), pod)
        return pod

    async def end(self, child: Object) -> None:
        await self._client.send("PATCH", f"{address(child)}/status", {"status": _END[child["kind"]](child)}, MERGE)


def _pod(child: Object) -> Object:
    if child["kind"] == "PyTorchJob":
        template = child["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
        labels = {LABEL_REPLICA: "master"}
    else:
        template = child["spec"]["template"]
        labels = {LABEL_INDEX: "0"}
    return pod_made_by(child, f"{child['metadata']['name']}-0", template, labels)


def _job(_: Object) -> Object:
    ends = [{"type": type_, "status": "True", "lastTransitionTime": now()} for type_ in ("SuccessCriteriaMet", "Complete")]
    return {"conditions": ends, "startTime": now(), "completionTime": now(), "succeeded": 1}


def _pytorch_job(_: Object) -> Object:
    end = {"type": "Succeeded", "status": "True", "lastTransitionTime": now()}
    return {"conditions": [end], "startTime": now(), "completionTime": now()}


_END = {"Job": _job, "PyTorchJob": _pytorch_job, "InferenceService": ready_status}
