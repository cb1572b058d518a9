"""Children as processes: what a cluster's controllers would write about them."""

import http.client
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evolution_operator.children.job import ranges
from evolution_operator.errors import RefusedError
from evolution_operator.interface import Ref
from evolution_operator.local.cluster import LocalCluster
from evolution_operator.local.devices import NVIDIA, Devices
from evolution_operator.local.pods import Node

Until = Callable[[LocalCluster, Callable[[], bool]], None]
Make = Callable[..., dict[str, Any]]


def now() -> datetime:
    return datetime.now(UTC)


def conditions(cluster: LocalCluster) -> dict[str, tuple[str, str]]:
    (child,) = cluster.observed().children
    return {c["type"]: (c["status"], c["reason"]) for c in child["status"].get("conditions", ())}


def ends(cluster: LocalCluster) -> dict[str, tuple[int, str]]:
    """Pod -> exit code and termination message."""
    found = {}
    for pod in cluster.observed().pods:
        state = pod["status"].get("containerStatuses", [{"state": {}}])[0]["state"]
        if "terminated" in state:
            found[pod["metadata"]["name"]] = (state["terminated"]["exitCode"], state["terminated"]["message"])
    return found


def test_a_plain_job_completes_with_its_last_words(cluster: LocalCluster, job: Make, until: Until) -> None:
    cluster.apply(job('say {"counts": {"accepted": 3}}'), now())
    until(cluster, lambda: "Complete" in conditions(cluster))
    assert conditions(cluster)["Complete"] == ("True", "CompletionsReached")
    assert ends(cluster) == {"work-0": (0, '{"counts": {"accepted": 3}}')}


def test_a_failed_job_says_why_with_the_end_of_its_log(cluster: LocalCluster, job: Make, until: Until) -> None:
    cluster.apply(job("raise the roof"), now())
    until(cluster, lambda: "Failed" in conditions(cluster))
    assert conditions(cluster)["Failed"] == ("True", "BackoffLimitExceeded")
    code, words = ends(cluster)["work-0"]
    assert code == 1
    assert "RuntimeError: the roof" in words


def test_every_index_runs_and_one_failure_fails_the_job_only_at_the_end(cluster: LocalCluster, job: Make, until: Until) -> None:
    cluster.apply(job("exit-if-index 1", completions=4), now())
    until(cluster, lambda: "Failed" in conditions(cluster))
    (child,) = cluster.observed().children
    assert conditions(cluster)["Failed"] == ("True", "FailedIndexes")
    assert (child["status"]["completedIndexes"], child["status"]["failedIndexes"]) == ("0,2-3", "1")
    labels = [pod["metadata"]["labels"] for pod in cluster.observed().pods]
    assert sorted(label["batch.kubernetes.io/job-completion-index"] for label in labels) == ["0", "1", "2", "3"]
    assert {label["stage"] for label in labels} == {"generate"}


def test_no_more_pods_than_parallelism_run_at_once(cluster: LocalCluster, job: Make, until: Until) -> None:
    cluster.apply(job("stay", completions=5, parallelism=2), now())
    until(cluster, lambda: sum(pod.phase == "Running" for pod in cluster.pods()) == 2)
    cluster.step(now())
    assert len(list(cluster.pods())) == 2


def test_a_gang_gets_the_variables_of_the_training_operator(cluster: LocalCluster, pytorch_job: Make, until: Until) -> None:
    told = "tell PET_NODE_RANK,PET_NNODES,PET_NPROC_PER_NODE,WORLD_SIZE,RANK,PET_MASTER_ADDR,MASTER_ADDR,OMP_NUM_THREADS"
    cluster.apply(pytorch_job(told), now())
    until(cluster, lambda: len(ends(cluster)) == 2)
    assert ends(cluster) == {
        "train-master-0": (0, "0 2 2 4 0 127.0.0.1 127.0.0.1 1"),
        "train-worker-0": (0, "1 2 2 4 1 127.0.0.1 127.0.0.1 1"),
    }
    assert conditions(cluster)["Succeeded"] == ("True", "PyTorchJobSucceeded")
    assert conditions(cluster)["Running"][0] == "False"


def test_one_dead_pod_ends_the_gang(cluster: LocalCluster, pytorch_job: Make, until: Until) -> None:
    cluster.apply(pytorch_job("exit-if-node 1", workers=2), now())
    until(cluster, lambda: "Failed" in conditions(cluster))
    assert {name: code for name, (code, _) in ends(cluster).items()} == {
        "train-master-0": 143,
        "train-worker-0": 1,
        "train-worker-1": 143,
    }


def test_a_server_is_ready_when_its_path_answers(cluster: LocalCluster, inference_service: Make, until: Until) -> None:
    cluster.apply(inference_service("serve"), now())
    cluster.step(now())
    assert conditions(cluster)["Ready"][0] == "False"
    until(cluster, lambda: conditions(cluster)["Ready"][0] == "True")
    (child,) = cluster.observed().children
    assert child["status"]["address"]["url"].startswith("http://127.0.0.1:")


def tell(url: str, path: str) -> None:
    """Ask a server that will not answer."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    connection.request("GET", path)
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    connection.close()


def test_a_server_that_dies_is_started_again_at_its_address(cluster: LocalCluster, inference_service: Make, until: Until) -> None:
    cluster.apply(inference_service("serve"), now())
    until(cluster, lambda: conditions(cluster).get("Ready", ("", ""))[0] == "True")
    address = cluster.observed().children[0]["status"]["address"]
    tell(address["url"], "/die")
    until(cluster, lambda: conditions(cluster)["Ready"][0] == "False")
    (pod,) = cluster.observed().pods
    (status,) = pod["status"]["containerStatuses"]
    assert pod["status"]["phase"] == "Running"
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 7)
    until(cluster, lambda: conditions(cluster)["Ready"][0] == "True")
    assert cluster.observed().children[0]["status"]["address"] == address


def test_a_deleted_childs_pods_stay_visible_until_they_are_gone(cluster: LocalCluster, job: Make, until: Until) -> None:
    cluster.apply(job("stay-deaf"), now())
    log = cluster.node.folder.logs / "work-0.log"
    until(cluster, lambda: log.exists() and "deaf" in log.read_text())
    (child,) = cluster.observed().children
    cluster.delete(Ref("batch/v1", "Job", "default", "work", child["metadata"]["uid"]), now())
    assert cluster.observed().children == ()
    (pod,) = cluster.observed().pods
    assert "deletionTimestamp" in pod["metadata"]
    until(cluster, lambda: cluster.observed().pods == ())  # SIGKILL after the grace period


def test_only_the_child_of_that_uid_is_deleted(cluster: LocalCluster, job: Make) -> None:
    cluster.apply(job("stay"), now())
    cluster.delete(Ref("batch/v1", "Job", "default", "work", "another"), now())
    assert len(cluster.observed().children) == 1


def test_what_a_program_leaves_behind_ends_with_it(cluster: LocalCluster, job: Make, until: Until, tmp_path: Path) -> None:
    cluster.apply(job(f"leave-a-child {tmp_path / 'child'}"), now())
    until(cluster, lambda: "Complete" in conditions(cluster))
    assert_gone(int((tmp_path / "child").read_text()))


def assert_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


def test_programs_end_with_the_fork_server(cluster: LocalCluster, job: Make, until: Until) -> None:
    cluster.apply(job("stay"), now())
    until(cluster, lambda: any(pod.phase == "Running" for pod in cluster.pods()))
    (pod,) = cluster.pods()
    assert pod.process is not None
    assert pod.process.pid is not None
    os.kill(parent_of(pod.process.pid), 9)
    until(cluster, lambda: "Failed" in conditions(cluster))
    assert ends(cluster)["work-0"][0] == 137
    assert_gone(pod.process.pid)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_second_start_runs_only_what_had_not_ended(node: Node, job: Make, until: Until) -> None:
    first = LocalCluster(node)
    first.apply(job("exit-if-index 9", completions=3, parallelism=1), now())
    until(first, lambda: len(ends(first)) == 1)
    second = LocalCluster(node)
    (kept,) = [pod["metadata"]["uid"] for pod in second.observed().pods]
    until(second, lambda: "Complete" in conditions(second))
    assert kept in {pod["metadata"]["uid"] for pod in second.observed().pods}
    assert len(ends(second)) == 3


def test_a_gang_that_was_cut_short_starts_as_a_whole(node: Node, pytorch_job: Make, until: Until) -> None:
    first = LocalCluster(node)
    first.apply(pytorch_job("exit-if-node 9"), now())
    until(first, lambda: sum(pod.phase == "Running" for pod in first.pods()) == 2)
    second = LocalCluster(node)
    assert second.observed().pods == ()
    (child,) = second.observed().children
    assert child["status"] == {}
    assert child["metadata"]["uid"] == first.observed().children[0]["metadata"]["uid"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"command": ["sh", "-c", "true"]}, "command", id="a command that needs an image"),
        pytest.param({"livenessProbe": {}}, "livenessProbe", id="a field of the container"),
        pytest.param({"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, "KEY", id="a secret"),
    ],
)
def test_a_container_that_cannot_be_honoured_is_refused_by_name(
    cluster: LocalCluster, job: Make, change: dict[str, Any], named: str
) -> None:
    cluster.apply(job("stay", **change), now())
    with pytest.raises(RefusedError, match=named):
        cluster.step(now())


@pytest.mark.parametrize("field", ["activeDeadlineSeconds", "successPolicy"])
def test_a_field_of_a_job_that_cannot_be_honoured_is_refused_by_name(cluster: LocalCluster, job: Make, field: str) -> None:
    manifest = job("stay")
    manifest["spec"][field] = 5
    with pytest.raises(RefusedError, match=field):
        cluster.apply(manifest, now())


def test_a_kind_that_is_not_known_is_refused(cluster: LocalCluster) -> None:
    with pytest.raises(RefusedError, match="RayJob"):
        cluster.apply({"kind": "RayJob", "metadata": {"name": "x"}}, now())


def test_a_pod_waits_until_a_device_is_free(node: Node, job: Make, until: Until) -> None:
    node.devices = Devices(("0",))
    cluster = LocalCluster(node)
    wants_one = {"resources": {"limits": {NVIDIA: "1"}}}
    told = job("tell CUDA_VISIBLE_DEVICES", completions=2, **wants_one)
    cluster.apply(told, now())
    cluster.step(now())
    assert sum(pod.process is not None for pod in cluster.pods()) == 1
    until(cluster, lambda: "Complete" in conditions(cluster))
    assert {words for _, words in ends(cluster).values()} == {"0"}


@pytest.mark.parametrize(("indices", "short"), [([], ""), ([3], "3"), ([0, 1, 2], "0-2"), ([1, 3, 4, 5, 7], "1,3-5,7")], ids=str)
def test_indices_are_written_in_kubernetes_short_form(indices: list[int], short: str) -> None:
    assert ranges(indices) == short
