"""A client for tests: raw JSON to an API server and back, and kubectl for what a person would see.

It knows any cluster that a kubeconfig file describes. Refusals are exceptions that carry the server's own words.
"""

import os
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config
from tests.testbed.tools.daemon import eventually

Object = dict[str, Any]
FIELD_MANAGER = "evolution-tests"
REQUEST_LIMIT_S = 30
KUBECTL_LIMIT_S = 60


class Refused(Exception):  # noqa: N818 - it is an answer, no failure of ours
    """The API server's answer was an error; `str()` is its message."""

    def __init__(self, status: Object) -> None:
        super().__init__(status.get("message", ""))
        self.code: int = status["code"]
        self.reason: str = status.get("reason", "")


class Api:
    def __init__(self, kubeconfig: Path, kubectl: Path, folder: Path) -> None:
        """`folder` is for what kubectl caches: the answers of one cluster must not be taken for another's at the same address."""
        self.kubeconfig = kubeconfig
        self._kubectl = [str(kubectl), f"--cache-dir={folder}"]
        known: Any = Configuration()
        load_kube_config(str(kubeconfig), client_configuration=known)
        tls = ssl.create_default_context(cafile=known.ssl_ca_cert)
        if known.cert_file:
            tls.load_cert_chain(known.cert_file, known.key_file)
        headers = {setting["key"]: setting["value"] for setting in known.auth_settings().values()}
        self._http = httpx.Client(base_url=known.host, headers=headers, verify=tls, trust_env=False, timeout=REQUEST_LIMIT_S)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str) -> Object:
        return self._send("GET", path)

    def create(self, manifest: Object, *, dry_run: bool = False) -> Object:
        """Unknown and repeated fields are refused, as `kubectl apply` asks for."""
        parameters = {"fieldValidation": "Strict", **_dry(dry_run)}
        return self._send("POST", collection(manifest), manifest, parameters)

    def apply(self, manifest: Object, *, dry_run: bool = False) -> Object:
        """Server-side apply, taking over what others hold."""
        parameters = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict", **_dry(dry_run)}
        return self._send("PATCH", address(manifest), manifest, parameters, "application/apply-patch+yaml")

    def patch(self, path: str, change: Object, *, dry_run: bool = False) -> Object:
        """Merge patch: null removes."""
        return self._send("PATCH", path, change, _dry(dry_run), "application/merge-patch+json")

    def delete(self, path: str) -> Object:
        return self._send("DELETE", path, None, {"propagationPolicy": "Background"})

    def kubectl(self, *arguments: str, namespace: str = "default") -> str:
        """What it prints on stdout.

        Raises:
            AssertionError: it failed; the message is what it printed on stderr.
        """
        command = [*self._kubectl, "--namespace", namespace, *arguments]
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=KUBECTL_LIMIT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _send(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        parameters: Object | None = None,
        type_: str = "application/json",
    ) -> Object:
        answer = self._http.request(method, path, json=body, params=parameters, headers={"Content-Type": type_})
        if answer.is_error:
            is_status = answer.headers.get("Content-Type", "").startswith("application/json")
            raise Refused(answer.json() if is_status else {"code": answer.status_code, "message": answer.text})
        found: Object = answer.json()
        return found


@contextmanager
def connected(kubeconfig: Path, kubectl: Path, folder: Path) -> Iterator[Api]:
    client = Api(kubeconfig, kubectl, folder)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def own_namespace(api: Api) -> Iterator[str]:
    """A namespace of a test's own; its objects go with it, some time after the test."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    api.create(made)
    yield name
    api.delete(address(made))


def restrict(api: Api, namespace: str) -> None:
    """From now on it admits no pod that is not `restricted`."""
    api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})


def install_definition(api: Api, definition: Object) -> None:
    """Applies a CustomResourceDefinition and returns when its objects can be listed."""
    api.apply(definition)
    spec = definition["spec"]
    version = next(v["name"] for v in spec["versions"] if v["storage"])

    def served() -> bool:
        conditions = api.get(address(definition)).get("status", {}).get("conditions") or []  # null at first
        if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return False
        try:
            api.get(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")
        except Refused:
            return False
        return True

    eventually(served, f"{definition['metadata']['name']} is served")


def collection(manifest: Object) -> str:
    """Path of the objects of its kind in its namespace, e.g. /apis/batch/v1/namespaces/lab/jobs."""
    version = manifest["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = manifest["metadata"].get("namespace")
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{place}/{manifest['kind'].lower()}s"  # the plural of every kind that is used here


def address(manifest: Object) -> str:
    """Path of the object itself."""
    return f"{collection(manifest)}/{manifest['metadata']['name']}"


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
