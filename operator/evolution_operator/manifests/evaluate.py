"""The child that scores a checkpoint on the held-out questions."""

from evolution_operator.children.job import single
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, container


def manifest(work: Work) -> KubeObject:
    pod = work.run.spec.evaluation.pod
    return single(work, container(work, "evaluate", pod, image=work.settings.model_image, accelerators=1))
