"""The child that makes or checks the scenes and fixes the held-out questions."""

from evolution_operator.children.job import single
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, container


def manifest(work: Work) -> KubeObject:
    pod = work.run.spec.generation.pod
    return single(work, container(work, "prepare", pod, image=work.settings.jobs_image))
