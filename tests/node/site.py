"""What an administrator and a user lay out for runs on the test node: a restricted namespace, storage, packages."""

from pathlib import Path

import yaml
from tests.cluster.chart import CHART, RELEASE, Helm
from tests.cluster.lab import Lab, is_of
from tests.conftest import ROOT
from tests.documents import laid_over
from tests.node.pods import claim_folder
from tests.testbed.api import Api, Object
from tests.testbed.images import reference
from tests.testbed.tools.daemon import eventually
from tests.testbed.tools.s3 import BUCKET, CREDENTIALS, s3_client

from evolution_api.layout import LABEL_ROLE, LABEL_ROUND, LABEL_STAGE, run_prefix

DOCUMENT: Object = yaml.safe_load((ROOT / "examples" / "evolutionrun.yaml").read_text())
SMALL: Object = {
    "rounds": 2,
    "model": {"dtype": "float32", "choices": "text"},
    "scenes": {"framesPerScene": 6},
    "generation": {"questionsPerScene": 6, "shards": 2, "parallelism": 2},
    "probe": {"parallelism": 2},
    "training": {"processesPerNode": 1, "globalBatchSize": 8, "steps": 8, "learningRate": 1.0e-4, "checkpointEvery": 2},
    "evaluation": {"heldout": {"scenes": 3, "questionsPerKind": 3}},
    "scheduling": {"accelerator": "none"},
    "retry": {"backoffSeconds": 1},
}
"""What a user changes in the example so that two cores and the tiny model do."""
SPEC = laid_over(DOCUMENT["spec"], SMALL)
ROOMS = ("--rooms=8", "--objects-max=6", "--frames=6", "--width=64", "--height=64")
"""The scenes, as `evolution prepare procedural` takes it."""
RESOURCES: Object = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "4Gi"}}
MODEL, SCENES = "models/tiny", "scenes/rooms"
"""Where they are in the bucket."""
CLAIM = "packages"
PACKAGES = "/opt/packages"
"""Where pods that load a model have their packages: all but them have what their image holds."""
MODEL_POD: Object = {"resources": RESOURCES, "env": [{"name": "PATH", "value": f"{PACKAGES}/bin:/usr/bin:/bin"}]}
PODS: Object = {
    "generation": {"pod": {"resources": RESOURCES}},
    **{stage: {"pod": MODEL_POD} for stage in ("probe", "training", "evaluation")},
}
OPERATORS = "operators"
RUN_LIMIT_S = 600
Place = tuple[int, str, str]
"""Round, stage and role of a child and of its pods."""


def _image(name: str) -> Object:
    repository, _, tag = reference(name).rpartition(":")
    return {"repository": repository, "tag": tag}


VALUES: Object = {
    "images": {"operator": _image("operator"), "jobs": _image("jobs"), "model": _image("train")},
    "runs": {
        "extraVolumes": [{"name": "packages", "persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}}],
        "extraVolumeMounts": [{"name": "packages", "mountPath": PACKAGES, "readOnly": True}],
    },
}


def place_of(pod: Object) -> Place:
    labels = pod["metadata"]["labels"]
    return int(labels[LABEL_ROUND]), labels[LABEL_STAGE], labels[LABEL_ROLE]


def install(helm: Helm) -> None:
    helm(
        "install", RELEASE, str(CHART), "--namespace", OPERATORS, "--create-namespace", "--wait", "--timeout=120s", values=VALUES
    )


class Site(Lab):
    """A namespace with the Secret that the example names and the claim that VALUES name."""

    def __init__(self, api: Api, namespace: str, endpoint: str, environment: Path) -> None:
        super().__init__(api, namespace)
        self.endpoint = endpoint
        self.client = s3_client(endpoint)
        self.secret(SPEC["storage"]["secretName"], CREDENTIALS)
        claim_folder(api, namespace, CLAIM, environment)

    def secret(self, name: str, values: dict[str, str]) -> None:
        meta = {"name": name, "namespace": self.namespace}
        self.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values})

    def begin(self, name: str = "x", **changes: Object) -> None:
        """Start a run of SPEC with these changes, its model, its scenes and all that it keeps on the S3 server."""
        here = {
            "model": {"uri": f"s3://{BUCKET}/{MODEL}"},
            "scenes": {"uri": f"s3://{BUCKET}/{SCENES}"},
            "storage": {"uri": f"s3://{BUCKET}/evolution", "endpoint": self.endpoint},
        }
        spec = laid_over(laid_over(laid_over(SPEC, here), PODS), changes)
        meta = {"name": name, "namespace": self.namespace}
        self.api.create({**DOCUMENT, "metadata": meta, "spec": spec})

    def prefix(self, name: str = "x") -> str:
        """Below which the run keeps its objects."""
        return f"evolution/{run_prefix(self.namespace, name, self.run(name)['metadata']['uid'])}"

    def stored(self, prefix: str) -> list[str]:
        """Keys of the objects below it, as they go on after it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        return [found["Key"].removeprefix(f"{prefix}/") for page in pages for found in page.get("Contents", ())]

    def read(self, key: str) -> str:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()

    def alive(self) -> set[Place]:
        """Round, stage and role of the pods that hold something, or may come to hold it."""
        return {place_of(pod) for pod in self.pods() if pod["status"]["phase"] not in ("Succeeded", "Failed")}

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
