"""The operator as a process against a real API server: whole runs, and what people do to them.

No node is there: what pods, the training operator and KServe would say is said by hand (see lab.py).
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from tests.cluster.lab import STAGES, UPSTREAM, Lab, at_work, limit, log_of, operator
from tests.conftest import ROOT
from tests.testbed.api import Object, Refused, address
from tests.testbed.tools.daemon import Daemon, eventually

from evolution_api.endings import LastWords
from evolution_api.layout import ANNOTATION_RESUME, FINALIZER
from evolution_operator.pod import LABEL_QUEUE

pytestmark = pytest.mark.skipif(
    "EVOLUTION_TEST_KUBECONFIG" in os.environ, reason="children are completed by hand: needs no nodes"
)


@pytest.fixture
def working(lab: Lab, kubeconfig: Path, tmp_path: Path) -> Iterator[Daemon]:
    with at_work(operator(tmp_path, kubeconfig, lab.namespace, identity="only")) as daemon:
        yield daemon


def test_a_run_goes_through_two_rounds_and_succeeds(lab: Lab, working: Daemon) -> None:
    lab.start()
    lab.turn(lambda: lab.condition("Succeeded").get("status") == "True", "the run succeeds")

    status = lab.status()
    assert (status["phase"], status["progress"], status.get("stage")) == ("Succeeded", "2/2", None)
    assert [record["round"] for record in status["rounds"]] == [0, 1, 2]
    assert (status["accepted"], status["frontierPercent"], status["score"]) == (24, 50, 0.6)
    assert (status["best"]["metric"], status["best"]["value"], status["best"]["round"]) == ("seeing", 0.2, 2)
    lab.wait_told("RunSucceeded")
    assert lab.reasons() == [*["StageStarted", "StageSucceeded"] * 10, "RunSucceeded"]
    assert {c["type"] for c in status["conditions"]} == {"Progressing", "Suspended", "Succeeded", "Failed"}
    # The last round's finished children stay readable; nothing holds a pod any more.
    expected = ["x-r2-evaluate", "x-r2-generate", "x-r2-probe", "x-r2-train"]
    eventually(lambda: lab.names() == expected, f"only {expected} are left", 30)
    assert all(pod["status"]["phase"] == "Succeeded" for pod in lab.pods())
    assert {child["metadata"]["managedFields"][0]["manager"] for child in lab.children()} == {"evolution-operator"}

    # People see it by kubectl, and machines in the log.
    lab.api.kubectl("wait", "--for=condition=Succeeded", "evo/x", "--timeout=5s", namespace=lab.namespace)
    columns = lab.api.kubectl("get", "evo", "x", "--no-headers", namespace=lab.namespace).split()
    assert columns[:2] == ["x", "Succeeded"]
    described = lab.api.kubectl("describe", "evo", "x", namespace=lab.namespace)
    story = [" ".join(line.split()) for line in described.partition("Events:")[2].splitlines()]
    told = [line.partition("evolution-operator ")[2] for line in story if "evolution-operator" in line]
    assert told[4:8] == [
        "generate of round 1/2",
        "generate of round 1 succeeded: 12 of 20 proposals accepted",
        "probe of round 1/2",
        "probe of round 1 succeeded: 2 easy, 6 frontier, 4 hard",
    ]
    assert told[-2:] == ["evaluate of round 2 succeeded: score 0.6, seeing 0.2", "all 2 rounds are done"]
    metrics = httpx.get(f"{working.url}/metrics", trust_env=False).text.splitlines()
    assert 'evolution_operator_runs{phase="Succeeded"} 1.0' in metrics
    assert 'evolution_operator_stage_seconds_count{stage="train"} 2.0' in metrics
    assert 'evolution_operator_api_requests_total{method="POST",resource="pytorchjobs",status="201"} 2.0' in metrics
    heard = next(float(line.split()[1]) for line in metrics if line.startswith("evolution_operator_watch_lag_seconds_count"))
    assert heard >= len(STAGES), "the end of every child, and the servers' readiness"
    logged = [line for line in log_of(working) if line.get("reason") == "StageStarted"]
    assert {(line["namespace"], line["run"]) for line in logged} == {(lab.namespace, "x")}
    assert [(line["round"], line["stage"], line["attempt"]) for line in logged][:3] == [
        (0, "prepare", 1),
        (0, "evaluate", 1),
        (1, "generate", 1),
    ]


def test_a_failed_stage_is_tried_again_and_a_failed_run_is_resumed(lab: Lab, working: Daemon) -> None:
    lab.start(retry={"limit": 1, "backoffSeconds": 0})
    first = lab.turn_to(1, "generate")
    lab.fail(first, LastWords(error="the scenes are gone"))
    eventually(lambda: lab.status().get("attempt") == 2, "a second attempt", 30)  # its child is made before that is said
    assert "x-r1-generate-a2" in lab.names()
    lab.wait_told("Retrying")

    second = lab.child("x-r1-generate-a2")
    assert second is not None
    eventually(lambda: len(lab.pods_of(second)) == 2, "its pods", 30)
    lab.fail(second, LastWords(error="the scenes are still gone"))
    eventually(lambda: lab.condition("Failed").get("status") == "True", "the run fails", 30)
    assert "the scenes are still gone" in lab.condition("Failed")["message"]

    lab.api.patch(address(lab.run()), {"metadata": {"annotations": {ANNOTATION_RESUME: "1"}}})
    lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the resumed run succeeds")


def test_suspend_frees_every_pod_and_resume_goes_on_from_there(lab: Lab, working: Daemon) -> None:
    lab.start()
    job = lab.turn_to(1, "generate")
    eventually(lambda: len(lab.pods_of(job)) == 2, "its pods", 30)
    lab.edit(suspend=True)
    eventually(lambda: lab.condition("Suspended").get("status") == "True", "the run is suspended", 30)
    assert not lab.pods_of(job)
    assert lab.child("x-r1-generate") is None
    assert lab.place() == (1, "generate")

    lab.edit(suspend=False)
    again = lab.turn_to(1, "generate")
    assert again["metadata"]["uid"] != job["metadata"]["uid"]
    lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the run succeeds")
    lab.wait_told("Suspended", "Resumed")


def test_a_deleted_run_with_storage_to_delete_waits_for_the_cleanup(lab: Lab, working: Daemon) -> None:
    lab.start(storage={"uri": "s3://bucket/runs", "onDelete": "Delete"})
    lab.turn_to(1, "generate")
    assert lab.run()["metadata"]["finalizers"] == [FINALIZER]
    lab.delete()
    eventually(lambda: lab.names() == ["x-r0-cleanup"], "only the cleanup is there", 60)
    assert lab.status()["phase"] == "Deleting"
    lab.turn(lambda: not lab.exists(), "the run is gone")
    eventually(lambda: not (lab.names() or lab.pods()), "nothing is left", 60)
    lab.wait_told("StorageDeleted")


def test_a_run_made_again_under_the_same_name_starts_anew(lab: Lab, working: Daemon) -> None:
    lab.start()
    before = lab.turn_to(1, "generate")["metadata"]["uid"]
    lab.delete()
    lab.start()
    again = lab.turn_to(1, "generate")
    assert again["metadata"]["uid"] != before
    assert again["metadata"]["ownerReferences"][0]["uid"] == lab.run()["metadata"]["uid"]


def test_two_runs_with_long_names_do_not_mix(lab: Lab, working: Daemon) -> None:
    names = [f"{'long-' * 14}{end}" for end in "ab"]
    for name in names:
        lab.start(name, rounds=1)
    lab.turn(lambda: all(lab.status(name).get("phase") == "Succeeded" for name in names), "both succeed")
    assert all(lab.status(name)["accepted"] == 12 for name in names)


def test_a_child_that_the_operator_stumbles_over_is_told(lab: Lab, working: Daemon) -> None:
    """A time that is none: the real schema would not let it in, ours of the test does."""
    lab.start(rounds=1)
    job = lab.turn_to(1, "train")
    lab.api.patch(f"{address(job)}/status", {"status": {"startTime": "soon"}})
    eventually(lambda: lab.condition("Stalled").get("reason") == "OperatorError", "the run says so", 30)
    assert "soon" in lab.condition("Stalled")["message"]
    lab.api.patch(f"{address(job)}/status", {"status": {"startTime": None}})
    lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the run succeeds")


def test_a_run_that_stores_in_a_folder_is_refused_in_words(lab: Lab, working: Daemon) -> None:
    lab.start(storage={"uri": "file:///runs"})
    eventually(lambda: lab.condition("Stalled").get("reason") == "SpecInvalid", "the run says so", 30)
    assert lab.condition("Stalled")["message"].startswith('spec.storage.uri = "file:///runs": ')
    eventually(lambda: lab.reasons() == ["SpecInvalid"], "an event tells it once", 30)
    assert not lab.names()
    lab.delete()
    eventually(lambda: not lab.exists(), "it can be deleted", 30)


def test_more_rounds_open_a_run_again(lab: Lab, working: Daemon) -> None:
    lab.start(rounds=1)
    lab.turn(lambda: lab.status().get("phase") == "Succeeded", "one round")
    lab.edit(rounds=2)
    lab.turn(lambda: lab.status()["progress"] == "2/2" and lab.status()["phase"] == "Succeeded", "the second round")
    lab.wait_told("Reopened")


REFUSED_PODS = {
    "x": ({}, "exceeded quota: small, requested: pods=1"),
    "y": ({"serviceAccountName": "nobody"}, 'serviceaccount "nobody" not found'),
    "z": ({"priorityClassName": "nobody"}, "no PriorityClass with name nobody was found"),
}
"""Runs that are scheduled so, and how the API server refuses their pods."""


def test_pods_that_are_refused_are_told_in_words_and_the_run_goes_on(lab: Lab, working: Daemon) -> None:
    """The real Job controller is refused, and nothing but its events says so."""
    quota = limit(lab, "pods")
    for name, (scheduling, _) in REFUSED_PODS.items():
        lab.start(name, rounds=1, scheduling=scheduling)
    for name, (_, words) in REFUSED_PODS.items():
        eventually(lambda: lab.condition("Progressing", name).get("reason") == "PodsMissing", "the run says so", 60)  # noqa: B023
        message = lab.condition("Progressing", name)["message"]
        assert message.startswith(f"prepare of round 0/1: 0 of 1 pods of Job {name}-r0-prepare are there: ")
        assert words in message
    eventually(lambda: lab.reasons().count("PodsMissing") == len(REFUSED_PODS), "an event of each tells it")
    lab.api.delete(address(quota))
    # The Job controller would try again in half a minute.
    waiting = lab.child("x-r0-prepare")
    assert waiting is not None
    lab.api.delete(address(waiting))
    lab.turn_to(0, "evaluate")
    assert lab.condition("Progressing")["reason"] == "StageRunning"


def test_children_in_a_queue_wait_and_the_run_goes_on_as_they_are_admitted(lab: Lab, working: Daemon) -> None:
    lab.start(rounds=1, scheduling={"queueName": "gpus"})

    def says(message: str) -> bool:
        told = lab.condition("Progressing")
        return told.get("reason") == "Queued" and message in told["message"]

    eventually(lambda: says("Job x-r0-prepare waits in queue gpus"), "the first child is queued", 30)

    lab.hold_back(lab.turn_to(1, "probe", role="server"))
    eventually(lambda: says("InferenceService x-r1-probe-server waits in queue gpus"), "the server is queued", 30)
    lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the run succeeds")
    queues = {child["metadata"]["name"]: child["metadata"]["labels"].get(LABEL_QUEUE) for child in lab.children()}
    # Beside a model server nothing waits.
    assert queues == {"x-r1-generate": "gpus", "x-r1-probe": None, "x-r1-train": "gpus", "x-r1-evaluate": "gpus"}


def test_a_quota_is_told_and_the_run_goes_on_when_there_is_room(lab: Lab, working: Daemon) -> None:
    quota = limit(lab, "count/jobs.batch")
    lab.start(rounds=1)
    eventually(lambda: lab.condition("Progressing").get("reason") == "QuotaExceeded", "the run says so", 30)
    told = lab.condition("Progressing")
    assert (told["status"], lab.condition("Stalled")["status"]) == ("False", "True")
    assert told["message"].startswith("cannot create Job x-r0-prepare: ")
    assert "count/jobs.batch" in told["message"]
    lab.wait_told("QuotaExceeded")
    lab.api.delete(address(quota))
    lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the run succeeds")


def test_a_secret_that_is_missing_is_told_and_by_one_event(lab: Lab, working: Daemon) -> None:
    lab.start(rounds=1)
    job = lab.turn_to(0, "prepare")
    eventually(lambda: len(lab.pods_of(job)) == 1, "its pod", 30)
    lab.hold_up(job, "CreateContainerConfigError", 'secret "credentials" not found')
    eventually(lambda: lab.condition("Progressing").get("reason") == "CreateContainerConfigError", "the run says so", 30)
    assert 'secret "credentials" not found' in lab.condition("Progressing")["message"]
    lab.wait_told("CreateContainerConfigError")
    for again, reason in (("ContainerCreating", "StageRunning"), ("CreateContainerConfigError", "CreateContainerConfigError")):
        lab.hold_up(job, again, 'secret "credentials" not found')
        eventually(lambda: lab.condition("Progressing")["reason"] == reason, "the run says so", 30)  # noqa: B023
    lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the run succeeds once the pod starts")
    lab.wait_told("RunSucceeded")
    assert lab.reasons().count("CreateContainerConfigError") == 1


@pytest.mark.parametrize(
    ("kind", "child", "clusterwide"),
    [(UPSTREAM[0], "PyTorchJob x-r1-train", False), (UPSTREAM[1], "InferenceService x-r1-probe-server", True)],
    ids=["no training operator, one namespace", "no KServe, all namespaces"],
)
def test_a_kind_that_is_not_installed_is_waited_for(
    lab: Lab, kubeconfig: Path, tmp_path: Path, install: Callable[[Object], None], kind: Object, child: str, clusterwide: bool
) -> None:
    lab.api.delete(address(kind))
    early = operator(tmp_path, kubeconfig, lab.namespace, identity="early", clusterwide=clusterwide)
    try:
        early.start()
        lab.start(rounds=1)
        lab.turn(lambda: lab.condition("Progressing").get("reason") == "KindNotInstalled", "the run says so")
        assert f"cannot create {child}" in lab.condition("Progressing")["message"]
        assert lab.status()["rounds"][0]["figures"]["score"]["mean"] == 0.4, "what was committed is kept"
        install(kind)
        lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the run succeeds")
    finally:
        early.stop()
        install(kind)


def test_a_child_name_that_somebody_else_took_is_told(lab: Lab, working: Daemon) -> None:
    pod = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}
    foreign = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "x-r0-prepare", "namespace": lab.namespace},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }
    lab.api.create(foreign)
    lab.start(rounds=1)
    eventually(lambda: lab.condition("Progressing").get("reason") == "ChildOfAnotherRun", "the run says so", 30)
    lab.wait_told("ChildOfAnotherRun")
    lab.api.delete(address(foreign))
    lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the run succeeds")


def test_a_run_that_an_older_schema_let_in_is_told_what_is_wrong(
    lab: Lab, working: Daemon, crd: Object, install: Callable[[Object], None]
) -> None:
    """Such as one from before a rule was made; it neither stops the operator nor hangs in its deletion."""
    lab.api.apply(without_rules(crd))
    eventually(lambda: accepts_two_proposers(lab), "the old schema is served", 30)
    lab.start("bad", generation=TWO_PROPOSERS)
    install(crd)
    eventually(lambda: lab.condition("Progressing", "bad").get("reason") == "SpecInvalid", "the run says so", 30)
    assert "generation.proposer needs exactly one of" in lab.condition("Progressing", "bad")["message"]
    lab.start("good", rounds=1)
    lab.turn(lambda: lab.status("good").get("phase") == "Succeeded", "others go on")
    assert not [name for name in lab.names() if name.startswith("bad")]
    lab.delete("bad")
    eventually(lambda: not lab.exists("bad"), "it can be deleted", 30)


TWO_PROPOSERS: Object = {"proposer": {"grammar": {}, "inline": {}}}


def without_rules(schema: Object) -> Object:
    def bare(value: object) -> object:
        if isinstance(value, dict):
            return {key: bare(inner) for key, inner in value.items() if key != "x-kubernetes-validations"}
        return [bare(inner) for inner in value] if isinstance(value, list) else value

    found = bare(schema)
    assert isinstance(found, dict)
    return found


def accepts_two_proposers(lab: Lab) -> bool:
    try:
        lab.start("bad", generation=TWO_PROPOSERS)
    except Refused:
        return False
    lab.delete("bad")
    return True


@pytest.mark.parametrize("clusterwide", [False, True], ids=["one namespace", "all namespaces"])
def test_the_documented_rights_are_enough(lab: Lab, kubeconfig: Path, tmp_path: Path, clusterwide: bool) -> None:
    in_namespace, of_lease, of_cluster = documented_rights()
    own = account(lab, kubeconfig, tmp_path)
    grant(lab, "Role", "lease", of_lease)
    if clusterwide:
        grant(lab, "ClusterRole", lab.namespace, in_namespace + of_cluster)
    else:
        grant(lab, "Role", "operator", in_namespace)
    with at_work(operator(tmp_path, own, lab.namespace, identity="limited", clusterwide=clusterwide)) as limited:
        lab.start(rounds=1, storage={"uri": "s3://bucket/runs", "onDelete": "Delete"})
        lab.turn(lambda: lab.status().get("phase") == "Succeeded", "the run succeeds")
        lab.delete()
        lab.turn(lambda: not lab.exists(), "the run is gone")
        lab.wait_told("StorageDeleted")
    about = [line for line in log_of(limited) if line.get("namespace") in (None, lab.namespace)]
    assert [line["message"] for line in about if line["level"] != "info"] == []


def test_a_right_that_is_missing_is_told_and_the_run_goes_on_once_it_is_there(lab: Lab, kubeconfig: Path, tmp_path: Path) -> None:
    in_namespace, of_lease, _ = documented_rights()
    rights = in_namespace + of_lease
    jobs = next(rule for rule in rights if rule["resources"] == ["jobs"])
    jobs["verbs"].remove("create")
    own = account(lab, kubeconfig, tmp_path)
    role = grant(lab, "Role", "operator", rights)
    with at_work(operator(tmp_path, own, lab.namespace, identity="limited")):
        lab.start(rounds=1)
        eventually(lambda: lab.condition("Stalled").get("reason") == "Forbidden", "the run says so", 30)
        message = lab.condition("Progressing")["message"]
        assert message.startswith("cannot create Job x-r0-prepare: ")
        assert 'cannot create resource "jobs"' in message
        jobs["verbs"].append("create")
        lab.api.patch(address(role), {"rules": rights})
        lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the run succeeds")


def documented_rights() -> list[list[Object]]:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "operator.md").read_text(), re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


def account(lab: Lab, kubeconfig: Path, folder: Path) -> Path:
    """A kubeconfig for a service account that has no rights yet."""
    metadata = {"name": "operator", "namespace": lab.namespace}
    lab.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    document = json.loads(kubeconfig.read_text())
    document["users"][0]["user"] = {"token": lab.api.kubectl("create", "token", "operator", namespace=lab.namespace).strip()}
    file = folder / "kubeconfig"
    file.write_text(json.dumps(document))
    return file


def grant(lab: Lab, kind: str, name: str, rules: list[Object]) -> Object:
    """Give rights to that account, in its namespace or in all; the Role or ClusterRole."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": name} | ({"namespace": lab.namespace} if kind == "Role" else {})
    role = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": rules}
    bound = {
        "roleRef": {"apiGroup": group, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": lab.namespace}],
    }
    lab.api.create(role)
    lab.api.create({"apiVersion": f"{group}/v1", "kind": f"{kind}Binding", "metadata": metadata, **bound})
    return role
