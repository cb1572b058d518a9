"""A verdict is what a child's raw object and its pods say. Here is what all kinds have in common; each judges in its own file.

Conditions are looked up by type and status, never by position. Termination messages are written by programs that may be broken
or hostile: they are capped, parsed against a schema, and never used as a path or an instruction.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from evolution_api.endings import EXIT_BAD_INPUT, EXIT_TERMINATED, LAST_WORDS_BYTES, LastWords
from evolution_api.summaries import Summary
from evolution_operator.interface import KubeObject

State = Literal["Absent", "Pending", "Queued", "Running", "Succeeded", "Failed", "Terminating"]

REASON_CHARACTERS = 1000
"""As much of a program's last words as goes into a condition or an event (events end at 1024)."""
PODS_MISSING = "PodsMissing"
MISSING_AFTER_S = 20
"""Pods that are not there by then are told as a trouble; a controller that has much to do makes them later than at once."""
WAITING_IN_TROUBLE = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
LABEL_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Verdict:
    state: State
    reason: str = ""
    """CamelCase."""
    message: str = ""
    """In words; a program's own last words where it left some."""
    started: datetime | None = None
    finished: datetime | None = None
    summaries: tuple[Summary, ...] = ()
    """Of the pods that succeeded, one per shard."""
    completed: int = 0
    """Shards that are committed."""
    wanted: int = 1
    """Shards in all."""
    hopeless: int = 0
    """Failed pods that say that doing the same again must fail again."""
    url: str | None = None
    """Where a ready server answers, inside the cluster."""
    told_from: datetime | None = None
    """Before this time the reason may pass by itself, and is not told; None: told at once."""
    idle_since: datetime | None = None
    """Of a child that has not ended: since when no pod of it has run; None while one does."""

    def in_trouble(self, now: datetime) -> bool:
        """Whether it cannot get on, and says why."""
        return self.state == "Pending" and self.reason != "" and (self.told_from is None or now >= self.told_from)


ABSENT = Verdict("Absent")


def pod_is_active(pod: KubeObject) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def believed(success: Verdict, unheard: int, pods: tuple[KubeObject, ...]) -> Verdict:
    """A success whose words nobody heard is a failure: doing it again only repeats the words, since the work is committed."""
    if unheard <= 0:
        return success
    if any(pod_is_active(pod) for pod in pods):
        # What was read of the pods is older than what was read of their child: they have ended since.
        return replace(success, state="Running", summaries=(), finished=None)
    return replace(
        success,
        state="Failed",
        reason="SummaryMissing",
        message=f"it succeeded, but {unheard} of {success.wanted} pods are gone or left no readable termination message",
    )


def under_way(
    child: KubeObject, pods: tuple[KubeObject, ...], started: datetime | None, *, wanted: int, at_once: int, known: int
) -> Verdict:
    """Of a child that has not ended: it makes `wanted` pods, and at least `at_once` of them together; its controller last saw
    `known` that had not ended."""
    phases = [pod.get("status", {}).get("phase") for pod in pods]
    ended = [time_of((termination(pod) or {}).get("finishedAt")) for pod in pods if not pod_is_active(pod)]
    quiet = max(filter(None, (created(child), started, *ended)), default=None)
    found = Verdict(
        "Running" if {"Running", "Succeeded", "Failed"} & set(phases) else "Pending",
        started=started,
        wanted=wanted,
        idle_since=None if "Running" in phases or len(ended) >= wanted else quiet,
    )
    trouble = trouble_of(pods)
    if trouble is not None:
        return replace(found, state="Pending", reason=trouble[0], message=trouble[1])
    # A controller that still counts a pod that was just taken away has yet to make another one.
    if len(pods) < wanted and max(len(pods) - len(ended), known) < at_once:
        message = f"{len(pods)} of {wanted} pods of {child['kind']} {child['metadata']['name']} are there"
        told_from = quiet + timedelta(seconds=MISSING_AFTER_S) if quiet is not None else None
        return replace(found, state="Pending", reason=PODS_MISSING, message=message, told_from=told_from)
    return found


def condition(child: KubeObject, type_: str) -> KubeObject | None:
    """The condition of that type, if it is True."""
    for found in child.get("status", {}).get("conditions") or ():
        if found.get("type") == type_ and found.get("status") == "True":
            return dict(found)
    return None


def queue_message(job: KubeObject) -> str:
    queue = job["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name", "")
    return f"{job['kind']} {job['metadata']['name']} waits in queue {queue}".rstrip() if queue else "it is suspended"


def time_of(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def created(child: KubeObject) -> datetime | None:
    return time_of(child["metadata"].get("creationTimestamp"))


def termination(pod: KubeObject) -> KubeObject | None:
    """How the first container ended, now or the last time."""
    for container in pod.get("status", {}).get("containerStatuses") or ():
        for state in (container.get("state"), container.get("lastState")):
            if state and state.get("terminated"):
                return dict(state["terminated"])
    return None


def restarts(pod: KubeObject) -> int:
    return sum(c.get("restartCount", 0) for c in pod.get("status", {}).get("containerStatuses") or ())


def words_of(end: KubeObject) -> LastWords | None:
    """What a terminated container's message says; None where it does not fit the schema, or was written by no kubelet."""
    message = end.get("message") or ""
    if len(message.encode(errors="replace")) > LAST_WORDS_BYTES:
        return None
    try:
        return LastWords.model_validate_json(message, strict=True)
    except ValidationError:
        return None


def summaries_of(pods: tuple[KubeObject, ...]) -> tuple[Summary, ...]:
    """One summary per shard, in the order of the shards, of the pods that ended well."""
    by_index: dict[int, Summary] = {}
    for pod in pods:
        end = termination(pod)
        if pod.get("status", {}).get("phase") != "Succeeded" or end is None:
            continue
        words = words_of(end)
        if words is not None and words.summary is not None:
            by_index[shard_of(pod)] = words.summary
    return tuple(by_index[index] for index in sorted(by_index))


def shard_of(pod: KubeObject) -> int:
    meta = pod["metadata"]
    text = meta.get("labels", {}).get(LABEL_INDEX) or meta.get("annotations", {}).get(LABEL_INDEX) or "0"
    return int(text)


def cannot_be_mended(end: KubeObject) -> bool:
    words = words_of(end)
    return end.get("exitCode") == EXIT_BAD_INPUT or (words is not None and not words.retryable)


def blame(pods: tuple[KubeObject, ...], condition: KubeObject) -> tuple[str, str, int]:
    """Reason, message and the number of hopeless pods, from the failed pods where there are any, else from the condition."""
    failed = [(pod, termination(pod)) for pod in pods if pod.get("status", {}).get("phase") == "Failed"]
    ends = sorted(((pod, end) for pod, end in failed if end is not None), key=lambda pair: shard_of(pair[0]))
    if not ends:
        words = [plain(pod["status"].get("message") or pod["status"].get("reason") or "") for pod, _ in failed]
        message = next(filter(None, words), "") or plain(condition.get("message") or "it failed and left no pod to ask")
        return condition.get("reason") or "Failed", message, 0
    # A pod that was only stopped because another one failed is not the one to blame.
    hopeless = [pair for pair in ends if cannot_be_mended(pair[1])]
    culprit, end = next(iter(hopeless or [pair for pair in ends if pair[1].get("exitCode") != EXIT_TERMINATED] or ends))
    reason = "OOMKilled" if end.get("reason") == "OOMKilled" else "PodFailed"
    return reason, last_words(culprit, end), len(hopeless)


def last_words(pod: KubeObject, end: KubeObject) -> str:
    said = words_of(end)
    words = said.error if said is not None else end.get("message")
    why = f"exit code {end.get('exitCode')}"
    if end.get("reason") not in (None, "", "Error", "Completed"):
        why += f", {end['reason']}"
    name = pod["metadata"]["name"]
    return plain(f"{words} (pod {name}, {why})" if words else f"pod {name} ended with {why}")


def plain(text: str) -> str:
    """Text of an untrusted program, fit for a condition: printable, one line, capped."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= REASON_CHARACTERS else line[: REASON_CHARACTERS - 3] + "..."


def is_gated(pod: KubeObject) -> bool:
    """Kueue holds back pods that it has not admitted."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any((c.get("type"), c.get("reason")) == ("PodScheduled", "SchedulingGated") for c in conditions)


def trouble_of(pods: tuple[KubeObject, ...]) -> tuple[str, str] | None:
    """Why a pod cannot start, where it says so."""
    for pod in pods:
        status: dict[str, Any] = pod.get("status", {})
        name = pod["metadata"]["name"]
        for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            waiting = container.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in WAITING_IN_TROUBLE:
                return waiting["reason"], plain(f"pod {name}: {waiting.get('message') or waiting['reason']}")
        for condition in status.get("conditions") or ():
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return condition.get("reason") or "Unschedulable", plain(f"pod {name}: {condition.get('message', '')}")
    return None
