"""Whole manifests: what every pod of ours carries, and what each child is."""

import json
from typing import Any

import pytest

from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_INPUT
from evolution_api.run.resource import EvolutionRun
from evolution_operator.interface import PodExtras, Settings
from evolution_operator.manifests.catalogue import SERVER, WORK
from evolution_operator.pod import Work, from_secret

CHILDREN = ("prepare", "generate", "server", "probe", "train", "evaluate", "cleanup")


@pytest.fixture
def manifest_of(world_of):
    def build(child: str, name: str = "x", settings: Settings = Settings(), **changes: Any) -> dict[str, Any]:  # noqa: B008
        world = world_of(**changes)
        run = EvolutionRun.model_validate({"metadata": world.meta | {"name": name}, "spec": world.spec})
        stage = "probe" if child == "server" else child
        url = "http://solver" if child == "probe" else None
        builder = SERVER if child == "server" else WORK[stage]
        manifest = builder.manifest(Work(run, stage, 3, 2, settings, server_url=url))
        assert (manifest["apiVersion"], manifest["kind"]) == (builder.kind.api_version, builder.kind.kind)
        json.dumps(manifest)
        return manifest

    return build


def pods_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    spec = manifest["spec"]
    if manifest["kind"] == "Job":
        return [spec["template"]["spec"]]
    if manifest["kind"] == "PyTorchJob":
        return [replica["template"]["spec"] for replica in spec["pytorchReplicaSpecs"].values()]
    return [spec["predictor"]]


def only_container(manifest: dict[str, Any]) -> dict[str, Any]:
    (main,) = pods_of(manifest)[0]["containers"]
    return main


def env(manifest: dict[str, Any]) -> dict[str, Any]:
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in only_container(manifest)["env"]}


@pytest.mark.parametrize("child", CHILDREN)
def test_every_pod_meets_the_restricted_standard(manifest_of, child):
    for pod in pods_of(manifest_of(child)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
        (main,) = pod["containers"]
        assert main["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        }
        assert all("emptyDir" in volume for volume in pod["volumes"])
        assert {m["name"] for m in main["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        assert {"/tmp", "/home/evolution"} <= {m["mountPath"] for m in main["volumeMounts"]}


@pytest.mark.parametrize("child", CHILDREN)
def test_every_pod_gets_what_the_operator_was_told_to_give(manifest_of, child):
    volume, mount = {"name": "packages", "emptyDir": {}}, {"name": "packages", "mountPath": "/opt/packages"}
    variables = ({"name": "HTTPS_PROXY", "value": "p"}, {"name": ENV_INPUT, "value": "not this"})
    manifest = manifest_of(child, settings=Settings(pods=PodExtras(variables, (volume,), (mount,))))
    for pod in pods_of(manifest):
        assert volume in pod["volumes"]
        assert mount in pod["containers"][0]["volumeMounts"]
    names = [variable["name"] for variable in only_container(manifest)["env"]]
    assert (len(names), env(manifest)["HTTPS_PROXY"]) == (len(set(names)), "p")
    assert env(manifest)[ENV_INPUT] == env(manifest_of(child))[ENV_INPUT]


def test_what_a_run_says_of_its_pods_goes_over_what_the_operator_was_told(manifest_of):
    told = Settings(pods=PodExtras(env=({"name": "HF_HUB_OFFLINE", "value": "0"},)))
    manifest = manifest_of("train", settings=told, training={"pod": {"env": [{"name": "HF_HUB_OFFLINE", "value": "1"}]}})
    assert env(manifest)["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize("child", CHILDREN)
def test_every_child_is_named_labelled_and_owned(manifest_of, child):
    manifest = manifest_of(child)
    meta = manifest["metadata"]
    stage = "probe" if child == "server" else child
    assert meta["name"] == f"x-r3-{stage}{'-server' if child == 'server' else ''}-a2"
    labels = {
        "app.kubernetes.io/managed-by": "evolution-operator",
        "evolution.spatial.io/run": "x",
        "evolution.spatial.io/run-uid": "uid-x",
        "evolution.spatial.io/round": "3",
        "evolution.spatial.io/stage": stage,
        "evolution.spatial.io/attempt": "2",
        "evolution.spatial.io/role": "server" if child == "server" else "work",
    }
    assert labels.items() <= meta["labels"].items()
    owners = meta.get("ownerReferences", [])
    assert [(o["uid"], o["controller"], o["blockOwnerDeletion"]) for o in owners] == (
        [] if child == "cleanup" else [("uid-x", True, True)]
    )
    if manifest["kind"] == "InferenceService":
        assert manifest["spec"]["predictor"]["labels"] == labels
    elif manifest["kind"] == "Job":
        assert manifest["spec"]["template"]["metadata"]["labels"] == labels


@pytest.mark.parametrize("child", CHILDREN)
def test_every_program_gets_its_input(manifest_of, child):
    manifest = manifest_of(child, generation={"questionsPerScene": 7})
    given = StageInput.from_environment({ENV_INPUT: env(manifest)[ENV_INPUT]})
    stage = "probe" if child == "server" else child
    assert (given.namespace, given.run, given.uid, given.stage, given.round, given.attempt) == ("lab", "x", "uid-x", stage, 3, 2)
    assert given.spec.generation.questions_per_scene == 7
    program = {"server": "serve"}.get(child, child)
    assert only_container(manifest)["command"] == ["python", "-m", f"evolution_jobs.{program}"]


@pytest.mark.parametrize("child", CHILDREN)
def test_the_largest_pods_leave_the_input_small_enough_to_start(manifest_of, child):
    most = {"pod": {"env": [{"name": f"V{i}", "value": "x" * 4096} for i in range(64)]}}
    manifest = manifest_of(child, generation=most, probe=most, training=most, evaluation=most)
    assert max(len(f"{name}={value}") for name, value in env(manifest).items()) < 128 * 1024


@pytest.mark.parametrize("child", CHILDREN)
def test_credentials_come_from_the_named_secret_and_only_then(manifest_of, child):
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & set(env(manifest_of(child)))
    found = env(manifest_of(child, storage={"secretName": "s3"}))
    assert found["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "s3", "key": "AWS_SECRET_ACCESS_KEY"}}
    assert found["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "s3", "key": "AWS_ACCESS_KEY_ID"}}


@pytest.mark.parametrize(
    ("child", "accelerators"),
    [
        ("prepare", None),
        ("generate", None),
        ("server", "1"),
        ("probe", None),
        ("train", "4"),
        ("evaluate", "1"),
        ("cleanup", None),
    ],
)
def test_only_pods_with_a_model_ask_for_accelerators(manifest_of, child, accelerators):
    limits = only_container(manifest_of(child, training={"processesPerNode": 4}))["resources"]["limits"]
    assert limits.get("nvidia.com/gpu") == accelerators
    limits = only_container(manifest_of(child, scheduling={"accelerator": "none"}))["resources"]["limits"]
    assert limits == {}


def test_a_proposer_in_the_pod_asks_for_an_accelerator_and_the_models_image(manifest_of):
    main = only_container(manifest_of("generate", generation={"proposer": {"inline": {}}}))
    assert (main["resources"]["limits"], main["image"]) == ({"nvidia.com/gpu": "1"}, Settings().model_image)


def test_a_proposers_token_comes_from_its_secret(manifest_of):
    proposer = {"endpoint": {"url": "https://models/v1", "model": "big", "apiKeySecret": "token"}}
    found = env(manifest_of("generate", generation={"proposer": proposer}))
    assert found["EVOLUTION_PROPOSER_KEY"] == {"secretKeyRef": {"name": "token", "key": "apiKey"}}


@pytest.mark.parametrize("child", CHILDREN)
def test_pods_are_placed_as_the_run_says(manifest_of, child):
    scheduling = {
        "priorityClassName": "low",
        "serviceAccountName": "bucket-reader",
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }
    for pod in pods_of(manifest_of(child, scheduling=scheduling)):
        assert pod["priorityClassName"] == "low"
        assert pod["serviceAccountName"] == "bucket-reader"
        assert pod["nodeSelector"] == {"pool": "gpu"}
        assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    for pod in pods_of(manifest_of(child)):
        assert not {"priorityClassName", "serviceAccountName", "nodeSelector", "tolerations"} & set(pod)


@pytest.mark.parametrize("child", ["prepare", "generate", "train", "evaluate"])
def test_a_queued_child_is_made_suspended(manifest_of, child):
    manifest = manifest_of(child, scheduling={"queueName": "gpus"})
    assert manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    policy = manifest["spec"]["runPolicy"] if child == "train" else manifest["spec"]
    assert policy["suspend"] is True


def test_a_server_is_queued_by_its_pods(manifest_of):
    manifest = manifest_of("server", scheduling={"queueName": "gpus"})
    assert manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"


@pytest.mark.parametrize("child", ["probe", "cleanup"])
def test_what_runs_beside_a_server_and_what_cleans_up_wait_in_no_queue(manifest_of, child):
    manifest = manifest_of(child, scheduling={"queueName": "gpus"})
    assert manifest["spec"]["suspend"] is False
    assert "kueue.x-k8s.io/queue-name" not in manifest["metadata"]["labels"]


def test_what_a_user_says_of_a_pod_lies_below_what_the_operator_sets(manifest_of):
    pod = {
        "image": "mine:1",
        "env": [{"name": "AWS_ACCESS_KEY_ID", "value": "mine"}, {"name": "NCCL_DEBUG", "value": "INFO"}],
        "resources": {"requests": {"cpu": "4"}, "limits": {"memory": "16Gi"}},
    }
    storage = {"uri": "s3://bucket/runs", "secretName": "keys"}
    manifest = manifest_of("train", training={"pod": pod}, storage=storage)
    main = only_container(manifest)
    assert main["image"] == "mine:1"
    assert main["resources"] == {"requests": {"cpu": "4"}, "limits": {"memory": "16Gi", "nvidia.com/gpu": "1"}}
    assert env(manifest)["NCCL_DEBUG"] == "INFO"
    credentials = [v for v in main["env"] if v["name"] == "AWS_ACCESS_KEY_ID"]
    assert credentials == [from_secret("AWS_ACCESS_KEY_ID", "keys", "AWS_ACCESS_KEY_ID")]


@pytest.mark.parametrize(("child", "parallelism", "expected"), [("generate", 3, 3), ("generate", 99, 5), ("probe", 2, 2)])
def test_shards_are_the_indexes_of_a_job_that_retries_nothing(manifest_of, child, parallelism, expected):
    changes = {"generation": {"shards": 5, "parallelism": parallelism}, "probe": {"parallelism": parallelism}}
    manifest = manifest_of(child, **changes)
    spec = {key: value for key, value in manifest["spec"].items() if key != "template"}
    assert spec == {
        "completionMode": "Indexed",
        "completions": 5,
        "parallelism": expected,
        "backoffLimitPerIndex": 0,
        "suspend": False,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
    }
    assert manifest["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("child", ["prepare", "evaluate", "cleanup"])
def test_a_stage_without_shards_is_one_pod_that_is_not_restarted(manifest_of, child):
    manifest = manifest_of(child)
    assert manifest["spec"]["backoffLimit"] == 0
    assert manifest["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize(("nodes", "replicas"), [(1, {"Master": 1}), (3, {"Master": 1, "Worker": 2})])
def test_training_is_a_gang_of_pods(manifest_of, nodes, replicas):
    spec = manifest_of("train", training={"nodes": nodes, "processesPerNode": 2})["spec"]
    assert spec["nprocPerNode"] == "2"
    assert spec["runPolicy"] == {"backoffLimit": 0, "cleanPodPolicy": "Running", "suspend": False}
    assert {role: r["replicas"] for role, r in spec["pytorchReplicaSpecs"].items()} == replicas
    assert {r["restartPolicy"] for r in spec["pytorchReplicaSpecs"].values()} == {"Never"}
    for replica in spec["pytorchReplicaSpecs"].values():
        pod = replica["template"]["spec"]
        assert pod["containers"][0]["name"] == "pytorch"
        assert {"name": "shared-memory", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]
        assert {"name": "shared-memory", "emptyDir": {"medium": "Memory"}} in pod["volumes"]
        assert pod["terminationGracePeriodSeconds"] == 300


def test_the_server_is_a_predictor_of_our_own(manifest_of):
    manifest = manifest_of("server", probe={"replicas": 3})
    assert manifest["metadata"]["annotations"] == {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "none",
    }
    assert manifest["metadata"]["labels"]["networking.kserve.io/visibility"] == "cluster-local"
    predictor = manifest["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (3, 3)
    (main,) = predictor["containers"]
    assert main["name"] == "kserve-container"
    assert main["readinessProbe"]["httpGet"] == {"path": "/v1/models/solver", "port": 8080}
    assert main["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]
    assert "STORAGE_URI" not in env(manifest)


@pytest.mark.parametrize("name", ["x" * 253, "a.b.c", f"{'long-' * 12}end", f"{'x' * 40}.{'y' * 30}"])
@pytest.mark.parametrize("child", CHILDREN)
def test_names_and_labels_fit_kubernetes_whatever_the_run_is_called(manifest_of, child, name):
    meta = manifest_of(child, name=name)["metadata"]
    assert len(meta["name"]) <= 50
    assert meta["name"].replace("-", "").isalnum()
    assert all(len(value) <= 63 for value in meta["labels"].values())
    assert meta["labels"]["evolution.spatial.io/run"].rstrip("-.") == meta["labels"]["evolution.spatial.io/run"]


def test_two_runs_with_long_names_have_children_of_different_names(manifest_of):
    names = {manifest_of("train", name="x" * 60 + end)["metadata"]["name"] for end in ("a", "b")}
    assert len(names) == 2
