"""A node whose fork server runs the doubles beside this file, and manifests for it."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evolution_operator.local.cluster import LocalCluster
from evolution_operator.local.devices import Devices
from evolution_operator.local.folder import ENV_WORKDIR, RunFolder
from evolution_operator.local.pods import Node
from evolution_operator.local.programs import Programs

HERE = Path(__file__).parent
SERVER = (
    sys.executable,
    "-c",
    # Some of what is imported ahead asks for the temporary folder, which Python remembers.
    "import sys, tempfile; tempfile.gettempdir(); "
    "from evolution_jobs.forkserver import main; main(sys.argv[1:], packages=['doubles'], steps=())",
)
PATIENCE_S = 20.0


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    environ = {**os.environ, "PYTHONPATH": str(HERE), ENV_WORKDIR: str(tmp_path)}
    programs = Programs(environ, tmp_path / "forkserver.log", SERVER)
    yield programs
    programs.close()


@pytest.fixture
def node(tmp_path: Path, programs: Programs) -> Node:
    return Node(RunFolder(tmp_path / "default" / "run"), tmp_path, programs, Devices(()), cores=2)


@pytest.fixture
def cluster(node: Node) -> LocalCluster:
    return LocalCluster(node)


@pytest.fixture
def until() -> Callable[[LocalCluster, Callable[[], bool]], None]:
    """Let the controllers work until something holds."""

    def drive(cluster: LocalCluster, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        cluster.step(datetime.now(UTC))
        while not holds():
            assert time.monotonic() < deadline, f"it never came to hold; pods: {[p.raw['status'] for p in cluster.pods()]}"
            time.sleep(0.01)
            cluster.step(datetime.now(UTC))

    return drive


def pod_spec(order: str, **container: Any) -> dict[str, Any]:
    main = {
        "name": "main",
        "command": ["python", "-m", "doubles.obey"],
        "env": [{"name": "ORDER", "value": order}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {"containers": [{**main, **container}], "terminationGracePeriodSeconds": 1}


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    def make(order: str, *, completions: int | None = None, parallelism: int = 2, **container: Any) -> dict[str, Any]:
        indexed = {"completionMode": "Indexed", "completions": completions, "parallelism": parallelism, "backoffLimitPerIndex": 0}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "work", "namespace": "default", "labels": {}},
            "spec": {
                **(indexed if completions is not None else {"backoffLimit": 0}),
                "suspend": False,
                "template": {
                    "metadata": {"labels": {"stage": "generate"}},
                    "spec": {**pod_spec(order, **container), "restartPolicy": "Never"},
                },
            },
        }

    return make


@pytest.fixture
def pytorch_job() -> Callable[..., dict[str, Any]]:
    def make(order: str, *, workers: int = 1, processes: int = 2) -> dict[str, Any]:
        template = {"metadata": {"labels": {}}, "spec": pod_spec(order)}
        replicas = {"Master": 1, "Worker": workers}
        return {
            "apiVersion": "kubeflow.org/v1",
            "kind": "PyTorchJob",
            "metadata": {"name": "train", "namespace": "default", "labels": {}},
            "spec": {
                "nprocPerNode": str(processes),
                "runPolicy": {"backoffLimit": 0, "cleanPodPolicy": "Running", "suspend": False},
                "pytorchReplicaSpecs": {
                    role: {"replicas": n, "restartPolicy": "Never", "template": template} for role, n in replicas.items() if n
                },
            },
        }

    return make


@pytest.fixture
def inference_service() -> Callable[[str], dict[str, Any]]:
    def make(order: str) -> dict[str, Any]:
        probe = {"httpGet": {"path": "/ready", "port": 8080}}
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "server", "namespace": "default", "labels": {}},
            "spec": {"predictor": {"minReplicas": 1, "maxReplicas": 1, "labels": {}, **pod_spec(order, readinessProbe=probe)}},
        }

    return make
