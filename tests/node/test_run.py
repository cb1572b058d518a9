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
from tests.cluster.lab import is_finished
from tests.conftest import ROOT
from tests.documents import laid_over
from tests.node.site import DOCUMENT, MODEL, OPERATORS, ROOMS, RUN_LIMIT_S, SCENES, SPEC, Place, Site, install
from tests.testbed.api import Api, Object
from tests.testbed.images import environment
from tests.testbed.namespaces import HOST_ADDRESS
from tests.testbed.node import Node
from tests.testbed.tools.daemon import Daemon, eventually
from tests.testbed.tools.s3 import BUCKET, CREDENTIALS, s3_client, s3_serving, upload

from evolution_api.layout import RUN_KEY, child_name, manifest_key
from evolution_jobs.train.checkpoint import metrics_key, partial_prefix
from evolution_operator.lifecycle.deletion import WAY_OUT

pytestmark = pytest.mark.timeout(900, func_only=True)

EVOLUTION = (sys.executable, "-c", "from evolution_cli import main; main()")
LOCAL_LIMIT_S = 300
TOLD_LIMIT_S = 60
OUTAGE_S = 60
WITHOUT_A_CLUSTER: Object = {
    **{group: {"pod": None} for group in ("generation", "training", "evaluation")},
    "probe": {"pod": None, "replicas": 1},
    "storage": {"uri": "file://./storage", "secretName": None},
    "scheduling": {"tolerations": None},
}
"""What is left out of a run on one machine, which refuses it."""


@pytest.fixture(scope="module")
def packages() -> Path:
    return environment()


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared scenes, made as a person makes them."""
    folder = tmp_path_factory.mktemp("rooms")
    evolution("prepare", "procedural", "--out", str(folder), *ROOMS)
    return folder


@pytest.fixture(scope="module")
def s3(node: Node, rooms: Path, tmp_path_factory: pytest.TempPathFactory, binary: Callable[[str], Path]) -> Iterator[Daemon]:
    with s3_serving(tmp_path_factory.mktemp("s3"), binary, HOST_ADDRESS) as server:
        upload(s3_client(server.url), ROOT / "examples" / "tiny-model", MODEL)
        upload(s3_client(server.url), rooms, SCENES)
        yield server


@pytest.fixture(scope="module")
def helm(node: Node, binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(binary("helm"), tmp_path_factory.mktemp("helm"), node.plane.kubeconfig)


@pytest.fixture(scope="module")
def operator(training_operator: None, kserve: None, loaded: Callable[..., str], helm: Helm) -> None:
    """The chart's release, with the images that are shipped."""
    for image in (("operator",), ("jobs",), ("train", "runtime")):
        loaded(*image)
    install(helm)


@pytest.fixture
def site(api: Api, restricted: str, operator: None, s3: Daemon, packages: Path) -> Site:
    return Site(api, restricted, s3.url, packages)


@pytest.fixture(scope="module")
def expected(rooms: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The questions of the same run on this machine without a cluster."""
    folder = tmp_path_factory.mktemp("local")
    uris = {"model": {"uri": f"file://{ROOT}/examples/tiny-model"}, "scenes": {"uri": f"file://{rooms}"}}
    spec = laid_over(laid_over(SPEC, WITHOUT_A_CLUSTER), uris)
    (folder / "run.yaml").write_text(yaml.safe_dump({**DOCUMENT, "metadata": {"name": "x"}, "spec": spec}))
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
    assert site.alive() == set()
    assert [child["kind"] for child in site.children() if child["kind"] == "InferenceService"] == []


def test_pods_that_are_killed_a_node_and_a_storage_that_go_away_change_no_question(
    site: Site, node: Node, s3: Daemon, expected: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.begin(retry={"limit": 6})
    for stage, role in (("generate", "work"), ("probe", "server"), ("probe", "work")):
        site.kill(site.running_pod(1, stage, role))
    eventually(lambda: saved(site) != [], "training has stored its state", RUN_LIMIT_S)
    site.kill(site.running_pod(1, "train"))
    again = child_name("x", 1, "train", 2)
    eventually(lambda: site.child(again) is not None, "training is tried again", RUN_LIMIT_S)
    sentence = f"the round goes on after step {max(saved(site))}, where it was interrupted"
    site.running_pod(1, "train")  # of the two, the master runs first; its pods go as soon as it has succeeded
    master = ("logs", f"{again}-master-0")
    eventually(lambda: sentence in site.api.kubectl(*master, namespace=site.namespace), sentence, RUN_LIMIT_S)
    site.kill(site.running_pod(1, "evaluate"))
    metrics = site.read(f"{site.prefix()}/{metrics_key(1)}")
    assert [json.loads(line)["step"] for line in metrics.splitlines()] == list(range(1, SPEC["training"]["steps"] + 1))
    site.running_pod(2, "generate")
    node.kubelet.stop(signal.SIGKILL)
    time.sleep(OUTAGE_S)
    node.kubelet.start()
    site.running_pod(2, "probe", "server")
    site.api.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", namespace=OPERATORS)
    site.running_pod(2, "train")
    s3.stop(signal.SIGKILL)
    time.sleep(OUTAGE_S)
    s3.start()
    site.await_success()
    assert questions(site, monkeypatch, node.plane.kubeconfig) == expected


def saved(site: Site) -> list[int]:
    """After which steps of round 1 the state is stored, as long as the round is not done."""
    keys = site.stored(f"{site.prefix()}/{partial_prefix(1)}")
    return [int(key.split("/")[0].removeprefix("step-")) for key in keys if key.endswith("/manifest.json")]


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


ABSENT = "registry.invalid/no/such:image"
HUGE: Object = {"requests": {"cpu": "1000"}}
LITTLE: Object = {name: {"memory": "24Mi"} for name in ("requests", "limits")}
UNABLE: dict[str, tuple[Object, Place, str]] = {
    "a key that the Secret lacks": (
        {"storage": {"secretName": "half"}},
        (0, "prepare", "work"),
        "couldn't find key AWS_SECRET_ACCESS_KEY in Secret",
    ),
    "an image that cannot be pulled": ({"evaluation": {"pod": {"image": ABSENT}}}, (0, "evaluate", "work"), ABSENT),
    "more than any node has": ({"training": {"pod": {"resources": HUGE}}}, (1, "train", "work"), "Insufficient cpu"),
    "too little memory": ({"generation": {"pod": {"resources": LITTLE}}}, (0, "prepare", "work"), "OOMKilled"),
    "a deadline": (
        {"retry": {"stageTimeoutSeconds": 1}},
        (0, "prepare", "work"),
        "not done within retry.stageTimeoutSeconds 1",
    ),
}
"""What is changed, the pods that cannot do their work then, and what is said of it."""


@pytest.mark.parametrize(("changes", "place", "sentence"), UNABLE.values(), ids=UNABLE)
def test_what_keeps_a_pod_from_its_work_is_told_and_holds_no_other(
    site: Site, changes: Object, place: Place, sentence: str
) -> None:
    site.secret("half", {"AWS_ACCESS_KEY_ID": "x"})
    site.begin(**changes)
    eventually(lambda: sentence in progress(site), f"the run says: {sentence}", RUN_LIMIT_S)
    assert site.place() == place[:2]
    assert site.alive() <= {place}
    site.delete()
    eventually(lambda: not site.exists(), "the run goes when it is told to")
    eventually(lambda: site.pods() == [], "and its pods with it")


def test_a_served_proposer_lives_as_long_as_its_stage(site: Site) -> None:
    serving = {"uri": f"s3://{BUCKET}/{MODEL}", "maxTokens": 16, "secondLook": False}
    site.begin(generation={"proposer": {"grammar": None, "serving": serving}, "questionsPerScene": 1})
    server, work = (child_name("x", 1, "generate", 1, suffix) for suffix in ("-server", ""))

    def has_passed() -> bool:
        serves, asks = site.child(server), site.child(work)
        assert serves is not None or asks is None or is_finished(asks), "the server went before who asks it"
        return site.place() == (1, "probe")

    eventually(has_passed, "the round is generated", RUN_LIMIT_S)
    record = site.status()["rounds"][1]
    assert record["proposed"] > 0
    assert record["rejected"] == {"malformed_proposal": record["proposed"]}, (
        "a model of two million parameters writes no programs"
    )
    site.running_pod(1, "probe", "server")
    assert site.child(server) is None
    assert site.alive() == {(1, "probe", "server")}
    site.delete()
    eventually(lambda: not site.exists() and site.pods() == [], "the run goes with its server", 120)


def test_a_run_is_suspended_in_training_and_deleted_with_all_that_it_stored(site: Site) -> None:
    site.begin(storage={"onDelete": "Delete"})
    eventually(lambda: saved(site) != [], "training has stored its state", RUN_LIMIT_S)
    site.edit(suspend=True)
    eventually(lambda: site.status()["phase"] == "Suspended" and site.alive() == set(), "no pod is held", 120)
    stopped = saved(site)
    site.edit(suspend=False)
    eventually(lambda: saved(site) != stopped, "training goes on", RUN_LIMIT_S)
    prefix = site.prefix()
    assert {RUN_KEY, manifest_key(0, "prepare"), manifest_key(1, "generate", 0)} <= set(site.stored(prefix))
    site.delete()
    eventually(lambda: not site.exists(), "the run goes", 180)
    assert site.stored(prefix) == []
    assert site.stored(SCENES) != []


def test_a_run_is_let_go_of_where_its_storage_is_gone(site: Site, s3: Daemon) -> None:
    site.begin(storage={"onDelete": "Delete"})
    site.running_pod(0, "evaluate")
    prefix = site.prefix()
    s3.stop(signal.SIGKILL)
    try:
        site.delete()
        site.running_pod(0, "cleanup")
        told = f"DeletingStorage: deleting s3://{BUCKET}/{prefix}; {WAY_OUT}"
        eventually(lambda: progress(site) == told, told)
        assert site.exists()
        site.edit(storage={"onDelete": "Retain"})
        eventually(lambda: not site.exists(), "the run goes")
        eventually(lambda: site.pods() == [], "and its pods with it")
    finally:
        s3.start()
    assert RUN_KEY in site.stored(prefix)
