"""Argo Workflows at its best settings: a workflow of sequential steps, whose pods are completed here as its executor would."""

from pathlib import Path

from tests.testbed.control_plane import TIED
from tests.testbed.tools.binaries import binary
from tests.testbed.tools.daemon import Daemon, accepts

from peers.client import MERGE, Client, Object

STEPS = 10
HEALTH_PORT = 6060
"""The controller's own, which no flag moves."""
BEST = {"LEADER_ELECTION_DISABLE": "true", "DEFAULT_REQUEUE_TIME": "100ms"}
REQUESTS_A_SECOND = 1000
GROUP = "argoproj.io/v1alpha1"
LABEL_WORKFLOW = "workflows.argoproj.io/workflow"
NODE_ID = "workflows.argoproj.io/node-id"


class Argo:
    def __init__(self, client: Client, namespace: str, kubeconfig: Path, folder: Path) -> None:
        self._client = client
        self.namespace = namespace
        settings = [f"{name}={value}" for name, value in BEST.items()]
        command = [
            *TIED,
            "/usr/bin/env",
            *settings,
            str(binary("argo-workflow-controller")),
            *("--kubeconfig", str(kubeconfig), "--namespace", namespace, "--namespaced", "--managed-namespace", namespace),
            *("--qps", str(REQUESTS_A_SECOND), "--burst", str(2 * REQUESTS_A_SECOND), "--loglevel", "warn"),
            *("--executor-image", "none"),
        ]
        self.daemon = Daemon(command, "", folder / f"{namespace}.log", lambda: accepts(HEALTH_PORT))
        self.watched = [f"/api/v1/namespaces/{namespace}/pods"]

    async def begin(self, unit: str) -> None:
        steps = [[{"name": f"s{number}", "template": "step"}] for number in range(STEPS)]
        container = {"image": "none", "command": ["none"]}
        templates = [{"name": "main", "steps": steps}, {"name": "step", "container": container}]
        workflow = {
            "apiVersion": GROUP,
            "kind": "Workflow",
            "metadata": {"name": unit, "namespace": self.namespace},
            "spec": {"entrypoint": "main", "templates": templates},
        }
        await self._client.send("POST", self._collection("workflows"), workflow)

    def unit_of(self, pod: Object) -> str | None:
        found: str | None = pod["metadata"].get("labels", {}).get(LABEL_WORKFLOW)
        return found

    async def ready(self, pod: Object) -> None:
        """What comes before a pod's end: its results are reported."""
        labels = {LABEL_WORKFLOW: self.unit_of(pod), "workflows.argoproj.io/report-outputs-completed": "true"}
        meta = {"name": pod["metadata"]["annotations"][NODE_ID], "namespace": self.namespace, "labels": labels}
        result = {"apiVersion": GROUP, "kind": "WorkflowTaskResult", "metadata": meta}
        await self._client.send("POST", self._collection("workflowtaskresults"), result)

    async def end(self, pod: Object) -> None:
        done = {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}, "imageID": "", "ready": False, "restartCount": 0}

        def ended(containers: list[Object]) -> list[Object]:
            return [{"name": container["name"], "image": container["image"], **done} for container in containers]

        status = {
            "phase": "Succeeded",
            "containerStatuses": ended(pod["spec"]["containers"]),
            "initContainerStatuses": ended(pod["spec"].get("initContainers", [])),
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status"
        await self._client.send("PATCH", path, {"status": status}, MERGE)

    def _collection(self, plural: str) -> str:
        return f"/apis/{GROUP}/namespaces/{self.namespace}/{plural}"
