"""A batch/v1 Job around one program: indexed where the stage is split into shards, single where it is not.

Retries are the planner's, so nothing restarts here: one failed index stays failed, and a pod that the infrastructure
took away (condition DisruptionTarget) is replaced without counting as a failure.
"""

from evolution_operator.interface import KubeObject
from evolution_operator.manifests.pod import Work, metadata, pod_spec

IGNORE_DISRUPTIONS = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}


def _job(work: Work, main: KubeObject, spec: KubeObject) -> KubeObject:
    template = {"metadata": {"labels": work.labels("work")}, "spec": {**pod_spec(work, main), "restartPolicy": "Never"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(work, "work"),
        "spec": {
            **spec,
            "suspend": work.queue is not None,
            "podFailurePolicy": IGNORE_DISRUPTIONS,
            "podReplacementPolicy": "Failed",
            "template": template,
        },
    }


def single(work: Work, main: KubeObject) -> KubeObject:
    return _job(work, main, {"backoffLimit": 0})


def indexed(work: Work, main: KubeObject, parallelism: int) -> KubeObject:
    """One index per shard. All are let finish, since what they commit is kept: hence no maxFailedIndexes."""
    shards = work.run.spec.generation.shards
    return _job(
        work,
        main,
        {
            "completionMode": "Indexed",
            "completions": shards,
            "parallelism": min(parallelism, shards),
            "backoffLimitPerIndex": 0,
        },
    )
