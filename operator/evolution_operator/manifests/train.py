"""The child that trains: a gang of pods, one a node."""

from evolution_operator.children import pytorchjob
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, container

GRACE_S = 300
"""From SIGTERM to SIGKILL: a checkpoint with its optimiser state has to reach storage."""


def manifest(work: Work) -> KubeObject:
    training = work.run.spec.training
    main = container(
        work,
        "train",
        training.pod,
        name=pytorchjob.CONTAINER,
        image=work.settings.model_image,
        accelerators=training.processes_per_node,
        shared_memory=True,
    )
    return pytorchjob.manifest(work, main, grace_s=GRACE_S)
