"""Turns a YAML file into the run that this machine keeps: relative addresses made absolute, fields that it cannot honour refused.

Called by the command line before anything starts. It asks the machine (devices, environment), never the run's storage.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from evolution_api.run.pod import PodTemplate
from evolution_api.run.resource import EvolutionRun
from evolution_api.run.spec import EvolutionRunSpec
from evolution_operator.errors import RefusedError
from evolution_operator.local.devices import NVIDIA, visible_gpus

AWS_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
"""Where boto3 looks for credentials; any one will do, and so does its shared file."""
AWS_FILE = Path("~/.aws/credentials")


def resolve(run: EvolutionRun, *, file_folder: Path, workdir: Path) -> EvolutionRun:
    """Relative file:// addresses: what is read lies beside the YAML file, what is written below the workdir."""

    def absolute(uri: str | None, base: Path) -> str | None:
        if uri is None or not uri.startswith("file://") or uri.startswith("file:///"):
            return uri
        return f"file://{os.path.normpath(base.absolute() / uri.removeprefix('file://'))}"

    spec = run.spec
    proposer = spec.generation.proposer
    for name in ("inline", "serving"):
        model = getattr(proposer, name)
        if model is not None:
            model = model.model_copy(update={"uri": absolute(model.uri, file_folder)})
            proposer = proposer.model_copy(update={name: model})
    resolved = spec.model_copy(
        update={
            "model": spec.model.model_copy(update={"uri": absolute(spec.model.uri, file_folder)}),
            "scenes": spec.scenes.model_copy(update={"uri": absolute(spec.scenes.uri, file_folder)}),
            "generation": spec.generation.model_copy(update={"proposer": proposer}),
            "storage": spec.storage.model_copy(update={"uri": absolute(spec.storage.uri, workdir)}),
        }
    )
    return run.model_copy(update={"spec": resolved})


def refuse_what_needs_a_cluster(spec: EvolutionRunSpec) -> None:
    """Raises RefusedError for the fields that a machine without a cluster cannot honour, all of them in one message."""
    faults = [*_scheduling(spec), *_credentials(spec), *_pods(spec)]
    if faults:
        raise RefusedError("\n".join(faults))


def _scheduling(spec: EvolutionRunSpec) -> Iterator[str]:
    scheduling = spec.scheduling
    for field, value in {
        "queueName": scheduling.queue_name,
        "priorityClassName": scheduling.priority_class_name,
        "serviceAccountName": scheduling.service_account_name,
        "nodeSelector": scheduling.node_selector,
        "tolerations": [t.model_dump(by_alias=True, exclude_none=True) for t in scheduling.tolerations],
    }.items():
        if value:
            yield f"scheduling.{field} is {value!r}, which only a cluster knows; leave it out or run it on one"
    if scheduling.accelerator not in ("none", NVIDIA):
        yield (
            f"scheduling.accelerator is {scheduling.accelerator!r}, but processes of this machine are only given {NVIDIA}; "
            "set accelerator: none to run on its processors"
        )
    if scheduling.accelerator == NVIDIA:
        wanted, there = spec.training.nodes * spec.training.processes_per_node, len(visible_gpus())
        if there < wanted:
            yield (
                f"scheduling.accelerator is {NVIDIA!r} and training.nodes x training.processesPerNode is {wanted}, but this "
                f"machine shows {there} such devices; set accelerator: none, or fewer processes"
            )
    if spec.probe.replicas != 1:
        yield f"probe.replicas is {spec.probe.replicas}, but nothing balances between servers on one machine; set it to 1"
    serving = spec.generation.proposer.serving
    if serving is not None and serving.replicas != 1:
        yield (
            f"generation.proposer.serving.replicas is {serving.replicas}, but nothing balances between servers on one machine; "
            "set it to 1"
        )


def _credentials(spec: EvolutionRunSpec) -> Iterator[str]:
    if spec.storage.secret_name is not None:
        yield (
            f"storage.secretName is {spec.storage.secret_name!r}, but secrets live in a cluster; leave it out and set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
        )
    endpoint = spec.generation.proposer.endpoint
    if endpoint is not None and endpoint.api_key_secret is not None:
        yield (
            f"generation.proposer.endpoint.apiKeySecret is {endpoint.api_key_secret!r}, but secrets live in a cluster; leave "
            "it out and set EVOLUTION_PROPOSER_KEY in the environment"
        )
    if (
        spec.storage.uri.startswith("s3://")
        and not any(map(os.environ.get, AWS_VARIABLES))
        and not AWS_FILE.expanduser().exists()
    ):
        yield (
            f"storage.uri is {spec.storage.uri!r}, but there are no credentials for it; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment, or use file://"
        )


def _pods(spec: EvolutionRunSpec) -> Iterator[str]:
    pods: dict[str, PodTemplate] = {
        "generation": spec.generation.pod,
        "probe": spec.probe.pod,
        "training": spec.training.pod,
        "evaluation": spec.evaluation.pod,
    }
    for stage, pod in pods.items():
        if pod.image is not None:
            yield f"{stage}.pod.image is {pod.image!r}, but without containers the installed programs are what runs; leave it out"
        if pod.resources.limits or pod.resources.requests:
            yield f"{stage}.pod.resources is set, but nothing confines a process here; leave it out"
