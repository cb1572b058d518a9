"""The child that removes a deleted run's objects from storage (`storage.onDelete: Delete`).

It carries no owner reference: foreground deletion of the run would take it away again and again. The planner deletes
it, and a time to live catches what is left behind.
"""

from evolution_operator.children.job import single
from evolution_operator.interface import KubeObject
from evolution_operator.pod import LIGHT, Work, container

TIME_TO_LIVE_S = 3600


def manifest(work: Work) -> KubeObject:
    job = single(work, container(work, "cleanup", LIGHT, image=work.settings.jobs_image))
    del job["metadata"]["ownerReferences"]
    job["spec"]["ttlSecondsAfterFinished"] = TIME_TO_LIVE_S
    return job
