"""What the cluster and people do to a run under way: servers that go away, children that are deleted, a spec that is edited."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.faults.endings import CHILDREN, assert_ended_well, ended, made
from tests.cluster.faults.proxy import Proxy
from tests.cluster.lab import SPEC, STAGES, Lab, at_work, operator
from tests.testbed.api import Object, address
from tests.testbed.control_plane import ControlPlane
from tests.testbed.tools.daemon import Daemon, eventually


@pytest.fixture
def working(lab: Lab, proxy: Proxy, tmp_path: Path) -> Iterator[Daemon]:
    with at_work(operator(tmp_path, proxy.kubeconfig(tmp_path), lab.namespace, identity="only")) as daemon:
        yield daemon


def test_the_api_server_may_go_away_for_a_while(lab: Lab, proxy: Proxy, working: Daemon, control_plane: ControlPlane) -> None:
    lab.start(rounds=1)
    lab.turn_to(1, "generate")
    process = working.process
    control_plane.api_server.stop()
    control_plane.api_server.start()
    lab.turn(lambda: ended(lab), "the run ends")
    assert working.process is process
    assert process is not None
    assert process.poll() is None
    assert_ended_well(lab, proxy)


@pytest.mark.usefixtures("working")
def test_a_webhook_that_is_down_is_waited_for(lab: Lab, proxy: Proxy) -> None:
    """As while the training operator starts: its webhook is registered, and nobody answers."""
    webhook = {
        "name": "validator.pytorchjob.training-operator.kubeflow.org",
        "clientConfig": {"url": "https://127.0.0.1:9/nobody"},
        "rules": [
            {
                "apiGroups": ["kubeflow.org"],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["pytorchjobs"],
            }
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": lab.namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": lab.namespace},
        "webhooks": [webhook],
    }
    lab.api.create(configuration)
    lab.start(rounds=1)
    try:
        lab.turn(lambda: lab.condition("Reconciling").get("reason") == "WebhookUnavailable", "the run says so")
        assert lab.condition("Progressing")["message"].startswith("cannot create PyTorchJob x-r1-train: ")
    finally:
        lab.api.delete(address(configuration))
    lab.turn(lambda: ended(lab), "the run ends")
    assert_ended_well(lab, proxy)


@pytest.mark.usefixtures("working")
def test_a_child_deleted_by_hand_is_made_again(lab: Lab, proxy: Proxy) -> None:
    """A run for each child, which is deleted while it is under way; and one whose server goes while its probe works."""
    server = CHILDREN[0]
    taken = {f"d{index}": (child, child) for index, child in enumerate(CHILDREN)}
    taken["both"] = server, ("jobs", "r1-probe")
    doomed = {f"{run}-{beside}": f"{run}-{child}" for run, ((_, child), (_, beside)) in taken.items()}
    """What is spared until the other one, which may be the same, was deleted and made again."""
    deleted: dict[str, str] = {}

    def take() -> bool:
        there = {child["metadata"]["name"]: child for child in lab.children()}
        for spared, child in list(doomed.items()):
            uid = there[child]["metadata"]["uid"] if child in there else None
            if child in deleted and uid not in (None, deleted[child]):
                del doomed[spared]
            elif child not in deleted and uid is not None and spared in there:
                lab.api.delete(address(there[child]))
                deleted[child] = uid
        return not doomed and ended(lab)

    for run in taken:
        lab.start(run, rounds=1)
    lab.turn(take, "the runs end", spared=lambda child: child["metadata"]["name"] in doomed)
    for run, (child, _) in taken.items():
        assert_ended_well(lab, proxy, run, again=[child])

    lab.start("gone", rounds=1, storage={**SPEC["storage"], "onDelete": "Delete"})
    lab.turn_to(0, "prepare")
    lab.delete("gone")
    first = lab.turn_to(0, "cleanup")
    lab.api.delete(address(first))
    eventually(lambda: lab.turn_to(0, "cleanup")["metadata"]["uid"] != first["metadata"]["uid"], "another cleanup")
    lab.turn(lambda: not lab.exists("gone"), "the run is gone")
    assert made(proxy, "gone") == [("jobs", "r0-cleanup"), ("jobs", "r0-cleanup"), ("jobs", "r0-prepare")]


@pytest.mark.usefixtures("working")
def test_a_spec_changed_while_a_stage_runs_counts_from_the_next_child_on(lab: Lab, proxy: Proxy) -> None:
    lab.start(rounds=1)
    for generation, (round_, stage) in enumerate(STAGES, start=2):
        under_way = lab.turn_to(round_, stage)
        if stage == "evaluate":
            pod = under_way["spec"]["template"]["spec"]
            assert pod["containers"][0]["image"] == f"evaluator:{generation - 1}"
        lab.edit(evaluation={"pod": {"image": f"evaluator:{generation}"}}, retry={"limit": generation})
        eventually(lambda: lab.status()["observedGeneration"] == generation, "the change is seen", 30)  # noqa: B023
        assert lab.place() == (round_, stage)
        still: Object | None = lab.child(under_way["metadata"]["name"])
        assert still is not None
        assert still["metadata"]["uid"] == under_way["metadata"]["uid"]
    lab.turn(lambda: ended(lab), "the run ends")
    assert_ended_well(lab, proxy, generation=generation)
    assert {condition["observedGeneration"] for condition in lab.status()["conditions"]} == {generation}
