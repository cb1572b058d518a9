"""Pods of the tests in this folder, and what became of them."""

from pathlib import Path

from tests.testbed.api import Api, Object, address
from tests.testbed.image import IMAGE, USER
from tests.testbed.tools.daemon import eventually

POD_LIMIT_S = 120
RESTRICTED: Object = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The security context of a container that Pod Security's `restricted` takes."""


def pod(namespace: str, name: str, script: str, **container: object) -> Object:
    """A pod that runs a shell script once, and whose container has these further fields."""
    main = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script], **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "containers": [main]},
    }


def await_phase(api: Api, made: Object, *phases: str) -> Object:
    """The pod, once it is in one of these phases."""
    eventually(lambda: api.get(address(made))["status"]["phase"] in phases, f"the pod is {' or '.join(phases)}", POD_LIMIT_S)
    return api.get(address(made))


def end_of(found: Object) -> Object:
    """How the pod's container ended."""
    ended: Object = found["status"]["containerStatuses"][0]["state"]["terminated"]
    return ended


def claim_folder(api: Api, namespace: str, name: str, folder: Path) -> Object:
    """A volume for pods, of a claim on this folder of the node's: `restricted` takes no folder, but a claim."""
    shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    size = {"storage": "10Gi"}
    volume = {**shared, "capacity": size, "hostPath": {"path": str(folder)}, "claimRef": {"namespace": namespace, "name": name}}
    api.create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": volume})
    meta = {"name": name, "namespace": namespace}
    claim = {**shared, "volumeName": namespace, "resources": {"requests": size}}
    made = api.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim})
    eventually(lambda: api.get(address(made))["status"]["phase"] == "Bound", "the claim has its volume")
    return {"persistentVolumeClaim": {"claimName": name, "readOnly": True}}
