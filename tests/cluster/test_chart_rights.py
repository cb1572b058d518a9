"""The operator with the rights that the chart grants: they are enough for a whole run, and each of them is needed.

The chart is installed by Helm; in place of the Deployment's pod, which no node takes, its command runs as a process here
that bears a token of the chart's service account. Children are completed by hand (see lab.py).
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.cluster.chart import CHART, RELEASE, Helm, Right, documented
from tests.cluster.lab import Lab, limit, log_of
from tests.testbed.api import Api, Object, Refused, address
from tests.testbed.tools.daemon import LOOPBACK, Daemon, eventually, free_ports

pytestmark = pytest.mark.skipif(
    "EVOLUTION_TEST_KUBECONFIG" in os.environ, reason="children are completed by hand: needs no nodes"
)

RBAC = "rbac.authorization.k8s.io/v1"
EVERY_RIGHT = sorted(set().union(*documented()))
"""Of an operator of all namespaces; test_chart.py holds the chart to it."""


NEEDED_TO_BE_READY = [right for right in EVERY_RIGHT if right[1] == "leases" or right[1:] == ("evolutionruns", "list")]
"""Without which nothing is begun; what else is refused is told by the run that needs it."""


@dataclass
class Release:
    """The chart, installed; what is said of the operator's account is asked of the API server."""

    api: Api
    namespace: str
    roles: list[str]
    """Paths of the roles that the operator's account has."""
    readiness: str = ""
    """Where the operator that was made last tells it."""

    def operator(self, folder: Path, kubeconfig: Path) -> Daemon:
        """The Deployment's own command with a token of its service account, not started yet."""
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": RELEASE, "namespace": self.namespace}}
        pod = self.api.get(address(deployment))["spec"]["template"]["spec"]
        document = json.loads(kubeconfig.read_text())
        token = self.api.kubectl("create", "token", pod["serviceAccountName"], namespace=self.namespace)
        document["users"][0]["user"] = {"token": token.strip()}
        document["contexts"][0]["context"]["namespace"] = self.namespace
        own = folder / "kubeconfig"
        own.write_text(json.dumps(document))
        main = pod["containers"][0]
        (port,) = free_ports(1)
        command = [sys.executable, *main["command"][1:], *main["args"], f"--health-port={port}", "--resync-seconds=2"]
        url = f"http://{LOOPBACK}:{port}"
        alive = f"{url}{main['livenessProbe']['httpGet']['path']}"
        self.readiness = f"{url}{main['readinessProbe']['httpGet']['path']}"

        def is_alive() -> bool:
            try:
                return httpx.get(alive, trust_env=False, timeout=5).is_success
            except httpx.TransportError:
                return False

        environment = [f"KUBECONFIG={own}", "POD_NAME=the-pod"]
        return Daemon(["/usr/bin/env", *environment, *command], url, folder / "operator.log", is_alive)

    def said_of_readiness(self) -> tuple[int, str]:
        answer = httpx.get(self.readiness, trust_env=False, timeout=5)
        return answer.status_code, answer.text

    @contextmanager
    def without(self, right: Right, namespace: str) -> Iterator[None]:
        """The chart's roles without one verb on one resource."""
        before = {path: self.api.get(path)["rules"] for path in self.roles}
        for path, rules in before.items():
            self.api.patch(path, {"rules": [rule for old in rules if (rule := less(old, right))["verbs"]]})
        eventually(lambda: not self.may(right, namespace), f"{right} is taken away", 30)
        try:
            yield
        finally:
            for path, rules in before.items():
                self.api.patch(path, {"rules": rules})
        eventually(lambda: self.may(right, namespace), f"{right} is there again", 30)

    def may(self, right: Right, namespace: str) -> bool:
        group, resource, verb = right
        resource, _, subresource = resource.partition("/")
        asked = {"group": group, "resource": resource, "subresource": subresource, "verb": verb, "namespace": namespace}
        if resource == "leases":
            asked |= {"namespace": self.namespace, "name": RELEASE}
        if resource == "customresourcedefinitions":
            asked["namespace"] = ""
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}}
        user = f"system:serviceaccount:{self.namespace}:{RELEASE}"
        answer = self.api.create({**review, "spec": {"user": user, "resourceAttributes": asked}})
        return bool(answer["status"]["allowed"])

    def lease(self) -> Object:
        meta = {"name": "evolution-operator", "namespace": self.namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": {}}


def less(rule: Object, right: Right) -> Object:
    group, resource, verb = right
    if rule["apiGroups"] != [group] or rule["resources"] != [resource]:
        return rule
    return {**rule, "verbs": [kept for kept in rule["verbs"] if kept != verb]}


@pytest.fixture(scope="module")
def helm(kubeconfig: Path, binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(binary("helm"), tmp_path_factory.mktemp("helm"), kubeconfig)


@contextmanager
def installed(helm: Helm, api: Api, roles: list[Object], **values: object) -> Iterator[Release]:
    """`roles` name, without their namespace where it is the release's, what the chart binds the account to."""
    namespace = f"operators-{uuid.uuid4().hex[:12]}"
    place = ("--namespace", namespace)
    helm("install", RELEASE, str(CHART), *place, "--create-namespace", values={"crd": {"install": False}, **values})
    lease: Object = {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": f"{RELEASE}-lease", "namespace": namespace}}
    yield Release(api, namespace, [address(role) for role in (lease, *roles)])
    helm("uninstall", RELEASE, *place)
    api.delete(f"/api/v1/namespaces/{namespace}")


@pytest.fixture(scope="module")
def everywhere(helm: Helm, api: Api) -> Iterator[Release]:
    with installed(helm, api, [{"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": RELEASE}}]) as release:
        yield release


@pytest.fixture
def here(helm: Helm, api: Api, lab: Lab) -> Iterator[Release]:
    """An operator of the test's namespace alone."""
    role: Object = {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": RELEASE, "namespace": lab.namespace}}
    with installed(helm, api, [role], watchNamespaces=[lab.namespace], aggregateRoles=False) as release:
        yield release


FOREIGN: dict[str, Object] = {
    "jobs": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x-r0-prepare"}},
    "pytorchjobs": {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "x-r1-train"}},
    "inferenceservices": {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "x-r1-probe-server"},
    },
}
"""Somebody else's, under the name of a child: the operator then reads whose it is."""


def take_the_name_of_a_child(lab: Lab, resource: str) -> None:
    foreign = {**FOREIGN[resource], "metadata": {**FOREIGN[resource]["metadata"], "namespace": lab.namespace}, "spec": {}}
    if resource == "jobs":
        pod = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}
        lab.api.create({**foreign, "spec": {"suspend": True, "template": {"spec": pod}}})
    else:
        lab.api.create(foreign)
        done = {"conditions": [{"type": "Succeeded", "status": "True"}, {"type": "Ready", "status": "True"}]}
        lab.api.patch(f"{address(foreign)}/status", {"status": done})


def live(lab: Lab, until: Callable[[], bool]) -> None:
    """The whole life of a run whose storage goes with it, or as much of it as it takes."""
    lab.start(rounds=1, storage={"uri": "s3://bucket/runs", "onDelete": "Delete"})
    lab.turn(lambda: until() or lab.status().get("phase") == "Succeeded", "the run succeeds")
    if not until():
        lab.delete()
        lab.turn(lambda: until() or not lab.exists(), "the run is gone")


def refusal(right: Right) -> str:
    group, resource, verb = right
    return f'cannot {verb} resource "{resource}" in API group "{group}"'


def is_missed(operator: Daemon, right: Right) -> bool:
    """Whether the log tells that the API server refused just this."""
    return json.dumps(refusal(right))[1:-1] in operator.log.read_text()


def assert_enough(release: Release, lab: Lab, operator: Daemon) -> None:
    operator.start()
    try:
        live(lab, lambda: False)
        assert release.said_of_readiness()[0] == 200
        lab.wait_told("StorageDeleted")
    finally:
        operator.stop()
    about = [line for line in log_of(operator) if line.get("namespace") in (None, lab.namespace)]
    assert [line["message"] for line in about if line["level"] != "info"] == []
    assert release.api.get(address(release.lease()))["spec"]["holderIdentity"] == ""


def assert_needed(release: Release, lab: Lab, operator: Daemon, right: Right) -> None:
    _, resource, verb = right
    with release.without(right, lab.namespace):
        if resource == "leases":
            prepare_lease(release, is_there=verb == "update")
        if verb == "get" and resource in FOREIGN:
            take_the_name_of_a_child(lab, resource)
        if (resource, verb) == ("events", "list"):
            limit(lab, "pods")
        operator.start()
        try:
            live(lab, lambda: is_missed(operator, right))
            code, words = release.said_of_readiness()
        finally:
            operator.stop()
            leave_nothing(lab)
    assert is_missed(operator, right)
    assert (code, refusal(right) in words) == ((503, True) if right in NEEDED_TO_BE_READY else (200, False))


def prepare_lease(release: Release, *, is_there: bool) -> None:
    with suppress(Refused):  # it is not there
        release.api.delete(address(release.lease()))
    if is_there:
        release.api.create(release.lease())


def leave_nothing(lab: Lab) -> None:
    """No run that the next operator would look at, and no finalizer that nobody answers."""
    if lab.exists():
        lab.delete()
        if lab.exists():
            lab.api.patch(address(lab.run()), {"metadata": {"finalizers": None}})


def test_the_charts_rights_are_enough(everywhere: Release, lab: Lab, kubeconfig: Path, tmp_path: Path) -> None:
    assert_enough(everywhere, lab, everywhere.operator(tmp_path, kubeconfig))


def test_the_rights_in_chosen_namespaces_are_enough_there_and_end_there(
    here: Release, lab: Lab, kubeconfig: Path, tmp_path: Path
) -> None:
    assert [right for right in EVERY_RIGHT if here.may(right, "default")] == [
        ("coordination.k8s.io", "leases", verb) for verb in ("create", "get", "update")
    ]
    assert_enough(here, lab, here.operator(tmp_path, kubeconfig))


def test_helm_test_tells_an_operator_that_works_from_one_that_does_not(
    helm: Helm, everywhere: Release, kubeconfig: Path, tmp_path: Path
) -> None:
    (pod,) = (found for found in helm.rendered() if found["kind"] == "Pod")
    _, *command, url = pod["spec"]["containers"][0]["command"]
    operator = everywhere.operator(tmp_path, kubeconfig)
    operator.start()
    asked = [sys.executable, *command, operator.url + urlsplit(url).path]
    try:
        eventually(lambda: everywhere.said_of_readiness()[0] == 200, "it is ready", 30)
        assert subprocess.run(asked, capture_output=True, timeout=60).returncode == 0
        with everywhere.without(("evolution.spatial.io", "evolutionruns", "list"), "default"):
            assert subprocess.run(asked, capture_output=True, timeout=60).returncode == 1
    finally:
        operator.stop()
    assert subprocess.run(asked, capture_output=True, timeout=60).returncode == 1


@pytest.mark.parametrize("right", EVERY_RIGHT, ids=lambda right: f"{right[1]} {right[2]}")
def test_each_right_is_needed(everywhere: Release, lab: Lab, kubeconfig: Path, tmp_path: Path, right: Right) -> None:
    assert_needed(everywhere, lab, everywhere.operator(tmp_path, kubeconfig), right)


@pytest.mark.parametrize(
    "right", [("", "pods", "watch"), ("batch", "jobs", "create")], ids=lambda right: f"{right[1]} {right[2]}"
)
def test_each_right_is_needed_in_chosen_namespaces(
    here: Release, lab: Lab, kubeconfig: Path, tmp_path: Path, right: Right
) -> None:
    """These stand for the others: the rules are the same as those of all namespaces (test_chart.py), and so is what asks."""
    assert_needed(here, lab, here.operator(tmp_path, kubeconfig), right)
