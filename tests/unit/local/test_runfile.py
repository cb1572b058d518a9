"""What becomes of a file's run on this machine: addresses made absolute, fields that need a cluster refused by name."""

from pathlib import Path
from typing import Any

import pytest

from evolution_api.run.resource import EvolutionRun
from evolution_operator.errors import RefusedError
from evolution_operator.local.admission import admitted
from evolution_operator.local.folder import RunFolder
from evolution_operator.local.runfile import refuse_what_needs_a_cluster, resolve


def run_with(**changes: Any) -> EvolutionRun:
    """A run that this machine can honour, with whole groups of its spec replaced."""
    spec = {
        "model": {"uri": "hf://a/b"},
        "scenes": {"procedural": {}},
        "storage": {"uri": "file:///storage"},
        "scheduling": {"accelerator": "none"},
    }
    return EvolutionRun.model_validate({"metadata": {"name": "smoke"}, "spec": {**spec, **changes}})


def test_what_is_read_lies_beside_the_file_and_what_is_written_below_the_workdir() -> None:
    run = run_with(
        model={"uri": "file://./model"},
        scenes={"uri": "file://../scenes"},
        storage={"uri": "file://./storage"},
        generation={"proposer": {"inline": {"uri": "file://proposer"}}},
    )
    spec = resolve(run, file_folder=Path("/repo/examples"), workdir=Path("/kept")).spec
    assert spec.model.uri == "file:///repo/examples/model"
    assert spec.scenes.uri == "file:///repo/scenes"
    assert spec.storage.uri == "file:///kept/storage"
    assert spec.generation.proposer.inline is not None
    assert spec.generation.proposer.inline.uri == "file:///repo/examples/proposer"


def test_absolute_and_remote_addresses_are_left_alone() -> None:
    run = run_with(storage={"uri": "s3://bucket/prefix"}, scenes={"uri": "file:///scenes"})
    assert resolve(run, file_folder=Path("/a"), workdir=Path("/b")) == run


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "queue": ({"scheduling": {"accelerator": "none", "queueName": "q"}}, "scheduling.queueName is 'q'"),
    "account": ({"scheduling": {"accelerator": "none", "serviceAccountName": "s"}}, "scheduling.serviceAccountName"),
    "priority": ({"scheduling": {"accelerator": "none", "priorityClassName": "p"}}, "scheduling.priorityClassName"),
    "node selector": ({"scheduling": {"accelerator": "none", "nodeSelector": {"a": "b"}}}, "scheduling.nodeSelector"),
    "tolerations": ({"scheduling": {"accelerator": "none", "tolerations": [{"key": "a"}]}}, "scheduling.tolerations"),
    "another accelerator": ({"scheduling": {"accelerator": "amd.com/gpu"}}, "scheduling.accelerator is 'amd.com/gpu'"),
    "absent accelerators": ({"scheduling": {"accelerator": "nvidia.com/gpu"}}, "this machine shows 0 such devices"),
    "several servers": ({"probe": {"replicas": 2}}, "probe.replicas is 2"),
    "several proposers": (
        {"generation": {"proposer": {"serving": {"replicas": 3}}}},
        "generation.proposer.serving.replicas is 3",
    ),
    "storage secret": ({"storage": {"uri": "file:///x", "secretName": "s"}}, "storage.secretName is 's'"),
    "endpoint secret": (
        {"generation": {"proposer": {"endpoint": {"url": "http://x/v1", "model": "m", "apiKeySecret": "k"}}}},
        "generation.proposer.endpoint.apiKeySecret is 'k'",
    ),
    "no credentials": ({"storage": {"uri": "s3://bucket"}}, "storage.uri is 's3://bucket', but there are no credentials"),
    "an image": ({"training": {"pod": {"image": "mine:1"}}}, "training.pod.image is 'mine:1'"),
    "resources": ({"evaluation": {"pod": {"resources": {"limits": {"memory": "1Gi"}}}}}, "evaluation.pod.resources"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_field_that_needs_a_cluster_is_refused_by_name(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(RefusedError) as refused:
        refuse_what_needs_a_cluster(run_with(**changes).spec)
    assert message in str(refused.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(RefusedError, match=r"(?s)queueName.*probe\.replicas"):
        refuse_what_needs_a_cluster(run_with(scheduling={"accelerator": "none", "queueName": "q"}, probe={"replicas": 2}).spec)


def test_credentials_in_the_environment_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    refuse_what_needs_a_cluster(run_with(storage={"uri": "s3://bucket"}).spec)


def test_devices_that_are_there_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    refuse_what_needs_a_cluster(run_with(scheduling={}, training={"processesPerNode": 2}).spec)


def test_a_new_run_gets_an_identity_and_keeps_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first = admitted(run_with(), folder)
    assert len(first.metadata.uid) == 36
    assert admitted(run_with(), folder) == first


def test_more_rounds_are_taken_over_and_count_as_a_new_generation(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first = admitted(run_with(rounds=2), folder)
    again = admitted(run_with(rounds=3), folder)
    assert (again.spec.rounds, again.metadata.generation, again.metadata.uid) == (3, 2, first.metadata.uid)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"seed": 1}, "spec.seed was 0 and is now 1", id="a number"),
        pytest.param({"training": {"steps": 7}}, "spec.training.steps was 100 and is now 7", id="within a group"),
        pytest.param({"scenes": {"procedural": {"rooms": 150}}}, "spec.scenes was", id="a whole group"),
    ],
)
def test_what_would_make_rounds_incomparable_may_not_change(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    folder = RunFolder(tmp_path)
    first = admitted(run_with(), folder)
    with pytest.raises(RefusedError, match=field):
        admitted(run_with(**changes), folder)
    assert folder.load() == first
