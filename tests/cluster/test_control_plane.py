"""The test cluster itself: what it says of itself, what its controllers do, that it comes back on what it kept, and that it
leaves nothing running."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.testbed.api import Api, Object
from tests.testbed.control_plane import PROGRAMS, ControlPlane
from tests.testbed.tools import binaries
from tests.testbed.tools.daemon import accepts, eventually

STARTER = """
import sys
from pathlib import Path
from tests.testbed.control_plane import running
from tests.testbed.tools.binaries import binary

with running(Path(sys.argv[1]), binary):
    sys.stdin.read()
"""


@pytest.fixture
def job(namespace: str) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pair", "namespace": namespace},
        "spec": {
            "completionMode": "Indexed",
            "completions": 2,
            "parallelism": 2,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}},
        },
    }


def test_it_says_the_version_that_is_pinned(control_plane: ControlPlane, api: Api) -> None:
    module = (binaries.MODULES / "kubernetes" / "go.mod").read_text()
    pinned = re.search(r"^require k8s.io/kubernetes (v\S+)$", module, re.MULTILINE)
    assert pinned is not None
    assert api.get("/version")["gitVersion"] == pinned[1]
    assert json.loads(api.kubectl("version", "--client", "-o", "json"))["clientVersion"]["gitVersion"] == pinned[1]


def test_the_job_controller_makes_pods_and_the_garbage_collector_takes_them(api: Api, namespace: str, job: Object) -> None:
    api.create(job)
    pods = f"/api/v1/namespaces/{namespace}/pods"
    eventually(lambda: len(api.get(pods)["items"]) == 2, "the Job has its pods")
    indexes = {p["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for p in api.get(pods)["items"]}
    assert indexes == {"0", "1"}
    api.delete(f"/apis/batch/v1/namespaces/{namespace}/jobs/pair")
    eventually(lambda: api.get(pods)["items"] == [], "the pods went with their Job")


def test_it_stops_and_starts_at_once_on_the_same_address_with_what_it_kept(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    ports = [int(daemon.url.rpartition(":")[2]) for daemon in (control_plane.api_server, control_plane.store)]
    control_plane.stop()
    assert [accepts(port) for port in ports] == [False, False]
    control_plane.start()
    assert api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["name"] == namespace


def processes_of(folder: Path) -> list[str]:
    """Command lines that name the folder, other than the starter's."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().decode(errors="replace").replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if f"{folder}/" in line:
            lines.append(line)
    return lines


@pytest.mark.parametrize("part", ["etcd", "kube-controller-manager"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_nothing_outlives_a_start_that_is_cut_short(
    tmp_path: Path, binary: Callable[[str], Path], part: str, end: signal.Signals
) -> None:
    binary(part)
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
        eventually(lambda: any(f"/{part} " in line for line in processes_of(tmp_path)), f"{part} is started")
        starter.send_signal(end)
    assert starter.returncode != 0
    eventually(lambda: processes_of(tmp_path) == [], "every part is gone")


def test_a_person_has_one_from_up_to_down(tmp_path: Path, binary: Callable[[str], Path]) -> None:
    """As `make cluster-up` and `make cluster-down` call it, in a folder of the test's own."""
    for program in (*PROGRAMS, "kubectl"):
        binary(program)

    def typed(command: str) -> str:
        harness = [sys.executable, "-m", "tests.testbed", command]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(harness, cwd=tmp_path, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    try:
        told = typed("up")
        assert typed("up") == told, "where one is up, it only prints"
        told_to_type = "".join(line for line in told.splitlines(keepends=True) if line.startswith("  "))
        shell = subprocess.run(["sh", "-e", "-c", told_to_type], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        assert re.match(r"NAME +PHASE .*\nsmoke ", shell.stdout.partition("created\n")[2]), shell.stdout
    finally:
        typed("down")
    assert processes_of(tmp_path) == []
    assert list((tmp_path / ".cache").iterdir()) == []
