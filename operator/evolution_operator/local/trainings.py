"""kubeflow.org/v1 PyTorchJob: a gang of pods on loopback. Stands for the training operator, v1.9.

Every pod gets the variables that the real controller injects into a job with a Master (pkg/controller.v1/pytorch/envvar.go);
PET_* is what torchrun reads. One pod that dies ends the gang; the planner starts the next attempt as a new object.
"""

import socket
from datetime import datetime

from evolution_operator.local.child import Child
from evolution_operator.local.errors import RefusedError
from evolution_operator.local.pods import PodProcess, new_pod, only, timestamp

LOOPBACK = "127.0.0.1"
RUN_POLICY_FIELDS = frozenset({"backoffLimit", "cleanPodPolicy", "suspend"})


def free_port() -> int:
    """A port that was free a moment ago; a program that finds it taken fails and is tried again on another."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class PyTorchJob(Child):
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
        address = {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(free_port())}
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
