"""Kubeflow's training operator and KServe on a test node, from the manifests of their releases; used by tests/node and make.

A release's Go module holds its program and its manifests. These are applied as they are, but for what `install_...` changes,
each with its reason. The images that they name are made here, around the programs that tests/testbed/tools pins.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from tests.testbed.api import Api, Object, Refused, install_definition
from tests.testbed.certificates import self_signed
from tests.testbed.image import IMAGE, write_program_image
from tests.testbed.node import Node
from tests.testbed.tools.binaries import sources
from tests.testbed.tools.daemon import eventually

PROGRAMS = ("training-operator", "kserve")
RESTRICTED = Path(__file__).resolve().parents[2] / "docs" / "training-operator.yaml"
"""What an administrator applies where namespaces are `restricted`."""
INSTALL_LIMIT_S = 180


def install_training_operator(node: Node, binary: Callable[[str], Path]) -> None:
    """Returns when PyTorchJobs are accepted, and their workers fit into namespaces that are `restricted`."""
    overlay = sources("training-operator") / "manifests" / "overlays" / "standalone"
    # five kinds that nobody here uses are left out: their schemas are a quarter of the API server's memory
    manifests = [made for made in _rendered(node.api, overlay) if _kind_defined(made) in (None, "PyTorchJob")]
    hooks = _the(manifests, "ValidatingWebhookConfiguration")
    hooks["webhooks"] = [hook for hook in hooks["webhooks"] if hook["rules"][0]["resources"] == ["pytorchjobs"]]
    (container,) = _the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    # upstream's image is alpine, and no image can be pulled
    container["args"] = ["--enable-scheme=pytorchjob", f"--pytorch-init-container-image={IMAGE}"]
    _ask_at_once(container)
    _install(node, binary("training-operator"), container["image"], manifests)
    node.api.kubectl("apply", "--server-side", "--field-manager=restricted", f"--filename={RESTRICTED}", namespace="kubeflow")
    _await_rollout(node.api, "kubeflow", "training-operator")
    replica = {"replicas": 1, "template": {"spec": _pod("pytorch")}}
    _await_acceptance(node.api, "kubeflow.org/v1", "PyTorchJob", {"pytorchReplicaSpecs": {"Master": replica}})


def install_kserve(node: Node, binary: Callable[[str], Path]) -> None:
    """Returns when InferenceServices are accepted. They are Deployments: there is no Knative, no Istio, no cert-manager."""
    overlay = sources("kserve") / "config" / "overlays" / "standalone" / "kserve"
    manifests = [made for made in _rendered(node.api, overlay) if not made["apiVersion"].startswith("cert-manager.io/")]
    manifests.append(_webhook_certificate(manifests))

    settings = _the(manifests, "ConfigMap")["data"]
    _set(settings, "deploy", defaultDeploymentMode="Standard")
    # what a predictor gets that names none: upstream's 1 CPU and 2 Gi are all of a small machine
    small = {"cpuRequest": "10m", "cpuLimit": "1", "memoryRequest": "16Mi", "memoryLimit": "256Mi"}
    _set(settings, "inferenceService", resource=small)

    pod = _the(manifests, "Deployment")["spec"]["template"]["spec"]
    manager, _ = pod["containers"]
    pod["containers"] = [manager]  # the other one guards metrics, and its image cannot be pulled
    manager["imagePullPolicy"] = "IfNotPresent"
    del manager["resources"]["limits"]["cpu"]  # a tenth of one, with which it starts slowly
    _ask_at_once(manager)
    _install(node, binary("kserve"), manager["image"], manifests)
    _await_acceptance(node.api, "serving.kserve.io/v1beta1", "InferenceService", {"predictor": _pod("kserve-container")})


def _rendered(api: Api, overlay: Path) -> list[Object]:
    return list(yaml.load_all(api.kubectl("kustomize", str(overlay)), yaml.CSafeLoader))


def _the(manifests: list[Object], kind: str) -> Object:
    (found,) = (made for made in manifests if made["kind"] == kind)
    return found


def _kind_defined(made: Object) -> str | None:
    return made["spec"]["names"]["kind"] if made["kind"] == "CustomResourceDefinition" else None


def _ask_at_once(container: Object) -> None:
    """Upstream's probes wait 10 or 30 seconds before the first look, and up to 15 between two."""
    container["readinessProbe"] |= {"initialDelaySeconds": 0, "periodSeconds": 1}


def _set(settings: Object, group: str, **values: object) -> None:
    settings[group] = json.dumps(json.loads(settings[group]) | values)


def _webhook_certificate(manifests: list[Object]) -> Object:
    """The secret that cert-manager would make; its certificate is told to the API server, as cert-manager would."""
    (service,) = (made for made in manifests if made["kind"] == "Service" and "webhook" in made["metadata"]["name"])
    certificate, key = self_signed("{name}.{namespace}.svc".format(**service["metadata"]))
    for made in manifests:
        for webhook in made.get("webhooks", ()):
            webhook["clientConfig"]["caBundle"] = base64.b64encode(certificate).decode()
    metadata = {"name": "kserve-webhook-server-cert", "namespace": service["metadata"]["namespace"]}
    data = {"tls.crt": certificate.decode(), "tls.key": key.decode()}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "stringData": data}


def _install(node: Node, program: Path, image: str, manifests: list[Object]) -> None:
    deployment = _the(manifests, "Deployment")["metadata"]
    name, namespace = deployment["name"], deployment["namespace"]
    definitions = [made for made in manifests if _kind_defined(made)]
    others = [made for made in manifests if not _kind_defined(made)]
    with TemporaryDirectory() as folder:
        archive, file = Path(folder, "image.tar"), Path(folder, "manifests.json")
        write_program_image(archive, image, program, "/manager")
        node.load(archive)
        for each in definitions:
            install_definition(node.api, each)
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": others}))
        node.api.kubectl("apply", "--server-side", f"--filename={file}", namespace=namespace)
    _await_rollout(node.api, namespace, name)


def _await_rollout(api: Api, namespace: str, deployment: str) -> None:
    def rolled_out() -> bool:
        found = api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}")
        status = found["status"]
        return status.get("observedGeneration") == found["metadata"]["generation"] and (
            status.get("replicas") == status.get("updatedReplicas") == status.get("availableReplicas") == 1
        )

    eventually(rolled_out, f"{deployment} is available", INSTALL_LIMIT_S)


def _await_acceptance(api: Api, version: str, kind: str, spec: Object) -> None:
    """Webhooks refuse or fail, until the way to them is open."""
    made = {"apiVersion": version, "kind": kind, "metadata": {"name": "asked", "namespace": "default"}, "spec": spec}

    def accepted() -> bool:
        try:
            api.create(made, dry_run=True)
        except Refused:
            return False
        return True

    eventually(accepted, f"a {kind} is accepted")


def _pod(container: str) -> Object:
    return {"containers": [{"name": container, "image": IMAGE}]}
