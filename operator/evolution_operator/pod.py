"""The parts that every pod of ours shares: identity, input, credentials, security, placement.

What a user may say (`PodTemplate` in the contract) is laid below what the operator sets, never over it. Restricted by Pod
Security's standard: no root, no privilege, no capability, a read-only root file system, and no service account token.
"""

from dataclasses import dataclass
from typing import Any

from evolution_api.jobs import StageInput
from evolution_api.kinds import StageName
from evolution_api.layout import (
    API_VERSION,
    ENV_INPUT,
    KIND,
    LABEL_ATTEMPT,
    LABEL_ROLE,
    LABEL_ROUND,
    LABEL_RUN,
    LABEL_RUN_UID,
    LABEL_STAGE,
    child_name,
)
from evolution_api.run.pod import PodTemplate
from evolution_api.run.resource import EvolutionRun
from evolution_api.stages import BY_NAME
from evolution_operator.interface import KubeObject, Settings

NOT_TOLD: Any = {"spec": {group: {"pod"} for group in ("generation", "probe", "training", "evaluation")}}
"""What no program reads of a spec: what its pods look like. Linux starts nothing with a variable above 128 KiB."""

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "evolution-operator"
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"

GRACE_S = 30
"""From SIGTERM to SIGKILL; long enough to write last words."""
HOME = "/home/evolution"
"""Home of the images' user; caches lie below it."""


@dataclass(frozen=True)
class Work:
    """One attempt of one stage, as every manifest needs to know it."""

    run: EvolutionRun
    stage: StageName
    round: int
    attempt: int
    settings: Settings
    server_url: str | None = None
    """Base URL of the stage's model server, once it is ready."""

    def name(self, suffix: str = "") -> str:
        return child_name(self.run.metadata.name, self.round, self.stage, self.attempt, suffix)

    @property
    def queue(self) -> str | None:
        """Where its child waits to be admitted. Beside a model server nothing waits: the server's accelerators would wait too."""
        waits = self.server_url is None and BY_NAME[self.stage].of_a_round
        return self.run.spec.scheduling.queue_name if waits else None

    def labels(self, role: str) -> dict[str, str]:
        """Labels of a child and of its pods; a run's name longer than a label value is cut."""
        return {
            LABEL_MANAGED_BY: MANAGER,
            LABEL_RUN: run_label(self.run.metadata.name),
            LABEL_RUN_UID: self.run.metadata.uid,
            LABEL_ROUND: str(self.round),
            LABEL_STAGE: self.stage,
            LABEL_ATTEMPT: str(self.attempt),
            LABEL_ROLE: role,
        }


def run_label(run: str) -> str:
    """The value of the label `evolution.spatial.io/run`: at most 63 characters, ending in a letter or digit."""
    return run[:63].rstrip("-.")


def metadata(work: Work, role: str, suffix: str = "") -> KubeObject:
    """Metadata of a child that its run owns."""
    run = work.run.metadata
    labels = work.labels(role)
    if work.queue:
        labels[LABEL_QUEUE] = work.queue
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": run.name,
        "uid": run.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"name": work.name(suffix), "namespace": run.namespace, "labels": labels, "ownerReferences": [owner]}


def environment(work: Work, pod: PodTemplate, further: tuple[KubeObject, ...] = ()) -> list[KubeObject]:
    """The run's variables replace those of the operator's settings, and the operator's own replace both."""
    run = work.run.metadata
    stage_input = StageInput(
        namespace=run.namespace,
        run=run.name,
        uid=run.uid,
        stage=work.stage,
        round=work.round,
        attempt=work.attempt,
        spec=work.run.spec,
    )
    users = [{"name": variable.name, "value": variable.value} for variable in pod.env]
    ours: list[KubeObject] = [
        *further,
        {"name": ENV_INPUT, "value": stage_input.model_dump_json(by_alias=True, exclude_none=True, exclude=NOT_TOLD)},
    ]
    secret = work.run.spec.storage.secret_name
    if secret is not None:
        ours += [from_secret(key, secret, key) for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    by_name = {variable["name"]: variable for variable in (*work.settings.pods.env, *users, *ours)}
    return list(by_name.values())


def from_secret(variable: str, secret: str, key: str) -> KubeObject:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def stage_container(work: Work, **more: Any) -> KubeObject:
    """That of the stage's own program."""
    stage, spec = BY_NAME[work.stage], work.run.spec
    loads_model = stage.loads_model(spec)
    image = work.settings.model_image if loads_model else work.settings.jobs_image
    return container(work, stage.name, stage.pod(spec), image=image, **{"accelerators": int(loads_model), **more})


def container(
    work: Work,
    program: str,
    pod: PodTemplate,
    *,
    name: str = "main",
    image: str,
    accelerators: int = 0,
    env: tuple[KubeObject, ...] = (),
    shared_memory: bool = False,
) -> KubeObject:
    """The one container of a pod: `python -m evolution_jobs.<program>`."""
    limits = dict(pod.resources.limits)
    accelerator = work.run.spec.scheduling.accelerator
    if accelerators and accelerator != "none":
        limits[accelerator] = str(accelerators)
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "home", "mountPath": HOME}, *work.settings.pods.volume_mounts]  # noqa: S108
    if shared_memory:
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108
    return {
        "name": name,
        "image": pod.image or image,
        "command": ["python", "-m", f"evolution_jobs.{program}"],
        "env": environment(work, pod, env),
        "resources": {"requests": dict(pod.resources.requests), "limits": limits},
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,  # here and not of the pod: the training operator's own container before workers is root
        },
    }


def pod_spec(work: Work, main: KubeObject, *, grace_s: int = GRACE_S) -> KubeObject:
    """The pod around `main`, without a restart policy: that is the child's to set."""
    scheduling = work.run.spec.scheduling
    volumes: list[KubeObject] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "home", "emptyDir": {}},
        *work.settings.pods.volumes,
    ]
    if any(mount["name"] == "shared-memory" for mount in main["volumeMounts"]):
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory"}})
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "containers": [main],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        # As a pod's first process a program would ignore SIGTERM until it has a handler, after seconds of imports.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": grace_s,
        "volumes": volumes,
    }
    if scheduling.node_selector:
        spec["nodeSelector"] = dict(scheduling.node_selector)
    if scheduling.tolerations:
        spec["tolerations"] = [t.model_dump(by_alias=True, exclude_none=True) for t in scheduling.tolerations]
    if scheduling.priority_class_name:
        spec["priorityClassName"] = scheduling.priority_class_name
    if scheduling.service_account_name:
        spec["serviceAccountName"] = scheduling.service_account_name
    return spec
