"""batch/v1 Job around one program: indexed where the stage is split into shards, single where it is not.

Retries are the planner's, so nothing restarts here: one failed index stays failed, and a pod that the infrastructure
took away (condition DisruptionTarget) is replaced without counting as a failure.
"""

from dataclasses import replace
from datetime import datetime

from evolution_api.layout import ENV_SHARD
from evolution_operator.children.kind import ChildKind
from evolution_operator.children.onemachine import LocalChild, PodProcess, new_pod, only, timestamp
from evolution_operator.children.verdict import (
    LABEL_INDEX,
    Verdict,
    believed,
    blame,
    condition,
    created,
    queue_message,
    summaries_of,
    time_of,
    under_way,
)
from evolution_operator.errors import RefusedError
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, metadata, pod_spec

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


def indexed(work: Work, main: KubeObject, *, shards: int, parallelism: int) -> KubeObject:
    """One index per shard. All are let finish, since what they commit is kept: hence no maxFailedIndexes."""
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


def judge(job: KubeObject, pods: tuple[KubeObject, ...]) -> Verdict:
    """Finished only by condition Complete or Failed: SuccessCriteriaMet and FailureTarget announce it while pods still run."""
    status = job.get("status", {})
    wanted = job["spec"].get("completions", 1)
    indexed = job["spec"].get("completionMode") == "Indexed"
    started = time_of(status.get("startTime"))
    if condition(job, "Complete") is not None:
        heard = summaries_of(pods)
        facts = Verdict("Succeeded", started=started, summaries=heard, completed=wanted, wanted=wanted)
        return believed(replace(facts, finished=time_of(status.get("completionTime"))), wanted - len(heard), pods)
    failed = condition(job, "Failed")
    if failed is not None:
        completed = len(_indexes(status.get("completedIndexes", ""))) if indexed else 0
        reason, message, hopeless = blame(pods, failed)
        return Verdict(
            "Failed",
            reason,
            message,
            started=started,
            finished=time_of(failed.get("lastTransitionTime")),
            summaries=summaries_of(pods),
            completed=completed,
            wanted=wanted,
            hopeless=hopeless,
        )
    suspended = condition(job, "Suspended")
    if job["spec"].get("suspend") or suspended is not None:
        since = time_of((suspended or {}).get("lastTransitionTime")) or created(job)
        return Verdict("Queued", "Queued", queue_message(job), wanted=wanted, idle_since=since)
    known = status.get("active", 0) + status.get("terminating", 0)
    return under_way(job, pods, started, wanted=wanted, at_once=1, known=known)


def _indexes(text: str) -> set[int]:
    """`1,3-5` -> {1, 3, 4, 5}; what the Job controller writes."""
    found: set[int] = set()
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


FIELDS = frozenset(
    {
        "completionMode",
        "completions",
        "parallelism",
        "backoffLimit",
        "backoffLimitPerIndex",
        "podFailurePolicy",
        "podReplacementPolicy",
        "suspend",
        "template",
        "ttlSecondsAfterFinished",  # the loop ends with its run, and a run's end deletes its children
    }
)


class LocalJob(LocalChild):
    """One process per index, `parallelism` at a time.

    Nothing is tried again here, as the manifest has it; a process that ended with the loop itself counts as a disruption, which
    the manifest's failure policy ignores, and its index is simply started again.
    """

    def check(self) -> None:
        spec = self.raw["spec"]
        only("Job.spec", spec, FIELDS)
        for name in ("suspend", "backoffLimit", "backoffLimitPerIndex"):
            if spec.get(name):
                raise RefusedError(
                    f"Job.spec.{name} = {spec[name]}: only the planner starts, holds and retries here; leave it out"
                )

    def reconcile(self, now: datetime) -> None:
        if self.has("Complete") or self.has("Failed"):
            return
        spec, status = self.raw["spec"], self.status
        indices = range(spec.get("completions", 1))
        width = min(spec.get("parallelism", 1), len(indices))
        status.setdefault("startTime", timestamp(now))
        for pod in self.going:
            if pod.process is None:  # no device was free
                self.add(pod, now, share=width)
        for index in indices:
            if len(self.going) >= width:
                break
            if self.pod_name(index) not in self.pods:
                self.add(self.new(index), now, share=width)
        succeeded = [i for i in indices if self.phase(i) == "Succeeded"]
        failed = [i for i in indices if self.phase(i) == "Failed"]
        status |= {"active": len(self.going), "succeeded": len(succeeded), "failed": len(failed)}
        if spec.get("completionMode") == "Indexed":
            status |= {"completedIndexes": ranges(succeeded), "failedIndexes": ranges(failed)}
        if len(succeeded) + len(failed) < len(indices):
            return
        if failed:
            indexed = spec.get("completionMode") == "Indexed"
            reason = "FailedIndexes" if indexed else "BackoffLimitExceeded"
            message = "Job has failed indexes" if indexed else "Job has reached the specified backoff limit"
            self.condition("Failed", "True", now, reason, message)
        else:
            status["completionTime"] = timestamp(now)
            self.condition("Complete", "True", now, "CompletionsReached", "Reached expected number of succeeded pods")

    def pod_name(self, index: int) -> str:
        return f"{self.name}-{index}"

    def phase(self, index: int) -> str | None:
        pod = self.pods.get(self.pod_name(index))
        return pod.phase if pod is not None else None

    def new(self, index: int) -> PodProcess:
        labels = {"batch.kubernetes.io/job-name": self.name, "batch.kubernetes.io/controller-uid": self.uid}
        env = {}
        if self.raw["spec"].get("completionMode") == "Indexed":
            labels[LABEL_INDEX] = str(index)
            env = {ENV_SHARD: str(index)}
        return new_pod(self.pod_name(index), self.raw["spec"]["template"], self.raw, labels, env)


def ranges(indices: list[int]) -> str:
    """Kubernetes' short form of a sorted list of numbers: 1,3-5,7."""
    runs: list[list[int]] = []
    for i in indices:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


KIND = ChildKind("batch", "v1", "Job", "jobs", frozenset({"Complete", "Failed"}), judge, LocalJob)
