"""What an administrator and a user lay out for runs on the test node: a restricted namespace, storage, packages."""

from pathlib import Path

import yaml
from tests.cluster.chart import CHART, RELEASE, Helm
from tests.cluster.harness.api import Api, Object
from tests.cluster.harness.images import ENVIRONMENT, reference
from tests.cluster.lab import Lab, is_of
from tests.conftest import ROOT
from tests.documents import laid_over
from tests.node.pods import claim_folder
from tests.tools.daemon import eventually
from tests.tools.s3 import BUCKET, CREDENTIALS

from evolution_api.layout import API_VERSION, KIND

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
    """A namespace with a Secret `storage` and the claim that VALUES name."""

    def __init__(self, api: Api, namespace: str, endpoint: str, environment: Path) -> None:
        super().__init__(api, namespace)
        self.endpoint = endpoint
        self.secret("storage", CREDENTIALS)
        claim_folder(api, namespace, CLAIM, environment)

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
            found[:] = [pod for pod in self.pods() if is_of(pod, round_, stage, role) and pod["status"]["phase"] == "Running"]
            return bool(found)

        eventually(there, f"a {role} pod of {stage} in round {round_} is running", RUN_LIMIT_S)
        return max(found, key=lambda pod: str(pod["metadata"]["name"]))

    def kill(self, pod: Object) -> None:
        self.api.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force", namespace=self.namespace)
