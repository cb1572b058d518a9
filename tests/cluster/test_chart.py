"""The chart as Helm renders it, without a cluster: every value, what its schema refuses, and what it must agree with."""

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import PROCESS_COLLECTOR, Counter, Gauge, Histogram
from tests.cluster.chart import CHART, KUBE_VERSION, Helm, HelmError, documented, rights
from tests.conftest import ROOT
from tests.testbed.api import Object

from evolution_api import crd as contract
from evolution_operator.cluster import metrics
from evolution_operator.interface import Settings

VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
DIGEST = f"sha256:{'0' * 64}"
POD = "spec.template.spec"
MAIN = f"{POD}.containers.0"
ON_ZONE: Object = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1"]}]}
AFFINITY: Object = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [ON_ZONE]}}}
PROXY: Object = {"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}
PACKAGES: Object = {"name": "packages", "persistentVolumeClaim": {"claimName": "packages", "readOnly": True}}
AT_OPT: Object = {"name": "packages", "mountPath": "/opt/packages", "readOnly": True}
URGENT = "system-cluster-critical"
POLICY = "NetworkPolicy"
TESTER: Object = {
    "podSelector": {
        "matchLabels": {"app.kubernetes.io/component": "test", "app.kubernetes.io/instance": "evolution-operator"},
    }
}
SCRAPER: Object = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
}
SCRAPED: Object = {"metrics": {"serviceMonitor": {"enabled": True}}}
DASHBOARD: Object = {"metrics": {"dashboard": {"enabled": True}}}
EVERYTHING: Object = {
    "watchNamespaces": ["a"],
    "networkPolicy": {"enabled": True, "metricsFrom": [SCRAPER]},
    "env": [PROXY],
    "runs": {"env": [PROXY], "extraVolumes": [PACKAGES], "extraVolumeMounts": [AT_OPT]},
    "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "1"}}, "dashboard": {"enabled": True}},
}
SAMPLES = {Counter: ["_total"], Gauge: [""], Histogram: ["_bucket", "_count", "_sum"]}
"""What Prometheus stores of a metric."""
PEOPLE = ["evolution-operator-view", "evolution-operator-edit"]


def packed(value: Object) -> str:
    """As Helm writes JSON."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


SWITCHES: dict[str, tuple[Object, str, str, list[Any]]] = {
    # values, kind, path, what stands there in the objects of that kind
    "all namespaces": ({}, "ClusterRoleBinding", "subjects.0.namespace", ["operators"]),
    "chosen namespaces: rights": ({"watchNamespaces": ["a", "1"]}, "Role", "metadata.namespace", ["operators", "a", "1"]),
    "chosen namespaces: bindings": (
        {"watchNamespaces": ["a"]},
        "RoleBinding",
        "subjects.0.namespace",
        ["operators", "operators"],
    ),
    "chosen namespaces: nothing on the cluster": ({"watchNamespaces": ["a"]}, "ClusterRoleBinding", "metadata.name", []),
    "chosen namespaces: arguments": ({"watchNamespaces": ["a", "1"]}, "Deployment", f"{MAIN}.args.1", ["--namespace=1"]),
    "replicas": ({"replicas": 2}, "Deployment", "spec.replicas", [2]),
    "registry: operator": (
        {"images": {"registry": "r.example:5000/t"}},
        "Deployment",
        f"{MAIN}.image",
        [f"r.example:5000/t/evolution-operator:{VERSION}"],
    ),
    "registry: jobs": (
        {"images": {"registry": "r.example/t"}},
        "Deployment",
        f"{MAIN}.args.0",
        [f"--jobs-image=r.example/t/evolution-jobs:{VERSION}"],
    ),
    "pull policy": ({"images": {"pullPolicy": "Always"}}, "Deployment", f"{MAIN}.imagePullPolicy", ["Always"]),
    "pull secrets": (
        {"images": {"pullSecrets": ["a", "b"]}},
        "Deployment",
        f"{POD}.imagePullSecrets",
        [[{"name": "a"}, {"name": "b"}]],
    ),
    "repository": ({"images": {"operator": {"repository": "own/name"}}}, "Deployment", f"{MAIN}.image", [f"own/name:{VERSION}"]),
    "tag": ({"images": {"operator": {"tag": "7"}}}, "Deployment", f"{MAIN}.image", ["evolution-operator:7"]),
    "digest": ({"images": {"operator": {"digest": DIGEST}}}, "Deployment", f"{MAIN}.image", [f"evolution-operator@{DIGEST}"]),
    "tag and digest": (
        {"images": {"jobs": {"repository": "own/jobs", "tag": "7", "digest": DIGEST}}},
        "Deployment",
        f"{MAIN}.args.0",
        [f"--jobs-image=own/jobs:7@{DIGEST}"],
    ),
    "image with a model": (
        {"images": {"model": {"repository": "own/train", "tag": "7", "digest": ""}}},
        "Deployment",
        f"{MAIN}.args.1",
        ["--model-image=own/train:7"],
    ),
    "image with a model by digest": (
        {"images": {"model": {"digest": DIGEST}}},
        "Deployment",
        f"{MAIN}.args.1",
        [f"--model-image=evolution-train@{DIGEST}"],
    ),
    "deployment mode": ({"deploymentMode": "RawDeployment"}, "Deployment", f"{MAIN}.args.2", ["--deployment-mode=RawDeployment"]),
    "nothing for the pods of runs": ({}, "Deployment", f"{MAIN}.args.3", ["--health-port=8080"]),
    "for the pods of runs": (
        {"runs": {"env": [PROXY], "extraVolumes": [PACKAGES], "extraVolumeMounts": [AT_OPT]}},
        "Deployment",
        f"{MAIN}.args.3",
        [f"--pods={packed({'env': [PROXY], 'volumeMounts': [AT_OPT], 'volumes': [PACKAGES]})}"],
    ),
    "for the pods of runs, to be filled in there": (
        {"runs": {"env": [{"name": "A", "value": "$(B)"}]}},
        "Deployment",
        f"{MAIN}.args.3",
        ['--pods={"env":[{"name":"A","value":"$$(B)"}],"volumeMounts":[],"volumes":[]}'],  # the kubelet makes $( of $$(
    ),
    "definition": ({}, "CustomResourceDefinition", "metadata.name", ["evolutionruns.evolution.spatial.io"]),
    "no definition": ({"crd": {"install": False}}, "CustomResourceDefinition", "metadata.name", []),
    "people's roles": ({"watchNamespaces": ["a"]}, "ClusterRole", "metadata.name", PEOPLE),
    "no people's roles": ({"watchNamespaces": ["a"], "aggregateRoles": False}, "ClusterRole", "metadata.name", []),
    "owner references": (
        {"ownerReferencesPermissionEnforcement": True, "aggregateRoles": False},
        "ClusterRole",
        "rules.2",
        [{"apiGroups": ["evolution.spatial.io"], "resources": ["evolutionruns/finalizers"], "verbs": ["update"]}],
    ),
    "requests": (
        {"resources": {"requests": {"cpu": 1, "memory": "200Mi"}}},
        "Deployment",
        f"{MAIN}.resources.requests",
        [{"cpu": 1, "memory": "200Mi"}],
    ),
    "limits": ({"resources": {"limits": {"memory": "1Gi"}}}, "Deployment", f"{MAIN}.resources.limits", [{"memory": "1Gi"}]),
    "environment": ({"env": [PROXY]}, "Deployment", f"{MAIN}.env.1", [PROXY]),
    "priority": ({"priorityClassName": URGENT}, "Deployment", f"{POD}.priorityClassName", [URGENT]),
    "node selector": ({"nodeSelector": {"pool": "1"}}, "Deployment", f"{POD}.nodeSelector", [{"pool": "1"}]),
    "tolerations": ({"tolerations": [{"operator": "Exists"}]}, "Deployment", f"{POD}.tolerations", [[{"operator": "Exists"}]]),
    "affinity": ({"affinity": AFFINITY}, "Deployment", f"{POD}.affinity", [AFFINITY]),
    "no policy": ({}, POLICY, "metadata.name", []),
    "policy": ({"networkPolicy": {"enabled": True}}, POLICY, "spec.ingress.0.ports", [[{"port": "health"}]]),
    "policy: name servers": (
        {"networkPolicy": {"enabled": True}},
        POLICY,
        "spec.egress.0.ports.0",
        [{"port": 53, "protocol": "UDP"}],
    ),
    "policy: anywhere": ({"networkPolicy": {"enabled": True}}, POLICY, "spec.egress.1.to", [None]),
    "policy: API server": (
        {"networkPolicy": {"enabled": True, "apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]}}},
        POLICY,
        "spec.egress.1",
        [{"ports": [{"port": 6443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}],
    ),
    "policy: nobody else": ({"networkPolicy": {"enabled": True}}, POLICY, "spec.ingress.0.from", [[TESTER]]),
    "policy: scrapers": (
        {"networkPolicy": {"enabled": True, "metricsFrom": [SCRAPER]}},
        POLICY,
        "spec.ingress.0.from",
        [[TESTER, SCRAPER]],
    ),
    "not scraped": ({}, "ServiceMonitor", "metadata.name", []),
    "scraped": (
        SCRAPED,
        "ServiceMonitor",
        "spec.endpoints",
        [[{"port": "health", "path": "/metrics", "interval": "30s"}]],
    ),
    "scraped more often": (
        {"metrics": {"serviceMonitor": {"enabled": True, "interval": "5s"}}},
        "ServiceMonitor",
        "spec.endpoints.0.interval",
        ["5s"],
    ),
    "scraped by": (
        {"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "1"}}}},
        "ServiceMonitor",
        "metadata.labels.release",
        ["1"],
    ),
    "no dashboard": ({}, "ConfigMap", "metadata.name", []),
    "dashboard": (DASHBOARD, "ConfigMap", "metadata.labels.grafana_dashboard", ["1"]),
    "dashboard found by": (
        {"metrics": {"dashboard": {"enabled": True, "labels": {"grafana_dashboard": "ml"}}}},
        "ConfigMap",
        "metadata.labels.grafana_dashboard",
        ["ml"],
    ),
}

REFUSED: dict[str, tuple[Object, str]] = {
    "misspelt": ({"replica": 2}, "at '': additional properties 'replica' not allowed"),
    "misspelt, deeper": ({"images": {"jobs": {"name": "x"}}}, "at '/images/jobs': additional properties 'name' not allowed"),
    "another type": ({"replicas": "two"}, "at '/replicas': got string, want integer"),
    "below the least": ({"replicas": -1}, "at '/replicas': minimum: got -1, want 0"),
    "above the most": ({"replicas": 10}, "at '/replicas': maximum: got 10, want 9"),
    "no such choice": (
        {"deploymentMode": "Serverless"},
        "at '/deploymentMode': value must be one of 'Standard', 'RawDeployment'",
    ),
    "no such pull policy": ({"images": {"pullPolicy": "Often"}}, "value must be one of 'Always', 'IfNotPresent', 'Never'"),
    "no name of a namespace": ({"watchNamespaces": ["Team_A"]}, "at '/watchNamespaces/0': 'Team_A' does not match pattern"),
    "a namespace twice": ({"watchNamespaces": ["a", "a"]}, "at '/watchNamespaces': items at 0 and 1 are equal"),
    "a tag in the repository": (
        {"images": {"operator": {"repository": "a:1"}}},
        "at '/images/operator/repository': 'a:1' does not match",
    ),
    "no repository": ({"images": {"operator": {"repository": ""}}}, "at '/images/operator/repository'"),
    "a number as tag": ({"images": {"jobs": {"tag": 1.0}}}, "at '/images/jobs/tag': got number, want string"),
    "half a digest": (
        {"images": {"model": {"digest": "sha256:0"}}},
        "at '/images/model/digest': 'sha256:0' does not match pattern",
    ),
    "a slash after the registry": ({"images": {"registry": "r.example/"}}, "at '/images/registry': 'r.example/' does not match"),
    "no port": (
        {"networkPolicy": {"apiServer": {"ports": [0]}}},
        "at '/networkPolicy/apiServer/ports/0': minimum: got 0, want 1",
    ),
    "no ports": ({"networkPolicy": {"apiServer": {"ports": []}}}, "at '/networkPolicy/apiServer/ports': minItems: got 0, want 1"),
    "no CIDR": (
        {"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}},
        "at '/networkPolicy/apiServer/cidrs/0': '10.0.0.1' does not",
    ),
    "a peer misspelt": (
        {"networkPolicy": {"metricsFrom": [{"namespaceselector": {}}]}},
        "at '/networkPolicy/metricsFrom/0': additional properties 'namespaceselector' not allowed",
    ),
    "a peer that is nobody": (
        {"networkPolicy": {"metricsFrom": [{}]}},
        "at '/networkPolicy/metricsFrom/0': minProperties: got 0, want 1",
    ),
    "an interval without a unit": (
        {"metrics": {"serviceMonitor": {"interval": "30"}}},
        "at '/metrics/serviceMonitor/interval': '30' does not match pattern",
    ),
    "a variable without a name": ({"env": [{"value": "x"}]}, "at '/env/0': missing property 'name'"),
    "the chart's own variable": ({"env": [{"name": "POD_NAME"}]}, "env: POD_NAME is the chart's own; leave it out"),
    "a volume of the runs that pods have": (
        {"runs": {"extraVolumes": [{"name": "tmp"}]}},
        "at '/runs/extraVolumes/0/name': 'not' failed",
    ),
    "a place of the runs that pods have": (
        {"runs": {"extraVolumes": [PACKAGES], "extraVolumeMounts": [AT_OPT | {"mountPath": "/tmp"}]}},
        "at '/runs/extraVolumeMounts/0/mountPath': 'not' failed",
    ),
    "a mount of no volume": (
        {"runs": {"extraVolumeMounts": [AT_OPT]}},
        "runs.extraVolumeMounts: there is no volume packages; name it in runs.extraVolumes",
    ),
    "a label that is no text": ({"nodeSelector": {"gpu": True}}, "at '/nodeSelector/gpu': got boolean, want string"),
}


@pytest.fixture(scope="module")
def helm(binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(binary("helm"), tmp_path_factory.mktemp("helm"))


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    for step in path.split("."):
        if isinstance(value, list):
            value = value[int(step)]
        else:
            value = (value or {}).get(step)
    return value


def leaves(values: Object, path: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


@pytest.mark.parametrize(("values", "kind", "path", "expected"), SWITCHES.values(), ids=SWITCHES)
def test_a_value_does_what_it_says(helm: Helm, values: Object, kind: str, path: str, expected: list[Any]) -> None:
    assert [at(found, path) for found in helm.rendered(values) if found["kind"] == kind] == expected


def test_no_value_is_left_untried() -> None:
    tried = {leaf for values, *_ in SWITCHES.values() for leaf in leaves(values)}
    untried = {
        leaf
        for leaf in leaves(yaml.safe_load((CHART / "values.yaml").read_text()))
        if not any(path == leaf or path.startswith(f"{leaf}.") for path in tried)
    }
    assert untried == set()


@pytest.mark.parametrize(("values", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_in_words(helm: Helm, values: Object, sentence: str) -> None:
    with pytest.raises(HelmError, match=re.escape(sentence)):
        helm.rendered(values)


@pytest.mark.parametrize("values", [{}, EVERYTHING])
def test_the_linter_has_nothing_to_say(helm: Helm, values: Object) -> None:
    said = helm("lint", "--strict", "--kube-version", KUBE_VERSION, str(CHART), values=values)
    assert re.findall(r"\[(?:WARNING|ERROR)\].*", said) == []


def test_the_versions_are_the_projects(helm: Helm) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (VERSION, yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]) == (project, project)
    (deployment,) = (found for found in helm.rendered() if found["kind"] == "Deployment")
    built_in = Settings()
    assert at(deployment, f"{MAIN}.args") == [
        f"--jobs-image={built_in.jobs_image}",
        f"--model-image={built_in.model_image}",
        f"--deployment-mode={built_in.deployment_mode}",
        "--health-port=8080",
    ]


def test_the_definition_is_the_committed_one_and_outlives_the_release(helm: Helm) -> None:
    (found,) = (found for found in helm.rendered() if found["kind"] == "CustomResourceDefinition")
    assert found["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert found == yaml.load(contract.FILE.read_text(), yaml.CSafeLoader)


def test_a_packaged_chart_is_the_same_without_the_repository(helm: Helm, tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.glob("*.tgz")
    shutil.unpack_archive(package, tmp_path, filter="data")
    assert (tmp_path / CHART.name / "files" / "crd.yaml").read_bytes() == contract.FILE.read_bytes()
    assert helm.rendered(DASHBOARD, chart=package) == helm.rendered(DASHBOARD)


@pytest.mark.parametrize("namespaces", [[], ["a"]], ids=["all namespaces", "chosen namespaces"])
def test_the_rights_are_the_documented_ones(helm: Helm, namespaces: list[str]) -> None:
    in_namespace, of_lease, of_cluster = documented()
    roles = {(r["kind"], r["metadata"]["name"]): r for r in helm.rendered({"watchNamespaces": namespaces}) if "rules" in r}
    assert rights(roles.pop(("Role", "evolution-operator-lease"))["rules"]) == of_lease
    for people in PEOPLE:
        roles.pop(("ClusterRole", people))
    [((kind, _), role)] = roles.items()
    assert kind == ("Role" if namespaces else "ClusterRole")
    assert rights(role["rules"]) == (in_namespace if namespaces else in_namespace | of_cluster)


def test_the_monitor_finds_the_service(helm: Helm) -> None:
    found = {each["kind"]: each for each in helm.rendered(SCRAPED)}
    service = found["Service"]
    assert at(found, "ServiceMonitor.spec.selector.matchLabels").items() <= service["metadata"]["labels"].items()
    assert at(found, "ServiceMonitor.spec.endpoints.0.port") in {port["name"] for port in service["spec"]["ports"]}
    assert at(found, "ServiceMonitor.metadata.namespace") == service["metadata"]["namespace"]


def test_the_dashboard_shows_all_that_the_operator_exports_and_nothing_else(helm: Helm) -> None:
    (found,) = (found for found in helm.rendered(DASHBOARD) if found["kind"] == "ConfigMap")
    text = found["data"]["evolution-operator.json"]
    assert {panel["datasource"]["uid"] for panel in json.loads(text)["panels"]} == {"${datasource}"}

    asked = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b(?!\()", text))  # every word with an underscore that is no function's name
    exported = {
        family.name: {family.name + suffix for suffix in SAMPLES[type(metric)]}
        for metric in vars(metrics).values()
        if type(metric) in SAMPLES
        for family in metric.collect()
    }
    of_process = {sample.name for family in PROCESS_COLLECTOR.collect() for sample in family.samples}
    assert asked - of_process.union(*exported.values()) == set()
    assert {name for name, samples in exported.items() if not samples & asked} == set()
