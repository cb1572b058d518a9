"""The child that trains: a gang of pods, one a node."""

from evolution_operator.children import pytorchjob
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, stage_container

GRACE_S = 300
"""From SIGTERM to SIGKILL: a checkpoint with its optimiser state has to reach storage."""


def manifest(work: Work) -> KubeObject:
    each = work.run.spec.training.processes_per_node
    main = stage_container(work, name=pytorchjob.CONTAINER, accelerators=each, shared_memory=True)
    return pytorchjob.manifest(work, main, grace_s=GRACE_S)
