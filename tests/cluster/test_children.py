"""The manifests of a run's children against the real schemas: Jobs, the Kubeflow PyTorchJob, the KServe InferenceService."""

import pytest
from tests.cluster.runs import run
from tests.testbed.api import Api, Object, Refused, address
from tests.testbed.tools.daemon import eventually

from evolution_api.layout import LABEL_RUN_UID
from evolution_api.run.resource import EvolutionRun
from evolution_cli.commands.manifests import children
from evolution_operator.interface import Settings
from evolution_operator.manifests.catalogue import WORK
from evolution_operator.pod import Work

POD: Object = {
    "image": "registry.example/team/image@sha256:" + "0" * 64,
    "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "4", "ephemeral-storage": "1e9"}},
    "env": [{"name": "HF_HOME", "value": "/tmp/hf"}, {"name": "EMPTY", "value": ""}],
}
EVERYTHING: Object = {
    "generation": {"proposer": {"serving": {"replicas": 2}}, "shards": 1000, "parallelism": 1000, "pod": POD},
    "probe": {"replicas": 64, "pod": POD},
    "training": {"nodes": 16, "processesPerNode": 4, "pod": POD},
    "evaluation": {"pod": POD, "stop": {}},
    "storage": {"endpoint": "https://s3.example", "secretName": "credentials", "onDelete": "Delete"},
    "scheduling": {
        "accelerator": "amd.com/gpu",
        "queueName": "team-a",
        "priorityClassName": "research",
        "serviceAccountName": "bucket-reader",
        "nodeSelector": {"example.com/pool": "gpu", "empty": ""},
        "tolerations": [
            {"key": "gpu", "operator": "Exists", "effect": "NoExecute"},
            {"key": "team", "value": "a"},
            {"operator": "Exists"},
        ],
    },
    "retry": {"stageTimeoutSeconds": 86_400},
}
RUNS: dict[str, Object] = {
    "only what has no default": {},
    "everything": EVERYTHING,
    "processors only": {"scheduling": {"accelerator": "none"}},
    "an endpoint with a secret": {
        "generation": {"proposer": {"endpoint": {"url": "https://m.example/v1", "model": "m", "apiKeySecret": "key"}}}
    },
    "a model in the pod": {"generation": {"proposer": {"inline": {"uri": "s3://models/proposer"}}}},
    "labels from training": {"difficulty": {"signal": "training"}},
}


def made_of(api: Api, namespace: str, spec: Object, name: str = "x") -> list[Object]:
    """The children of the preparation, of a round and of the deletion of a run that is there."""
    made = EvolutionRun.model_validate(api.create(run(spec, namespace=namespace, name=name)))
    return [*children(made, 1), WORK["cleanup"].manifest(Work(made, "cleanup", 0, 1, Settings()))]


@pytest.mark.parametrize("spec", RUNS.values(), ids=RUNS)
def test_every_child_is_taken(api: Api, crd: Object, upstream: None, namespace: str, spec: Object) -> None:
    found = made_of(api, namespace, spec)
    assert {"prepare", "generate", "train", "evaluate", "cleanup"} <= {c["metadata"]["name"].split("-")[2] for c in found}
    for child in found:
        api.create(child, dry_run=True)


def test_the_upstream_schemas_are_the_real_ones(api: Api, crd: Object, upstream: None, namespace: str) -> None:
    training = next(c for c in made_of(api, namespace, {}) if c["kind"] == "PyTorchJob")
    training["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"
    with pytest.raises(Refused, match="field not declared in schema"):
        api.apply(training, dry_run=True)


def test_the_longest_name_fits_every_child(api: Api, crd: Object, upstream: None, namespace: str) -> None:
    found = made_of(api, namespace, EVERYTHING, name="n" * 253)
    assert {child["kind"] for child in found} == {"Job", "PyTorchJob", "InferenceService"}
    for child in found:
        api.create(child, dry_run=True)


def test_a_stage_gets_its_pods_and_goes_with_its_run(api: Api, crd: Object, namespace: str) -> None:
    jobs = {c["metadata"]["name"]: c for c in made_of(api, namespace, {"generation": {"shards": 3}}) if c["kind"] == "Job"}
    made = api.apply(jobs["x-r1-generate"])
    owner = made["metadata"]["ownerReferences"][0]["uid"]
    pods = f"/api/v1/namespaces/{namespace}/pods?labelSelector={LABEL_RUN_UID}={owner}"
    eventually(lambda: len(api.get(pods)["items"]) == 3, "one pod a shard")
    api.delete(address(run(namespace=namespace)))
    jobs_left = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    eventually(lambda: api.get(jobs_left)["items"] == [], "the Job went with its run")
    eventually(lambda: api.get(pods)["items"] == [], "the pods went with their Job")
