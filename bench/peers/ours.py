"""Our operator, and whoever completes the children of its runs. The control plane has no Job controller: pods are made here."""

from pathlib import Path

from tests.cluster.harness.api import address, collection
from tests.cluster.lab import CHILDREN, SPEC, now, operator, words_of
from tests.tools.daemon import Daemon

from evolution_api.layout import API_VERSION, KIND, LABEL_ROUND, LABEL_RUN, LABEL_STAGE
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
        self._kinds = {f"{kind.lower()}s": (version, kind) for version, kind in CHILDREN}

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
        meta, labels = child["metadata"], child["metadata"]["labels"]
        if child["kind"] == "PyTorchJob":
            template = child["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
            extra = {"training.kubeflow.org/replica-type": "master"}
        else:
            template = child["spec"]["template"]
            extra = {"batch.kubernetes.io/job-completion-index": "0"}
        owner = {key: child[key] for key in ("apiVersion", "kind")} | {
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{meta['name']}-0",
                "namespace": self.namespace,
                "labels": {**template["metadata"]["labels"], **extra},
                "ownerReferences": [owner],
            },
            "spec": {**template["spec"], "restartPolicy": "Never"},
        }
        await self._client.send("POST", collection(pod), pod)
        said = words_of(labels[LABEL_STAGE], int(labels[LABEL_ROUND])).model_dump_json(exclude_none=True)
        end = {"exitCode": 0, "reason": "Completed", "message": said, "startedAt": now(), "finishedAt": now()}
        container = pod["spec"]["containers"][0]
        told = {"name": container["name"], "image": container["image"], "imageID": "", "ready": False, "restartCount": 0}
        status = {"phase": "Succeeded", "containerStatuses": [{**told, "state": {"terminated": end}}]}
        await self._client.send("PATCH", f"{address(pod)}/status", {"status": status}, MERGE)

    async def end(self, child: Object) -> None:
        await self._client.send("PATCH", f"{address(child)}/status", {"status": _END[child["kind"]](child)}, MERGE)


def _job(_: Object) -> Object:
    ends = [{"type": type_, "status": "True", "lastTransitionTime": now()} for type_ in ("SuccessCriteriaMet", "Complete")]
    return {"conditions": ends, "startTime": now(), "completionTime": now(), "succeeded": 1}


def _pytorch_job(_: Object) -> Object:
    end = {"type": "Succeeded", "status": "True", "lastTransitionTime": now()}
    return {"conditions": [end], "startTime": now(), "completionTime": now()}


def _service(child: Object) -> Object:
    meta = child["metadata"]
    url = f"http://{meta['name']}.{meta['namespace']}.svc.cluster.local"
    return {"conditions": [{"type": "Ready", "status": "True"}], "address": {"url": url}}


_END = {"Job": _job, "PyTorchJob": _pytorch_job, "InferenceService": _service}
