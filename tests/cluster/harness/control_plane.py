"""A Kubernetes control plane as processes of this machine: etcd, the API server and the controller manager. No root, no node.

Jobs get their pods from the real Job controller, and garbage collection, finalizers, RBAC, CEL and server-side apply
are real. Pods stay Pending: nothing schedules or runs them.
"""

import json
import secrets
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.cluster.harness.certificates import write_certificates
from tests.tools.daemon import LOOPBACK, Daemon, free_ports

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
ADMIN, CONTROLLERS = "admin", "system:kube-controller-manager"
SERVICE_ADDRESSES = "10.0.0.0/24"
FIRST_SERVICE_ADDRESS = "10.0.0.1"
"""Of the service `kubernetes`."""
TIED = ("setpriv", "--pdeathsig", "KILL")
"""A part dies with the thread that started it, even where that one is killed and can stop nothing any more."""
CLIENT_RATE = 1000
"""Requests a second that the controller manager may send: its default of 20 would be what a test of the operator measures."""


class ControlPlane:
    """One control plane in `folder`, which must be empty; `binary` gives a program's file by its name."""

    def __init__(self, folder: Path, binary: Callable[[str], Path]) -> None:
        write_certificates(folder, [LOOPBACK, FIRST_SERVICE_ADDRESS])
        store_port, peer_port, api_port, controllers_port = free_ports(4)
        self.url = f"https://{LOOPBACK}:{api_port}"
        self.kubeconfig = folder / "kubeconfig"
        tokens = {ADMIN: secrets.token_hex(16), CONTROLLERS: secrets.token_hex(16)}
        groups = {ADMIN: "system:masters", CONTROLLERS: ""}
        _write_secret(folder / "tokens.csv", "".join(f'{tokens[user]},{user},{user},"{groups[user]}"\n' for user in tokens))
        _write_secret(self.kubeconfig, _kubeconfig(self.url, folder / "ca.crt", tokens[ADMIN]))
        _write_secret(folder / "controllers.kubeconfig", _kubeconfig(self.url, folder / "ca.crt", tokens[CONTROLLERS]))

        store_url, peer_url = f"http://{LOOPBACK}:{store_port}", f"http://{LOOPBACK}:{peer_port}"
        self.store = self._daemon(
            folder,
            binary("etcd"),
            f"{store_url}/health",
            {
                "data-dir": folder / "etcd",
                "listen-client-urls": store_url,
                "advertise-client-urls": store_url,
                "listen-peer-urls": peer_url,
                "initial-advertise-peer-urls": peer_url,
                "initial-cluster": f"default={peer_url}",
                "log-level": "warn",
                "unsafe-no-fsync": "true",
            },
        )
        served = {"tls-cert-file": folder / "server.crt", "tls-private-key-file": folder / "server.key"}
        self.api_server = self._daemon(
            folder,
            binary("kube-apiserver"),
            f"{self.url}/readyz",
            {
                **served,
                "etcd-servers": store_url,
                "bind-address": LOOPBACK,
                "secure-port": api_port,
                "endpoint-reconciler-type": "none",  # it would refuse to advertise a loopback address
                "service-cluster-ip-range": SERVICE_ADDRESSES,
                "service-account-issuer": "https://kubernetes.default.svc",
                "service-account-key-file": folder / "service-accounts.pub",
                "service-account-signing-key-file": folder / "service-accounts.key",
                "token-auth-file": folder / "tokens.csv",
                "authorization-mode": "RBAC",
                "shutdown-send-retry-after": "true",  # else open watches hold it for a minute
            },
        )
        self.controller_manager = self._daemon(
            folder,
            binary("kube-controller-manager"),
            f"https://{LOOPBACK}:{controllers_port}/healthz",
            {
                **served,
                "kubeconfig": folder / "controllers.kubeconfig",
                "bind-address": LOOPBACK,
                "secure-port": controllers_port,
                "root-ca-file": folder / "ca.crt",
                "service-account-private-key-file": folder / "service-accounts.key",
                "use-service-account-credentials": "true",
                "leader-elect": "false",
                "kube-api-qps": CLIENT_RATE,
                "kube-api-burst": CLIENT_RATE,
            },
        )

    @staticmethod
    def _daemon(folder: Path, program: Path, health: str, flags: dict[str, object]) -> Daemon:
        command = [*TIED, str(program), *(f"--{flag}={value}" for flag, value in flags.items())]
        tls = ssl.create_default_context(cafile=folder / "ca.crt")

        def healthy() -> bool:
            try:
                return httpx.get(health, verify=tls, trust_env=False, timeout=5).is_success
            except httpx.TransportError:
                return False

        return Daemon(command, health.rpartition("/")[0], folder / f"{program.name}.log", healthy)

    def start(self) -> None:
        for daemon in (self.store, self.api_server, self.controller_manager):
            daemon.start()

    def stop(self) -> None:
        """The API server first: it waits for a store that is gone."""
        for daemon in (self.api_server, self.controller_manager, self.store):
            daemon.stop()


@contextmanager
def running(folder: Path, binary: Callable[[str], Path]) -> Iterator[ControlPlane]:
    """A control plane that lives as long as this context; SIGTERM leaves it by KeyboardInterrupt, not by death."""
    plane = ControlPlane(folder, binary)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
        signal.signal(signal.SIGTERM, before)


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def _kubeconfig(url: str, authority: Path, token: str) -> str:
    """JSON, which every reader of kubeconfig files takes for the YAML that it is."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(authority)}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
            "current-context": "test",
        },
        indent=1,
    )
