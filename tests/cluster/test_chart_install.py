"""The chart installed, upgraded and removed by Helm on a control plane of its own, which knows nothing of us before."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster.chart import CHART, RELEASE, Helm, HelmError
from tests.cluster.lab import UPSTREAM
from tests.cluster.runs import run
from tests.cluster.test_chart import EVERYTHING, SWITCHES
from tests.conftest import ROOT
from tests.testbed.api import Api, Object, Refused, address, connected, install_definition, restrict
from tests.testbed.control_plane import running
from tests.testbed.tools.binaries import sources
from tests.testbed.tools.daemon import eventually

from evolution_api import crd as contract
from evolution_api.run.resource import EvolutionRun
from evolution_cli.commands.manifests import children
from evolution_operator.interface import Settings
from evolution_operator.manifests.catalogue import WORK
from evolution_operator.pod import Work

pytestmark = pytest.mark.skipif("EVOLUTION_TEST_KUBECONFIG" in os.environ, reason="installs on a cluster that is empty")

NAMESPACE = "operators"
EXAMPLE = ROOT / "examples" / "evolutionrun.yaml"
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/evolutionruns.evolution.spatial.io"
NOBODYS: Object = {"crd": {"install": False}, "aggregateRoles": False}
"""Values of a release that others can stand beside."""
EXAMPLES: Object = yaml.safe_load(EXAMPLE.read_text())["spec"]
RUNS: dict[str, Object] = {
    "the example": {**EXAMPLES, "scenes": {**EXAMPLES["scenes"], "procedural": None}},
    "a served proposer": {"generation": {"proposer": {"serving": {}}}},
    "a proposer in the pod": {"generation": {"proposer": {"inline": {}}}, "storage": {"secretName": "credentials"}},
}


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory, binary: Callable[[str], Path]) -> Iterator[Path]:
    with running(tmp_path_factory.mktemp("empty"), binary, plugins=["OwnerReferencesPermissionEnforcement"]) as plane:
        yield plane.kubeconfig


@pytest.fixture(scope="module")
def api(kubeconfig: Path, binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with connected(kubeconfig, binary("kubectl"), tmp_path_factory.mktemp("kubectl")) as client:
        yield client


@pytest.fixture(scope="module")
def helm(kubeconfig: Path, binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(binary("helm"), tmp_path_factory.mktemp("helm"), kubeconfig)


@pytest.fixture
def restricted(api: Api, namespace: str) -> str:
    """A namespace that admits no pod that is not `restricted`."""
    restrict(api, namespace)
    eventually(lambda: is_there(api, f"/api/v1/namespaces/{namespace}/serviceaccounts/default"), "pods can be made", 30)
    return namespace


def is_there(api: Api, path: str) -> bool:
    try:
        api.get(path)
    except Refused:  # not found; of a new kind also: not yet served
        return False
    return True


def kept_by(api: Api, release: str) -> list[str]:
    """Kind and name of everything that a release has made."""
    kinds = "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies"
    return sorted(
        api.kubectl("get", kinds, "-l", f"app.kubernetes.io/instance={release}", "-o", "name", namespace=NAMESPACE).split()
    )


def test_a_release_comes_and_grows_and_goes_and_the_runs_stay(helm: Helm, api: Api, tmp_path: Path) -> None:
    place = ("--namespace", NAMESPACE)
    said = helm("install", RELEASE, str(CHART), *place, "--create-namespace")
    assert "kubectl apply -f evolutionrun.yaml" in said
    assert "WARNING: this cluster knows no PyTorchJob." in said
    assert "WARNING: this cluster knows no InferenceService." in said
    assert kept_by(api, RELEASE) == [
        "clusterrole.rbac.authorization.k8s.io/evolution-operator",
        "clusterrole.rbac.authorization.k8s.io/evolution-operator-edit",
        "clusterrole.rbac.authorization.k8s.io/evolution-operator-view",
        "clusterrolebinding.rbac.authorization.k8s.io/evolution-operator",
        "deployment.apps/evolution-operator",
        "role.rbac.authorization.k8s.io/evolution-operator-lease",
        "rolebinding.rbac.authorization.k8s.io/evolution-operator-lease",
        "service/evolution-operator",
        "serviceaccount/evolution-operator",
    ]

    # What the notes say to do next.
    eventually(lambda: is_there(api, "/apis/evolution.spatial.io/v1alpha1/evolutionruns"), "runs can be listed", 30)
    api.kubectl("apply", "-f", str(EXAMPLE))
    started = api.get("/apis/evolution.spatial.io/v1alpha1/namespaces/default/evolutionruns/rooms")

    # A later chart with a later schema.
    for definition in UPSTREAM:
        api.create(definition)
    eventually(lambda: is_there(api, "/apis/kubeflow.org/v1/pytorchjobs"), "the training operator's kind", 30)
    eventually(lambda: is_there(api, "/apis/serving.kserve.io/v1beta1/inferenceservices"), "KServe's kind", 30)
    later = tmp_path / "later"
    shutil.copytree(CHART, later)
    (later / "files" / "crd.yaml").write_text(yaml.safe_dump(with_field(contract.custom_resource_definition(), "team")))
    said = helm("upgrade", RELEASE, str(later), *place, values={"replicas": 2})
    assert "WARNING" not in said
    assert api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}")["spec"]["replicas"] == 2
    eventually(lambda: is_kept(api, started, "team"), "the new field is kept", 30)

    # A release that leaves the definition to others, and then goes.
    helm("upgrade", RELEASE, str(CHART), *place, values={"crd": {"install": False}})
    helm("uninstall", RELEASE, *place)
    assert kept_by(api, RELEASE) == []
    found = api.get(address({**started, "kind": "EvolutionRun"}))
    assert (found["metadata"]["uid"], found["spec"]["team"]) == (started["metadata"]["uid"], "kept")
    assert "deletionTimestamp" not in api.get(DEFINITION)["metadata"]

    # The same name takes the definition up again; another one has to be told that it is not its own.
    helm("install", RELEASE, str(CHART), *place)
    assert (api.get(DEFINITION)["spec"]["versions"][0]["schema"]) == schema_of(contract.custom_resource_definition())
    with pytest.raises(HelmError, match=r"evolutionruns\.evolution\.spatial\.io.*invalid ownership metadata"):
        helm("install", "second", str(CHART), *place)
    helm("install", "second", str(CHART), *place, values=NOBODYS)
    helm("uninstall", "second", *place)
    helm("uninstall", RELEASE, *place)
    helm("install", "second", str(CHART), *place, "--take-ownership")
    helm("uninstall", "second", *place)
    assert api.get(address(found))["metadata"]["uid"] == started["metadata"]["uid"]


def schema_of(definition: Object) -> Object:
    found: Object = definition["spec"]["versions"][0]["schema"]
    return found


def with_field(definition: Object, name: str) -> Object:
    """The definition of a version in which the spec has one field more."""
    fields = schema_of(definition)["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields[name] = {"type": "string", "maxLength": 63}
    return definition


def is_kept(api: Api, run_: Object, field: str) -> bool:
    return field in api.patch(address(run_), {"spec": {field: "kept"}})["spec"]


def test_who_has_no_right_on_the_cluster_can_install_for_their_namespace(helm: Helm, api: Api, namespace: str) -> None:
    api.kubectl("create", "role", "all", "--verb=*", "--resource=*.*", namespace=namespace)
    api.kubectl("create", "rolebinding", "all", "--role=all", "--user=lead", namespace=namespace)
    place = ("--namespace", namespace, "--kube-as-user", "lead")
    with pytest.raises(HelmError, match=r'User "lead" cannot .* at the cluster scope'):
        helm("install", "team", str(CHART), *place)
    said = helm("install", "team", str(CHART), *place, values={**NOBODYS, "watchNamespaces": [namespace]})
    assert f"kubectl --namespace {namespace} apply -f evolutionrun.yaml" in said
    assert [name for name in kept_by(api, "team") if name.startswith("cluster")] == []
    helm("uninstall", "team", *place)


def test_people_with_the_clusters_roles_can_read_and_write_runs(helm: Helm, api: Api, namespace: str) -> None:
    helm("install", RELEASE, str(CHART), "--namespace", namespace, values={**NOBODYS, "aggregateRoles": True})
    for role in ("view", "edit", "admin"):
        api.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}", namespace=namespace)

    def may(user: str, verb: str) -> bool:
        asked = {"group": "evolution.spatial.io", "resource": "evolutionruns", "verb": verb, "namespace": namespace}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}}
        answer = api.create({**review, "spec": {"user": user, "resourceAttributes": asked}})
        return bool(answer["status"]["allowed"])

    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    expected = {"view": set(verbs[:3]), "edit": set(verbs), "admin": set(verbs)}
    eventually(lambda: {user: {verb for verb in verbs if may(user, verb)} for user in expected} == expected, f"{expected}", 30)
    helm("uninstall", RELEASE, "--namespace", namespace)


def test_where_owner_references_are_guarded_the_operator_needs_one_right_more(
    helm: Helm, api: Api, namespace: str, tmp_path: Path
) -> None:
    install_definition(api, contract.custom_resource_definition())
    owner = api.create(run(namespace=namespace))
    file = tmp_path / "child.json"
    file.write_text(json.dumps(children(EvolutionRun.model_validate(owner), 1)[0]))
    place = ("--namespace", namespace)
    values = {**NOBODYS, "watchNamespaces": [namespace]}

    def refusal() -> str:
        """Of a child that the operator would make."""
        operator = f"--as=system:serviceaccount:{namespace}:{RELEASE}"
        try:
            api.kubectl("create", "--dry-run=server", "--validate=false", f"--filename={file}", operator, namespace=namespace)
        except AssertionError as error:
            return str(error)
        return ""

    helm("install", RELEASE, str(CHART), *place, values=values)
    eventually(lambda: "cannot set blockOwnerDeletion" in refusal(), "the other rights are there", 30)
    helm("upgrade", RELEASE, str(CHART), *place, values={**values, "ownerReferencesPermissionEnforcement": True})
    eventually(lambda: refusal() == "", "this right is there", 30)
    helm("uninstall", RELEASE, *place)


def test_the_api_server_takes_all_that_the_chart_makes(helm: Helm, api: Api, tmp_path: Path) -> None:
    """For every value that test_chart.py tries."""
    path = "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"
    install_definition(api, yaml.load((sources("prometheus-operator") / path).read_text(), yaml.CSafeLoader))
    tried = [EVERYTHING, *(values for values, *_ in SWITCHES.values())]
    made = {json.dumps(found, sort_keys=True): found for values in tried for found in helm.rendered(values)}
    assert {"NetworkPolicy", "ServiceMonitor", "ConfigMap", "Deployment", "Pod"} <= {found["kind"] for found in made.values()}
    for name in sorted({found["metadata"].get("namespace", NAMESPACE) for found in made.values()}):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    file = tmp_path / "made.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [*made.values()]}))
    options = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    said = api.kubectl("apply", *options, "--filename", str(file), namespace="")
    assert said.count("serverside-applied (server dry run)") == len(made)


def test_a_restricted_namespace_admits_the_operators_pod_and_that_of_helm_test(helm: Helm, api: Api, restricted: str) -> None:
    refused: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": restricted}}
    with pytest.raises(Refused, match='violates PodSecurity "restricted:latest"'):
        api.create({**refused, "spec": {"containers": [{"name": "c", "image": "i"}]}}, dry_run=True)
    helm("install", RELEASE, str(CHART), "--namespace", restricted, values={**NOBODYS, "watchNamespaces": [restricted]})
    pods = f"/api/v1/namespaces/{restricted}/pods?labelSelector=app.kubernetes.io/instance={RELEASE}"
    eventually(lambda: len(api.get(pods)["items"]) == 1, "the Deployment gets its pod", 30)
    (tester,) = (found for found in helm.rendered(namespace=restricted) if found["kind"] == "Pod")
    api.create(tester, dry_run=True)
    helm("uninstall", RELEASE, "--namespace", restricted)


@pytest.mark.parametrize("spec", RUNS.values(), ids=RUNS)
def test_a_restricted_namespace_admits_the_pods_of_every_stage(api: Api, restricted: str, spec: Object) -> None:
    made = EvolutionRun.model_validate(run(spec, namespace=restricted))
    cleanup = WORK["cleanup"].manifest(Work(made, "cleanup", 0, 1, Settings()))
    pods = {
        f"{child['metadata']['name']}-{i}": pod for child in [*children(made, 1), cleanup] for i, pod in enumerate(pods_of(child))
    }
    assert len(pods) >= 8
    for name, pod in pods.items():
        meta = {"name": name, "namespace": restricted}
        api.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod}, dry_run=True)


def pods_of(child: Object) -> list[Object]:
    """The specs of the pods that a child gets, as we write them; what Kubeflow and KServe add is theirs."""
    spec = child["spec"]
    match child["kind"]:
        case "PyTorchJob":
            return [replica["template"]["spec"] for replica in spec["pytorchReplicaSpecs"].values()]
        case "InferenceService":
            own = {"labels", "minReplicas", "maxReplicas", "timeout"}
            return [{field: value for field, value in spec["predictor"].items() if field not in own}]
        case _:
            return [spec["template"]["spec"]]
