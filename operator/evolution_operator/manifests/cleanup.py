"""The child that removes a deleted run's objects from storage (`storage.onDelete: Delete`).

It carries no owner reference: foreground deletion of the run would take it away again and again. The planner deletes
it, and a time to live catches what is left behind.
"""

from evolution_operator.interface import KubeObject
from evolution_operator.manifests import stage
from evolution_operator.pod import Work

TIME_TO_LIVE_S = 3600


def manifest(work: Work) -> KubeObject:
    job = stage.manifest(work)
    del job["metadata"]["ownerReferences"]
    job["spec"]["ttlSecondsAfterFinished"] = TIME_TO_LIVE_S
    return job
