"""The child that trains: a PyTorchJob, one pod a node, each starting its processes by torchrun from the injected PET_*
variables.

Its known faults are designed around: nothing restarts by itself, our own clock ends it, finished pods stay readable
while running ones are taken down, and a retry is a new object.
"""

from evolution_operator.interface import KubeObject
from evolution_operator.manifests.pod import Work, container, metadata, pod_spec

GRACE_S = 300
"""From SIGTERM to SIGKILL: a checkpoint with its optimiser state has to reach storage."""


def manifest(work: Work) -> KubeObject:
    training = work.run.spec.training
    main = container(
        work,
        "train",
        training.pod,
        name="pytorch",
        image=work.settings.model_image,
        accelerators=training.processes_per_node,
        shared_memory=True,
    )
    template = {"metadata": {"labels": work.labels("work")}, "spec": pod_spec(work, main, grace_s=GRACE_S)}
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
