"""batch/v1 Job, plain or Indexed: one process per index, `parallelism` at a time. Stands for the Job controller.

Nothing is tried again here (backoffLimit and backoffLimitPerIndex are 0, as the manifests have them); a process that ended with
the loop itself counts as a disruption, which the manifests' failure policy ignores, and its index is simply started again.
"""

from datetime import datetime

from evolution_api.layout import ENV_SHARD
from evolution_operator.local.child import Child
from evolution_operator.local.errors import RefusedError
from evolution_operator.local.pods import PodProcess, new_pod, only, timestamp

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
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"


class Job(Child):
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
            labels[INDEX_LABEL] = str(index)
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
