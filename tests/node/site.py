"""What an administrator and a user lay out for runs on the test node: a restricted namespace, storage, packages."""

from pathlib import Path

import yaml
from tests.cluster.chart import CHART, RELEASE, Helm
from tests.cluster.harness.api import Api, Object, address
from tests.cluster.harness.images import ENVIRONMENT, reference
from tests.cluster.lab import Lab
from tests.conftest import ROOT
from tests.documents import laid_over
from tests.tools.daemon import eventually
from tests.tools.s3 import BUCKET, CREDENTIALS

from evolution_api.layout import API_VERSION, KIND, LABEL_ROLE, LABEL_STAGE

SMOKE: Object = yaml.safe_load((ROOT / "examples" / "smoke.yaml").read_text())["spec"]
SPEC = laid_over(SMOKE, {"training": {"nodes": 2, "processesPerNode": 1}})
"""The smallest run, training on two nodes."""
SERVER: Object = {"resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "4Gi"}}}
"""KServe gives a server that says nothing of its memory little."""
MODEL = "models/tiny"
CLAIM = "environment"
OPERATORS = "operators"
PACKAGES: Object = {"name": "environment", "persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}}
RUN_LIMIT_S = 600


def _image(name: str) -> Object:
    repository, _, tag = reference(name).rpartition(":")
    return {"repository": repository, "tag": tag}


VALUES: Object = {
    "images": {"operator": _image("operator"), "jobs": _image("train"), "model": _image("train")},
    "runs": {
        "extraVolumes": [PACKAGES],
        "extraVolumeMounts": [{"name": "environment", "mountPath": ENVIRONMENT, "readOnly": True}],
    },
}
"""The programs without a model find their packages in the mounted environment too."""


def install(helm: Helm) -> None:
    helm(
        "install", RELEASE, str(CHART), "--namespace", OPERATORS, "--create-namespace", "--wait", "--timeout=120s", values=VALUES
    )


class Site(Lab):
    """A namespace whose pods are `restricted`, with a Secret `storage` and the claim that VALUES name."""

    def __init__(self, api: Api, namespace: str, endpoint: str, environment: Path) -> None:
        super().__init__(api, namespace)
        self.endpoint = endpoint
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
        self.secret("storage", CREDENTIALS)
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM, "namespace": namespace}}
        shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
        size = {"storage": "10Gi"}
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}}
        bound = {"namespace": namespace, "name": CLAIM}
        api.create({**volume, "spec": {**shared, "capacity": size, "claimRef": bound, "hostPath": {"path": str(environment)}}})
        made = api.create({**claim, "spec": {**shared, "volumeName": namespace, "resources": {"requests": size}}})
        eventually(lambda: api.get(address(made))["status"]["phase"] == "Bound", "the packages are bound")

    def secret(self, name: str, values: dict[str, str]) -> None:
        meta = {"name": name, "namespace": self.namespace}
        self.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values})

    def begin(self, name: str = "x", **changes: Object) -> None:
        """Start a run of SPEC with these changes, its model and all that it keeps on the S3 server."""
        storage = {"uri": f"s3://{BUCKET}/evolution", "endpoint": self.endpoint, "secretName": "storage"}
        spec = laid_over(SPEC, {"model": {"uri": f"s3://{BUCKET}/{MODEL}"}, "probe": {"pod": SERVER}, "storage": storage})
        meta = {"name": name, "namespace": self.namespace}
        self.api.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": laid_over(spec, changes)})

    def await_success(self) -> Object:
        """The status at the end."""
        eventually(lambda: self.status().get("phase") in ("Succeeded", "Failed"), "the run ends", RUN_LIMIT_S)
        assert self.status()["phase"] == "Succeeded", self.condition("Failed")["message"]
        return self.status()

    def running_pod(self, round_: int, stage: str, role: str = "work") -> Object:
        """A pod of the stage, once one is running; the last of them by name."""
        found: list[Object] = []

        def there() -> bool:
            found[:] = [
                pod for pod in self.pods() if self.is_of(pod, round_, stage, role) and pod["status"]["phase"] == "Running"
            ]
            return bool(found)

        eventually(there, f"a {role} pod of {stage} in round {round_} is running", RUN_LIMIT_S)
        return max(found, key=lambda pod: str(pod["metadata"]["name"]))

    def is_of(self, pod: Object, round_: int, stage: str, role: str) -> bool:
        labels = pod["metadata"]["labels"]
        return bool(
            (labels.get("evolution.spatial.io/round"), labels.get(LABEL_STAGE), labels.get(LABEL_ROLE))
            == (str(round_), stage, role)
        )

    def kill(self, pod: Object) -> None:
        self.api.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force", namespace=self.namespace)
