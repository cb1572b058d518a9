"""kubeflow.org/v1 PyTorchJob: one pod a node, each of which starts its processes by torchrun from the injected PET_* variables.

Its known faults are designed around: nothing restarts by itself, our own clock ends it, finished pods stay readable
while running ones are taken down, and a retry is a new object.
"""

from dataclasses import replace
from datetime import datetime

from evolution_operator.children.kind import ChildKind
from evolution_operator.children.onemachine import LOOPBACK, LocalChild, PodProcess, new_pod, only, timestamp
from evolution_operator.children.verdict import (
    Verdict,
    believed,
    blame,
    condition,
    queue_message,
    summaries_of,
    time_of,
    under_way,
)
from evolution_operator.errors import RefusedError
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, metadata, pod_spec

CONTAINER = "pytorch"
"""Name of the container that the training operator gives its variables to."""


def manifest(work: Work, main: KubeObject, *, grace_s: int) -> KubeObject:
    training = work.run.spec.training
    template = {"metadata": {"labels": work.labels("work")}, "spec": pod_spec(work, main, grace_s=grace_s)}
    replicas = {"Master": 1, "Worker": training.nodes - 1}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": metadata(work, "work"),
        "spec": {
            "nprocPerNode": str(training.processes_per_node),
            "runPolicy": {
                "backoffLimit": 0,
                "cleanPodPolicy": "Running",
                "suspend": work.queue is not None,
            },
            "pytorchReplicaSpecs": {
                role: {"replicas": count, "restartPolicy": "Never", "template": template}
                for role, count in replicas.items()
                if count
            },
        },
    }


def judge(job: KubeObject, pods: tuple[KubeObject, ...]) -> Verdict:
    """Failed=True wins over Succeeded=True; Restarting=True means nothing on a finished job."""
    status = job.get("status", {})
    started = time_of(status.get("startTime"))
    failed = condition(job, "Failed")
    if failed is not None:
        reason, message, hopeless = blame(pods, failed)
        finished = time_of(status.get("completionTime")) or time_of(failed.get("lastTransitionTime"))
        return Verdict("Failed", reason, message, started=started, finished=finished, hopeless=hopeless)
    if condition(job, "Succeeded") is not None:
        leaders = tuple(pod for pod in pods if _is_leader(pod))
        heard = summaries_of(leaders)
        facts = Verdict("Succeeded", started=started, summaries=heard, completed=1)
        return believed(replace(facts, finished=time_of(status.get("completionTime"))), 1 - len(heard), leaders)
    if job["spec"].get("runPolicy", {}).get("suspend") or condition(job, "Suspended") is not None:
        return Verdict("Queued", "Queued", queue_message(job))
    # The others wait for one that is refused.
    gang = sum(replica.get("replicas", 1) for replica in job["spec"]["pytorchReplicaSpecs"].values())
    known = sum(replica.get("active", 0) for replica in (status.get("replicaStatuses") or {}).values())
    return under_way(job, pods, started, wanted=gang, at_once=gang, known=known)


def _is_leader(pod: KubeObject) -> bool:
    labels = pod["metadata"].get("labels", {})
    return str(labels.get("training.kubeflow.org/replica-type", "master")).lower() == "master"


RUN_POLICY_FIELDS = frozenset({"backoffLimit", "cleanPodPolicy", "suspend"})


class LocalPyTorchJob(LocalChild):
    """A gang of pods on loopback. Every pod gets the variables that the real controller, v1.9, injects into a job with a Master
    (pkg/controller.v1/pytorch/envvar.go); PET_* is what torchrun reads. One pod that dies ends the gang.
    """

    def check(self) -> None:
        spec = self.raw["spec"]
        only("PyTorchJob.spec", spec, {"nprocPerNode", "runPolicy", "pytorchReplicaSpecs"})
        only("PyTorchJob.spec.runPolicy", spec["runPolicy"], RUN_POLICY_FIELDS)
        only("PyTorchJob.spec.pytorchReplicaSpecs", spec["pytorchReplicaSpecs"], {"Master", "Worker"})
        for name in ("suspend", "backoffLimit"):
            if spec["runPolicy"].get(name):
                raise RefusedError(
                    f"PyTorchJob.spec.runPolicy.{name} = {spec['runPolicy'][name]}: only the planner holds and retries"
                )
        for role, replica in spec["pytorchReplicaSpecs"].items():
            if replica["restartPolicy"] != "Never":
                raise RefusedError(f"PyTorchJob {role} restartPolicy {replica['restartPolicy']}: only Never is honoured here")

    def reconcile(self, now: datetime) -> None:
        if self.has("Succeeded") or self.has("Failed"):
            return
        if not self.pods:
            self.begin(now)
        for pod in self.going:
            if pod.process is None:  # no device was free
                self.add(pod, now, share=self.processes)
        failed = [pod for pod in self.pods.values() if pod.phase == "Failed"]
        if failed:
            self.terminate(now)
        self.status["replicaStatuses"] = {role: self.count(role) for role in self.replicas}
        if any(pod.phase == "Running" for pod in self.pods.values()) and not failed:
            self.condition("Running", "True", now, "PyTorchJobRunning", f"PyTorchJob {self.name} is running.")
        if failed and not self.going:
            self.condition("Running", "False", now, "PyTorchJobFailed")
            message = f"PyTorchJob {self.name} is failed because {failed[0].name} failed."
            self.condition("Failed", "True", now, "PyTorchJobFailed", message)
            self.status["completionTime"] = timestamp(now)
        elif not failed and self.pods[f"{self.name}-master-0"].phase == "Succeeded":
            self.terminate(now)  # cleanPodPolicy Running
            self.condition("Running", "False", now, "PyTorchJobSucceeded")
            self.condition("Succeeded", "True", now, "PyTorchJobSucceeded", f"PyTorchJob {self.name} is successfully completed.")
            self.status["completionTime"] = timestamp(now)

    def begin(self, now: datetime) -> None:
        """The whole gang at once, on a fresh port."""
        self.condition("Created", "True", now, "PyTorchJobCreated", f"PyTorchJob {self.name} is created.")
        self.status["startTime"] = timestamp(now)
        address = {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(self.machine.free_port())}
        rank = 0
        for role in ("Master", "Worker"):
            for i in range(self.replicas.get(role, 0)):
                self.add(self.new(role, i, rank, address), now, share=self.processes)
                rank += 1

    def disrupted(self) -> None:
        """A gang starts together or not at all."""
        super().disrupted()
        self.pods.clear()

    @property
    def replicas(self) -> dict[str, int]:
        return {role: replica["replicas"] for role, replica in self.raw["spec"]["pytorchReplicaSpecs"].items()}

    @property
    def processes(self) -> int:
        """Training processes over all pods."""
        return sum(self.replicas.values()) * int(self.raw["spec"].get("nprocPerNode", "1"))

    def new(self, role: str, index: int, node_rank: int, address: dict[str, str]) -> PodProcess:
        nodes = sum(self.replicas.values())
        env = {
            "PYTHONUNBUFFERED": "1",
            **address,
            **{f"PET_{name}": value for name, value in address.items()},
            "WORLD_SIZE": str(self.processes),
            "RANK": str(node_rank),  # of the node: torchrun sets that of the process
            "PET_NODE_RANK": str(node_rank),
            "PET_NNODES": str(nodes),
        }
        if "nprocPerNode" in self.raw["spec"]:
            env["PET_NPROC_PER_NODE"] = self.raw["spec"]["nprocPerNode"]
        labels = {
            "training.kubeflow.org/job-name": self.name,
            "training.kubeflow.org/replica-type": role.lower(),
            "training.kubeflow.org/replica-index": str(index),
        }
        template = self.raw["spec"]["pytorchReplicaSpecs"][role]["template"]
        return new_pod(f"{self.name}-{role.lower()}-{index}", template, self.raw, labels, env)

    def count(self, role: str) -> dict[str, int]:
        phases = [pod.phase for pod in self.pods.values() if pod.name.startswith(f"{self.name}-{role.lower()}-")]
        return {"active": phases.count("Running"), "succeeded": phases.count("Succeeded"), "failed": phases.count("Failed")}


KIND = ChildKind(
    "kubeflow.org",
    "v1",
    "PyTorchJob",
    "pytorchjobs",
    frozenset({"Succeeded", "Failed"}),
    judge,
    LocalPyTorchJob,
    missing="Runs wait before their first training until Kubeflow's training operator is installed.",
)
