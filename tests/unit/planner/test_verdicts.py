"""What children say, in the words of the real controllers."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.summaries import stage_summary

from evolution_api.endings import LastWords
from evolution_operator.children.registry import is_alive, verdict
from evolution_operator.children.verdict import words_of

AT = "2026-01-01T12:00:00Z"
WORDS = LastWords(summary=stage_summary("generate")).to_json()


def true(*types: str, **more: str) -> list[dict[str, str]]:
    return [{"type": t, "status": "True", "reason": t, "lastTransitionTime": AT, **more} for t in types]


def false(*types: str) -> list[dict[str, str]]:
    return [{"type": t, "status": "False", "reason": t, "lastTransitionTime": AT} for t in types]


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"kind": "Job", "metadata": {"name": "j", "uid": "u", "labels": {}}, "spec": spec, "status": status or {}}


def indexed(status: dict[str, Any], completions: int) -> dict[str, Any]:
    return job(status, completionMode="Indexed", completions=completions)


def training(conditions: list[dict[str, str]], workers: int = 0, **policy: Any) -> dict[str, Any]:
    spec = {"runPolicy": policy, "pytorchReplicaSpecs": {"Master": {"replicas": 1}, "Worker": {"replicas": workers}}}
    return {"kind": "PyTorchJob", "metadata": {"name": "t", "uid": "u"}, "spec": spec, "status": {"conditions": conditions}}


def service(conditions: list[dict[str, str]], **status: Any) -> dict[str, Any]:
    return {
        "kind": "InferenceService",
        "metadata": {"name": "s", "uid": "u"},
        "spec": {"predictor": {"minReplicas": 1}},
        "status": {"conditions": conditions, **status},
    }


def pod(phase: str, code: int | None = None, message: str | None = None, *, index: int = 0, **container: Any) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "message": message}} if code is not None else {"running": {}}
    labels = {"batch.kubernetes.io/job-completion-index": str(index)}
    return {
        "metadata": {"name": f"p{index}", "labels": labels},
        "status": {"phase": phase, "containerStatuses": [{"state": state, **container}]},
    }


def ended(index: int, at: str = AT) -> dict[str, Any]:
    found = pod("Succeeded", 0, WORDS, index=index)
    found["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = at
    return found


DONE = pod("Succeeded", 0, WORDS)
VERDICTS = {
    "a Job without a status": (job(), [], "Pending"),
    "a Job that is suspended": (job(suspend=True), [], "Queued"),
    "a Job that is being evicted to its queue": (
        job({"conditions": true("Suspended")}, suspend=True),
        [pod("Running")],
        "Queued",
    ),
    "a Job whose pod waits": (job({"active": 1}), [pod("Pending")], "Pending"),
    "a Job whose pod runs": (job({"active": 1}), [pod("Running")], "Running"),
    "a Job that only announces its success": (job({"conditions": true("SuccessCriteriaMet")}), [DONE], "Running"),
    "a Job that only announces its failure": (job({"conditions": true("FailureTarget")}), [pod("Failed", 1)], "Running"),
    "a Job's counters are not asked": (job({"succeeded": 1}), [DONE], "Running"),
    "a complete Job": (job({"conditions": true("SuccessCriteriaMet", "Complete")}), [DONE], "Succeeded"),
    "a complete Job whose pod was read before it ended": (job({"conditions": true("Complete")}), [pod("Running")], "Running"),
    "a complete Job whose pod is gone": (job({"conditions": true("Complete")}), [], "Failed"),
    "a complete Job with words that are no words": (job({"conditions": true("Complete")}), [pod("Succeeded", 0, "ok")], "Failed"),
    "a failed Job": (job({"conditions": true("FailureTarget", "Failed")}), [pod("Failed", 1)], "Failed"),
    "a Job whose failure is only said to be False": (job({"conditions": false("Failed")}), [pod("Running")], "Running"),
    "a new PyTorchJob": (training(true("Created")), [], "Pending"),
    "a running PyTorchJob": (training(true("Created", "Running")), [pod("Running")], "Running"),
    "a PyTorchJob in a queue": (training(true("Created"), suspend=True), [], "Queued"),
    "a suspended PyTorchJob": (training(true("Created", "Suspended")), [], "Queued"),
    "a resumed PyTorchJob": (training(true("Created") + false("Suspended") + true("Running")), [pod("Running")], "Running"),
    "a successful PyTorchJob": (training(true("Created", "Succeeded") + false("Running")), [DONE], "Succeeded"),
    "a success that once restarted": (training(true("Restarting", "Succeeded")), [DONE], "Succeeded"),
    "failure wins over success": (training(true("Succeeded", "Failed")), [DONE], "Failed"),
    "a failed PyTorchJob": (training(true("Created", "Failed")), [], "Failed"),
    "a new InferenceService": (service([]), [], "Pending"),
    "a service whose ingress is ready": (service(true("IngressReady") + false("Ready")), [pod("Running")], "Pending"),
    "a service that is ready": (service(true("PredictorReady", "Ready"), address={"url": "http://s"}), [], "Running"),
    "a service without an address": (service(true("Ready")), [], "Pending"),
    "a server that crashed once": (
        service(false("Ready")),
        [pod("Running", None, restartCount=1, lastState={"terminated": {"exitCode": 1}})],
        "Pending",
    ),
    "a server that crashes again and again": (
        service(false("Ready")),
        [pod("Running", None, restartCount=3, lastState={"terminated": {"exitCode": 1}})],
        "Failed",
    ),
    "a server that was given bad input": (
        service(false("Ready")),
        [pod("Running", None, restartCount=1, lastState={"terminated": {"exitCode": 2}})],
        "Failed",
    ),
}


@pytest.mark.parametrize(("child", "pods", "state"), VERDICTS.values(), ids=VERDICTS)
def test_a_childs_state(child, pods, state):
    assert verdict(child, pods).state == state


@pytest.mark.parametrize(
    ("child", "pods", "state"),
    [
        (job(), [], "Terminating"),
        (job({"conditions": true("Complete")}), [DONE], "Succeeded"),
        (job({"conditions": true("Failed")}), [pod("Failed", 143)], "Terminating"),
    ],
    ids=["while it works", "what it committed is a fact", "its failure may only be its deletion"],
)
def test_a_child_that_is_being_deleted(child, pods, state):
    child = {**child, "metadata": {**child["metadata"], "deletionTimestamp": AT}}
    assert verdict(child, pods).state == state


@pytest.mark.parametrize(
    ("child", "pods", "alive"),
    [
        (job(), [], True),
        (job({"conditions": true("Complete")}), [DONE], False),
        (job({"conditions": true("Failed")}), [pod("Failed", 1), pod("Running", index=1)], True),
        (job({"conditions": true("FailureTarget")}), [pod("Failed", 1)], True),
        (training(true("Failed")), [pod("Failed", 1)], False),
        (service(true("Stopped")), [], True),
    ],
    ids=["not started", "finished", "failed, with a pod that runs on", "announced", "failed", "a service until it is gone"],
)
def test_what_may_hold_a_pod_is_alive(child, pods, alive):
    assert is_alive(child, pods) == alive


def test_the_shards_of_a_partial_success_are_counted():
    child = indexed({"conditions": true("Failed"), "completedIndexes": "0,2-4,6", "failedIndexes": "1,5"}, 7)
    found = verdict(child, [pod("Succeeded", 0, WORDS, index=i) for i in (0, 2, 3, 4, 6)] + [pod("Failed", 2, index=1)])
    assert (found.completed, found.wanted, found.hopeless, len(found.summaries)) == (5, 7, 1, 5)


def test_a_shard_that_two_pods_finished_is_heard_once():
    child = indexed({"conditions": true("Complete")}, 1)
    assert len(verdict(child, [DONE, DONE]).summaries) == 1


def test_only_the_master_speaks_for_a_training():
    worker = pod("Succeeded", 0, WORDS)
    worker["metadata"]["labels"]["training.kubeflow.org/replica-type"] = "worker"
    assert verdict(training(true("Succeeded")), [worker]).reason == "SummaryMissing"


@pytest.mark.parametrize(
    ("child", "pods", "reason", "message"),
    [
        (
            job({"conditions": true("Failed")}),
            [pod("Failed", 1, LastWords(error="disk full").model_dump_json())],
            "PodFailed",
            "disk full (pod p0, exit code 1)",
        ),
        (
            job({"conditions": true("Failed")}),
            [{**pod("Failed"), "status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"}}],
            "Failed",
            "The node was low on memory",
        ),
        (
            job({"conditions": true("Failed", message="Job was active longer than specified deadline")}),
            [],
            "Failed",
            "Job was active longer than specified deadline",
        ),
        (job({"conditions": true("Failed")}), [pod("Failed", 139)], "PodFailed", "pod p0 ended with exit code 139"),
    ],
    ids=["its own words", "the kubelet's words", "the controller's words", "nobody's words"],
)
def test_why_it_failed(child, pods, reason, message):
    found = verdict(child, pods)
    assert (found.reason, found.message) == (reason, message)


def test_a_pod_out_of_memory_is_told_so():
    killed = pod("Failed", 137)
    killed["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    found = verdict(job({"conditions": true("Failed")}), [killed])
    assert (found.reason, found.message) == ("OOMKilled", "pod p0 ended with exit code 137, OOMKilled")


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: gpu"}]},
            "Unschedulable",
            "pod p0: 0/3 nodes: gpu",
        ),
        (
            {
                "containerStatuses": [
                    {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s3" not found'}}}
                ]
            },
            "CreateContainerConfigError",
            'pod p0: secret "s3" not found',
        ),
        (
            {
                "initContainerStatuses": [
                    {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "image will run as root"}}}
                ],
                "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}],
            },
            "CreateContainerConfigError",
            "pod p0: image will run as root",
        ),
    ],
    ids=["no node", "no secret", "a container before it"],
)
def test_why_it_does_not_start(status, reason, message):
    waiting = {**pod("Pending"), "status": {"phase": "Pending", **status}}
    found = verdict(job(), [waiting])
    assert (found.state, found.reason, found.message) == ("Pending", reason, message)


MISSING = {
    "a Job's only pod": (job({"startTime": AT}), [], "0 of 1 pods of Job j are there; `kubectl describe job j` says why, often"),
    "one of a gang": (
        training(true("Running"), workers=2),
        [pod("Running"), pod("Running")],
        "2 of 3 pods of PyTorchJob t are there; `kubectl describe pytorchjob t` says why, often",
    ),
    "a server": (
        service(false("Ready")),
        [],
        "0 of 1 pods of InferenceService s are there; `kubectl describe inferenceservice s` says why, often",
    ),
    "the next shard's": (indexed({"startTime": "2026-01-01T11:00:00Z"}, 3), [ended(0)], "1 of 3 pods of Job j are there; "),
}


@pytest.mark.parametrize(("child", "pods", "message"), MISSING.values(), ids=MISSING)
def test_pods_that_are_not_made_are_told_when_they_are_long_due(child, pods, message):
    child["metadata"]["creationTimestamp"] = AT
    found = verdict(child, pods)
    assert (found.state, found.reason) == ("Pending", "PodsMissing")
    assert found.message.startswith(message)
    assert not found.in_trouble(datetime(2026, 1, 1, 12, 0, 19, tzinfo=UTC))
    assert found.in_trouble(datetime(2026, 1, 1, 12, 0, 20, tzinfo=UTC))


EVICTED = training(true("Running"), workers=1)
EVICTED["status"]["replicaStatuses"] = {"Master": {"active": 1}, "Worker": {"active": 1}}


@pytest.mark.parametrize(
    ("child", "pods"),
    [
        (indexed({}, 3), [ended(0), pod("Running", index=1)]),
        (indexed({}, 1), [ended(0)]),
        (training(true("Created"), workers=1), [pod("Pending"), pod("Pending")]),
        (job({"active": 1}), []),
        (job({"terminating": 1}), []),
        (EVICTED, [pod("Running")]),
    ],
    ids=["as many as run at once", "all have ended", "all are there", "deleted just now", "gone just now", "evicted just now"],
)
def test_pods_that_are_not_due_are_not_missing(child, pods):
    assert verdict(child, pods).reason == ""


def warning(version: int, message: str, **involved: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "involvedObject": involved, "message": message}


def test_the_newest_word_of_those_who_make_its_pods_says_why_they_are_missing():
    events = [
        warning(9, "exceeded quota", kind="Job", uid="u"),
        warning(10, "no such service account", kind="Job", uid="u"),
        warning(11, "something else", kind="Job", uid="other"),
        warning(12, "not ours", kind="ReplicaSet", uid="other", name="j-predictor-5f"),
    ]
    assert verdict(job(), [], events).message == "0 of 1 pods of Job j are there: no such service account"


def test_a_servers_pods_are_made_by_a_replica_set():
    events = [
        warning(1, "exceeded quota", kind="ReplicaSet", uid="r", name="s-predictor-5f"),
        warning(2, "not ours", kind="ReplicaSet", uid="q", name="s-2-predictor-5f"),
    ]
    assert verdict(service([]), [], events).message == "0 of 1 pods of InferenceService s are there: exceeded quota"


def gated(index: int = 0) -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "not admitted"}]
    return {**pod("Pending", index=index), "status": {"phase": "Pending", "conditions": conditions}}


def test_a_server_is_queued_while_none_of_its_pods_is_admitted():
    child = service(false("Ready"))
    child["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "gpus"}
    found = verdict(child, [gated(0), gated(1)])
    assert (found.state, found.message) == ("Queued", "InferenceService s waits in queue gpus")
    assert verdict(child, [gated(0), pod("Pending", index=1)]).state == "Pending"


IDLE = {
    "no pod yet": (job(), [], AT),
    "it waits": (job({"startTime": "2026-01-01T12:01:00Z"}), [pod("Pending")], "2026-01-01T12:01:00Z"),
    "it runs": (indexed({}, 2), [ended(0), pod("Running", index=1)], None),
    "the next one waits": (
        indexed({}, 2),
        [ended(0, "2026-01-01T12:02:00Z"), pod("Pending", index=1)],
        "2026-01-01T12:02:00Z",
    ),
    "all have ended": (job({}), [ended(0)], None),
    "it is queued": (job({}, suspend=True), [], AT),
    "it is queued again": (
        job({"conditions": true("Suspended", lastTransitionTime="2026-01-01T12:03:00Z")}, suspend=True),
        [],
        "2026-01-01T12:03:00Z",
    ),
}


@pytest.mark.parametrize(("child", "pods", "since"), IDLE.values(), ids=IDLE)
def test_since_when_nothing_of_it_runs(child, pods, since):
    child["metadata"]["creationTimestamp"] = AT
    assert verdict(child, pods).idle_since == (datetime.fromisoformat(since) if since else None)


HOSTILE = {
    "nothing": "",
    "no JSON": "Traceback (most recent call last)",
    "another shape": "[]",
    "unknown fields": json.dumps({"summary": {"type": "cleanup", "deleted": 1}, "run": "rm -rf /"}),
    "text for numbers": json.dumps({"summary": {"type": "cleanup", "deleted": "12"}}),
    "a count below nothing": WORDS.replace('"accepted":6', '"accepted":-5'),
    "a count beyond belief": WORDS.replace('"accepted":6', f'"accepted":{10**30}'),
    "a reason that nobody defined": WORDS.replace('"blind"', '"<script>"'),
    "a stage that nobody defined": WORDS.replace('"generate"', '"conquer"'),
    "a figure that is none": WORDS.replace('"accepted":6', '"accepted":NaN'),
    "too long": json.dumps({"error": "x" * 5000}),
    "a surrogate": '"\ud800"',
}


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE)
def test_a_message_that_does_not_fit_the_schema_is_no_word(message):
    assert words_of({"exitCode": 0, "message": message}) is None
