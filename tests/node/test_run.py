"""Whole runs on the node: our chart and images, the real controllers, a real S3 server; and what may go wrong there."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster.chart import RELEASE, Helm
from tests.cluster.harness.api import Api, Object
from tests.cluster.harness.images import environment, image
from tests.cluster.harness.namespaces import HOST_ADDRESS
from tests.cluster.harness.node import Node
from tests.conftest import ROOT
from tests.documents import laid_over
from tests.node.site import MODEL, OPERATORS, SPEC, Site, install
from tests.tools.daemon import Daemon, eventually
from tests.tools.s3 import CREDENTIALS, s3_client, s3_serving, upload

pytestmark = pytest.mark.timeout(900, func_only=True)

EVOLUTION = (sys.executable, "-c", "from evolution_operator.cli import main; main()")
LOCAL_LIMIT_S = 300
TOLD_LIMIT_S = 60
OUTAGE_S = 60


@pytest.fixture(scope="module")
def packages() -> Path:
    return environment()


@pytest.fixture(scope="module")
def s3(node: Node, tmp_path_factory: pytest.TempPathFactory, binary: Callable[[str], Path]) -> Iterator[Daemon]:
    with s3_serving(tmp_path_factory.mktemp("s3"), binary, HOST_ADDRESS) as server:
        upload(s3_client(server.url), ROOT / "examples" / "tiny-model", MODEL)
        yield server


@pytest.fixture(scope="module")
def helm(node: Node, binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(binary("helm"), tmp_path_factory.mktemp("helm"), node.plane.kubeconfig)


@pytest.fixture(scope="module")
def operator(node: Node, training_operator: None, kserve: None, helm: Helm, packages: Path) -> None:
    """The chart's release, with the images that are shipped."""
    node.load(image("operator"))
    node.load(image("train", "runtime"))
    install(helm)


@pytest.fixture
def site(api: Api, restricted: str, operator: None, s3: Daemon, packages: Path) -> Site:
    return Site(api, restricted, s3.url, packages)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The questions of the same run on this machine without a cluster."""
    folder = tmp_path_factory.mktemp("local")
    document = yaml.safe_load((ROOT / "examples" / "smoke.yaml").read_text())
    model = {"uri": f"file://{ROOT}/examples/tiny-model"}
    document["metadata"]["name"] = "x"
    document["spec"] = laid_over(SPEC, {"model": model})
    (folder / "run.yaml").write_text(yaml.safe_dump(document))
    evolution("run", str(folder / "run.yaml"), "--workdir", str(folder / "runs"))
    return asked(evolution("questions", "x", "--workdir", str(folder / "runs"), "--json"))


def evolution(*arguments: str) -> str:
    done = subprocess.run([*EVOLUTION, *arguments], capture_output=True, text=True, timeout=LOCAL_LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asked(told: str) -> list[Object]:
    """Every question with its answer and its label; what a model's confidence was in the last digits differs with its threads."""
    rows = [{name: value for name, value in row.items() if name != "confidence"} for row in json.loads(told)]
    assert len(rows) > 20
    assert {row["label"] for row in rows} <= {"easy", "frontier", "hard"}
    return rows


def questions(site: Site, monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> list[Object]:
    """As a person asks for them, with the credentials from the run's Secret."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    return asked(evolution("questions", "x", "--namespace", site.namespace, "--json"))


def test_helm_test_says_that_the_operator_works(operator: None, helm: Helm) -> None:
    assert "Phase:          Succeeded" in helm("test", RELEASE, "--namespace", OPERATORS)


def test_two_rounds_ask_and_label_what_they_do_on_one_machine(
    site: Site, node: Node, expected: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.begin()
    status = site.await_success()
    assert [record["round"] for record in status["rounds"]] == [0, 1, 2]
    assert {"Retrying", "ShardsLost"} & set(site.reasons()) == set()
    assert questions(site, monkeypatch, node.plane.kubeconfig) == expected
    assert alive(site) == []
    assert [child["kind"] for child in site.children() if child["kind"] == "InferenceService"] == []


def test_pods_that_are_killed_a_node_and_a_storage_that_go_away_change_no_question(
    site: Site, node: Node, s3: Daemon, expected: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.begin(retry={"limit": 6})
    for stage, role in (("generate", "work"), ("probe", "server"), ("probe", "work"), ("train", "work"), ("evaluate", "work")):
        site.kill(site.running_pod(1, stage, role))
    site.running_pod(2, "generate")
    node.kubelet.stop(signal.SIGKILL)
    time.sleep(OUTAGE_S)
    node.kubelet.start()
    site.running_pod(2, "train")
    s3.stop(signal.SIGKILL)
    time.sleep(OUTAGE_S)
    s3.start()
    site.await_success()
    assert questions(site, monkeypatch, node.plane.kubeconfig) == expected


def alive(site: Site) -> list[str]:
    return [pod["metadata"]["name"] for pod in site.pods() if pod["status"]["phase"] not in ("Succeeded", "Failed")]


def progress(site: Site) -> str:
    """What the run says about why it does not get on."""
    condition = site.condition("Progressing")
    return f"{condition.get('reason')}: {condition.get('message')}"


def test_wrong_credentials_are_told_before_anything_else_starts(site: Site) -> None:
    site.secret("wrong", {**CREDENTIALS, "AWS_SECRET_ACCESS_KEY": "wrong"})
    site.begin(storage={"secretName": "wrong"})
    eventually(lambda: "correct the credentials" in progress(site), "the credentials are told", TOLD_LIMIT_S)
    assert {child["kind"] for child in site.children()} == {"Job"}
    assert {child["metadata"]["labels"]["evolution.spatial.io/stage"] for child in site.children()} == {"prepare"}


def test_an_absent_bucket_is_told_before_anything_else_starts(site: Site) -> None:
    site.begin(storage={"uri": "s3://absent/evolution"})
    eventually(lambda: "create it or correct storage.uri" in progress(site), "the bucket is told", TOLD_LIMIT_S)
    assert {child["metadata"]["labels"]["evolution.spatial.io/stage"] for child in site.children()} == {"prepare"}


UNABLE: dict[str, tuple[Object, str]] = {
    "a key that the Secret lacks": ({"storage": {"secretName": "half"}}, "couldn't find key AWS_SECRET_ACCESS_KEY in Secret"),
    "an image that cannot be pulled": (
        {"generation": {"pod": {"image": "registry.invalid/no/such:image"}}},
        "registry.invalid/no/such:image",
    ),
    "more than any node has": ({"generation": {"pod": {"resources": {"requests": {"cpu": "1000"}}}}}, "Insufficient cpu"),
    "too little memory": ({"generation": {"pod": {"resources": {"limits": {"memory": "24Mi"}}}}}, "OOMKilled"),
    "a deadline": ({"retry": {"stageTimeoutSeconds": 1}}, "not done within retry.stageTimeoutSeconds 1"),
}


@pytest.mark.parametrize(("changes", "sentence"), UNABLE.values(), ids=UNABLE)
def test_what_keeps_a_pod_from_its_work_is_told(site: Site, changes: Object, sentence: str) -> None:
    site.secret("half", {"AWS_ACCESS_KEY_ID": "x"})
    site.begin(**changes)
    eventually(lambda: sentence in progress(site), f"the run says: {sentence}", TOLD_LIMIT_S)
    site.delete()
    eventually(lambda: not site.exists(), "the run goes when it is told to")
    eventually(lambda: site.pods() == [], "and its pods with it")


def test_a_run_is_suspended_in_training_and_deleted_with_all_that_it_stored(site: Site, s3: Daemon) -> None:
    site.begin(storage={"onDelete": "Delete"})
    site.running_pod(1, "train")
    site.edit(suspend=True)
    eventually(lambda: site.status()["phase"] == "Suspended" and alive(site) == [], "no pod is held", 120)
    site.edit(suspend=False)
    site.running_pod(1, "train")
    site.delete()
    eventually(lambda: not site.exists(), "the run goes", 180)
