"""The command `evolution` as a person types it against a real API server and a real S3 server."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.lab import Lab, at_work, operator
from tests.cluster.runs import run
from tests.finished import finished_run, write_objects
from tests.testbed.api import Api, Object, address
from tests.testbed.control_plane import ControlPlane
from tests.testbed.tools.daemon import LOOPBACK, eventually, free_ports
from tests.testbed.tools.s3 import CREDENTIALS

from evolution_api.run.resource import EvolutionRun

EVOLUTION = (sys.executable, "-c", "from evolution_cli import main; main()")
LIMIT_S = 120
INSIDE = "http://store.storage.svc:7070"
"""An endpoint whose name only pods can resolve."""

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(kubeconfig: Path, tmp_path: Path) -> Cli:
    """Called in an empty folder, with no AWS settings but those given."""
    folder = tmp_path / "here"
    folder.mkdir()

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = {
            **clean,
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig),
            "AWS_EC2_METADATA_DISABLED": "true",
            **variables,
        }
        command = [*EVOLUTION, *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S)

    return call


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence that a person is told."""
    assert (done.returncode in (1, 2), done.stdout, "Traceback" in done.stderr) == (True, "", False), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


def end(api: Api, namespace: str, storage: dict[str, str]) -> EvolutionRun:
    """A run `demo` that has gone through two rounds."""
    demo = finished_run(storage, namespace=namespace)
    spec = demo.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    made = api.create(run(spec, namespace=namespace, name="demo"))
    status = demo.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    api.patch(f"{address(made)}/status", {"status": status})
    return finished_run(storage, namespace=namespace, uid=made["metadata"]["uid"])


@pytest.fixture
def secret(api: Api, namespace: str) -> Object:
    meta = {"name": "s3", "namespace": namespace}
    made: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": CREDENTIALS}
    api.create(made)
    return made


@pytest.fixture
def stored(api: Api, crd: Object, namespace: str, s3_endpoint: str, secret: Object) -> EvolutionRun:
    """A finished run whose objects lie on the S3 server."""
    demo = end(api, namespace, {"uri": "s3://runs/evolution", "endpoint": s3_endpoint, "secretName": "s3"})
    write_objects(demo)
    return demo


@pytest.fixture
def limited(api: Api, kubeconfig: Path, namespace: str, tmp_path: Path) -> Path:
    """The kubeconfig of somebody who may look at runs in that namespace, and at nothing else."""
    group = "rbac.authorization.k8s.io"
    meta = {"name": "reader", "namespace": namespace}
    rules = [{"apiGroups": ["evolution.spatial.io"], "resources": ["evolutionruns"], "verbs": ["get", "list"]}]
    bound = {
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    api.create({"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules})
    api.create({"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": meta, **bound})
    document = json.loads(api.kubectl("config", "view", "--raw", "--flatten", "--output=json"))
    document["users"][0]["user"] = {"token": api.kubectl("create", "token", "reader", namespace=namespace).strip()}
    file = tmp_path / "limited.kubeconfig"
    file.write_text(json.dumps(document))
    return file


def test_runs_are_listed_in_kubectls_columns(cli: Cli, api: Api, crd: Object, namespace: str) -> None:
    end(api, namespace, {"uri": "s3://runs/evolution"})
    api.create(run(namespace=namespace, name="new"))
    header, *lines = ok(cli("get", "-n", namespace)).splitlines()
    assert header.split() == ["NAME", "PHASE", "ROUND", "STAGE", "ACCEPTED", "FRONTIER", "SCORE", "BEST", "AGE"]
    assert [line.split()[:-1] for line in lines] == [
        ["demo", "Succeeded", "2/2", "24", "0.600"],
        ["new", "Pending", "0"],
    ]
    told = json.loads(ok(cli("get", "-n", namespace, "--json")))
    assert [(found["metadata"]["name"], found.get("status", {}).get("score")) for found in told] == [("demo", 0.6), ("new", None)]
    everywhere = [line.split()[:3] for line in ok(cli("get", "-A")).splitlines()]
    assert everywhere[0] == ["NAMESPACE", "NAME", "PHASE"]
    assert [namespace, "demo", "Succeeded"] in everywhere


def test_the_contexts_namespace_is_looked_at_unless_another_is_named(
    cli: Cli, api: Api, crd: Object, namespace: str, kubeconfig: Path, tmp_path: Path
) -> None:
    api.create(run(namespace=namespace))
    document = json.loads(api.kubectl("config", "view", "--raw", "--flatten", "--output=json"))
    context = document["contexts"][0]
    context["context"]["namespace"] = namespace
    document["contexts"].append({"name": "elsewhere", "context": {**context["context"], "namespace": f"{namespace}-empty"}})
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(document))
    assert ok(cli("get", "--cluster", KUBECONFIG=str(file))).splitlines()[1].split()[0] == "x"
    assert f"No runs in namespace {namespace}-empty" in ok(cli("get", "--context", "elsewhere", KUBECONFIG=str(file)))
    assert f"{namespace}/x" in ok(cli("describe", f"{namespace}/x", "--context", "elsewhere", KUBECONFIG=str(file)))


@pytest.mark.skipif("EVOLUTION_TEST_KUBECONFIG" in os.environ, reason="children are completed by hand: needs no nodes")
def test_a_run_under_way_is_described_with_its_pods_events_and_logs(cli: Cli, lab: Lab, kubeconfig: Path, tmp_path: Path) -> None:
    with at_work(operator(tmp_path, kubeconfig, lab.namespace, identity="only")):
        lab.start()
        job = lab.turn_to(1, "generate")
        eventually(lambda: len(lab.pods_of(job)) == 2, "its pods", 30)
        eventually(lambda: lab.reasons().count("StageStarted") == 3, "its events")
        lines = ok(cli("describe", "x", "-n", lab.namespace)).splitlines()
        told = json.loads(ok(cli("describe", "x", "-n", lab.namespace, "--json")))
    facts = dict(line.split(":", 1) for line in lines[: lines.index("")])
    uid = lab.run()["metadata"]["uid"]
    assert facts["Name"].strip() == f"{lab.namespace}/x"
    assert facts["Round"].strip() == "1/2, generate"
    assert facts["Stored in"].strip() == f"s3://bucket/runs/{lab.namespace}/x/{uid}"
    assert " * Progressing: True" in "\n".join(lines)
    (first,) = [line for line in lines if line.startswith("  0: ")]
    assert [part.split()[0] for part in first.partition(": ")[2].split(", ")] == ["prepare", "evaluate"]
    pods = sorted(pod["metadata"]["name"] for pod in lab.pods_of(job))
    children = lines[lines.index("Children:") + 1 :]
    assert f"  Job x-r1-generate: {pods[0]} Pending, {pods[1]} Pending" in children
    events = [" ".join(line.split()[1:]) for line in lines[lines.index("Events:") + 1 :]]
    assert events[-1] == "Normal StageStarted: generate of round 1/2"
    assert "Normal StageStarted: prepare of round 0/2" in events
    # The selector of the command for logs picks the pods of the stage under way.
    command = shlex.split(facts["Logs"])
    assert command[:4] == ["kubectl", "--namespace", lab.namespace, "logs"]
    chosen = lab.api.kubectl("get", "pods", *command[4:6], "--output=name", namespace=lab.namespace).split()
    assert sorted(chosen) == [f"pod/{pod}" for pod in pods]
    (child,) = [child for child in told["children"] if child["object"]["metadata"]["name"] == "x-r1-generate"]
    assert sorted(pod["metadata"]["name"] for pod in child["pods"]) == pods
    assert told["status"]["stage"] == "generate"
    assert len(told["events"]) == len(events)


def test_what_a_person_may_not_see_is_named_and_the_rest_described(cli: Cli, stored: EvolutionRun, limited: Path) -> None:
    lines = ok(cli("describe", "demo", "-n", stored.metadata.namespace, KUBECONFIG=str(limited))).splitlines()
    assert "Phase:     Succeeded" in lines
    hidden = lines[lines.index("Not shown:") + 1 :]
    assert len(hidden) == 5
    assert any('cannot list resource "pods"' in line for line in hidden)


def test_questions_are_read_with_ones_own_credentials(cli: Cli, stored: EvolutionRun) -> None:
    namespace = stored.metadata.namespace
    done = cli("questions", f"{namespace}/demo", "--cluster", **CREDENTIALS)
    header, *lines = ok(done).splitlines()
    assert header.split("\t")[0] == "ID"
    assert len(lines) == 24
    assert done.stderr == ""
    asked = json.loads(ok(cli("questions", "demo", "-n", namespace, "--round", "2", "--json", **CREDENTIALS)))
    assert {row["round"] for row in asked} == {2}
    story = json.loads(ok(cli("questions", "demo", "-n", namespace, "--id", asked[4]["id"], "--json", **CREDENTIALS)))
    assert story["trained_in_steps"][0]["step"] == 6
    assert story["probe"]["label"] in ("easy", "frontier", "hard")


def test_without_credentials_those_of_the_runs_secret_are_used_and_named(cli: Cli, stored: EvolutionRun) -> None:
    namespace = stored.metadata.namespace
    done = cli("questions", "demo", "-n", namespace)
    assert len(ok(done).splitlines()) == 25
    assert f"those of Secret {namespace}/s3" in done.stderr


def test_a_report_is_written_here(cli: Cli, stored: EvolutionRun, tmp_path: Path) -> None:
    done = cli("report", "demo", "-n", stored.metadata.namespace, **CREDENTIALS)
    assert ok(done) == "demo-report.html\n"
    html = (tmp_path / "here" / "demo-report.html").read_text()
    assert "<b>60.0</b>" in html
    frames = html.partition('id="frames">')[2]
    assert frames.startswith('{"room-a":[[1,"data:image/webp;base64,'), "frames come from the same server"


def test_an_endpoint_that_only_pods_resolve_is_replaced_by_a_forwarded_port(
    cli: Cli, api: Api, crd: Object, namespace: str, s3_endpoint: str
) -> None:
    demo = end(api, namespace, {"uri": "s3://runs/evolution", "endpoint": INSIDE})
    reached = {"uri": "s3://runs/evolution", "endpoint": s3_endpoint}
    write_objects(finished_run(reached, namespace=namespace, uid=demo.metadata.uid))
    told = refusal(cli("questions", "demo", "-n", namespace, **CREDENTIALS))
    assert "kubectl --namespace storage port-forward service/store 9000:7070" in told
    assert f"--endpoint http://{LOOPBACK}:9000" in told
    done = cli("questions", "demo", "-n", namespace, "--endpoint", s3_endpoint, **CREDENTIALS)
    assert len(ok(done).splitlines()) == 25
    assert ok(cli("report", "demo", "-n", namespace, "--endpoint", s3_endpoint, "--to", "r.html", **CREDENTIALS)) == "r.html\n"


def test_storage_that_cannot_be_read_is_told(cli: Cli, stored: EvolutionRun, api: Api, limited: Path, s3_endpoint: str) -> None:
    namespace = stored.metadata.namespace
    ask = ("questions", "demo", "-n", namespace)
    wrong = refusal(cli(*ask, **{**CREDENTIALS, "AWS_SECRET_ACCESS_KEY": "wrong"}))
    assert "the server answered SignatureDoesNotMatch" in wrong
    assert f"this machine's own, found by env; without any, those of Secret {namespace}/s3 are used" in wrong
    (port,) = free_ports(1)
    assert "is the port still forwarded?" in refusal(cli(*ask, "--endpoint", f"http://{LOOPBACK}:{port}", **CREDENTIALS))
    assert "Invalid endpoint" in refusal(cli(*ask, "--endpoint", "nowhere", **CREDENTIALS))
    forbidden = refusal(cli(*ask, KUBECONFIG=str(limited)))
    assert "this machine has no AWS credentials" in forbidden
    assert 'cannot get resource "secrets"' in forbidden
    meta = {"name": "s3", "namespace": namespace}
    api.delete(address({"apiVersion": "v1", "kind": "Secret", "metadata": meta}))
    assert 'secrets "s3" not found' in refusal(cli(*ask))
    api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"AWS_ACCESS_KEY_ID": "x"}})
    assert f"Secret {namespace}/s3, which the run names, has no AWS_SECRET_ACCESS_KEY" in refusal(cli(*ask))


def test_storage_without_anything_of_the_run_is_told(cli: Cli, api: Api, crd: Object, namespace: str, s3_endpoint: str) -> None:
    demo = end(api, namespace, {"uri": "s3://runs/evolution", "endpoint": s3_endpoint})
    told = refusal(cli("report", "demo", "-n", namespace, **CREDENTIALS))
    assert f"s3://runs/evolution/{namespace}/demo/{demo.metadata.uid} at {s3_endpoint} holds nothing of this run" in told
    assert "names no Secret" in refusal(cli("report", "demo", "-n", namespace))


def test_a_run_that_is_not_there_is_told_with_those_that_are(cli: Cli, api: Api, crd: Object, namespace: str) -> None:
    assert f"no run 'y' in namespace {namespace}: there is none" in refusal(cli("describe", "y", "-n", namespace))
    api.create(run(namespace=namespace))
    for command in ("describe", "questions", "report"):
        assert f"no run 'y' in namespace {namespace}: there are x" in refusal(cli(command, f"{namespace}/y", "--cluster"))
    assert "leave one of the two namespaces out" in refusal(cli("describe", "other/x", "-n", namespace))
    assert "nothing on a cluster can be called that" in refusal(cli("describe", "../x", "--cluster"))


def test_rights_that_are_missing_are_told(cli: Cli, stored: EvolutionRun, limited: Path) -> None:
    told = refusal(cli("get", "-A", KUBECONFIG=str(limited)))
    assert 'cannot list resource "evolutionruns"' in told
    assert "--namespace" in told
    document = json.loads(limited.read_text())
    document["users"][0]["user"] = {"token": "expired"}
    limited.write_text(json.dumps(document))
    assert "does not take this login" in refusal(cli("get", "--cluster", KUBECONFIG=str(limited)))


def test_a_cluster_without_the_definition_is_told(
    cli: Cli, control_plane: ControlPlane, api: Api, crd: Object, install: Callable[[Object], None]
) -> None:
    def gone() -> bool:
        return "helm install evolution-operator" in cli("get", "--cluster").stderr

    api.delete(address(crd))
    try:
        eventually(gone, "the definition is gone", 60)
        for command in (("get", "-A"), ("describe", "x", "--cluster")):
            assert "knows no EvolutionRuns: install the operator there" in refusal(cli(*command))
    finally:
        install(crd)


@pytest.fixture
def closed(tmp_path: Path) -> str:
    """A kubeconfig that leads to where nobody listens."""
    (port,) = free_ports(1)
    file = tmp_path / "closed.kubeconfig"
    content: dict[str, Any] = {
        "clusters": [{"name": "c", "cluster": {"server": f"https://{LOOPBACK}:{port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "current-context": "c",
    }
    file.write_text(json.dumps(content))
    return str(file)


def test_a_cluster_that_is_not_reached_is_told(cli: Cli, closed: str, tmp_path: Path) -> None:
    told = refusal(cli("get", "--cluster", KUBECONFIG=closed))
    assert "the API server does not answer" in told
    assert "--context" in told
    assert "Expected object with name other" in refusal(cli("get", "--context", "other", KUBECONFIG=closed))
    assert "set KUBECONFIG to a file that leads to your cluster" in refusal(
        cli("get", "--cluster", KUBECONFIG=str(tmp_path / "none"))
    )
