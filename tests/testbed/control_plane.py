"""A Kubernetes control plane as processes of this machine: etcd, the API server and the controller manager. No root, no node.

Jobs get their pods from the real Job controller, and garbage collection, finalizers, RBAC, CEL and server-side apply
are real. Pods stay Pending: nothing schedules or runs them, unless a node is added (node.py).
"""

import json
import secrets
import signal
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.testbed.certificates import write_certificates
from tests.testbed.tools.daemon import LOOPBACK, Daemon, free_ports

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
NODE = "test-node"
USERS = {
    "admin": ("admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
"""Who speaks to the API server, and as which user and group: each has a file NAME.kubeconfig."""
SERVICE_ADDRESSES = "198.18.2.0/24"
"""In the range that is set aside for tests of network devices (RFC 2544), so that no real network is hidden."""
FIRST_SERVICE_ADDRESS = "198.18.2.1"
"""Of the service `kubernetes`."""
TIED = ("setpriv", "--pdeathsig", "KILL")
"""A part dies with the thread that started it, even where that one is killed and can stop nothing any more."""
CLIENT_RATE = 1000
"""Requests a second that the controller manager may send: its default of 20 would be what a test of the operator measures."""


class ControlPlane:
    """One control plane in `folder`, which must be empty; `binary` gives a program's file by its name.

    The API server listens on `address`. One that is not the loopback's is told to pods as that of the service `kubernetes`.
    `plugins` of admission are turned on besides those that are on by default.
    """

    def __init__(self, folder: Path, binary: Callable[[str], Path], address: str = LOOPBACK, plugins: Sequence[str] = ()) -> None:
        write_certificates(folder, [LOOPBACK, address, FIRST_SERVICE_ADDRESS])
        store_port, peer_port, api_port, controllers_port = free_ports(4)
        self.url = f"https://{address}:{api_port}"
        self.folder = folder
        self.kubeconfig = folder / "admin.kubeconfig"
        tokens = {name: secrets.token_hex(16) for name in USERS}
        lines = (f'{tokens[name]},{user},{user},"{group}"\n' for name, (user, group) in USERS.items())
        _write_secret(folder / "tokens.csv", "".join(lines))
        for name, token in tokens.items():
            _write_secret(folder / f"{name}.kubeconfig", _kubeconfig(self.url, folder / "ca.crt", token))

        store_url, peer_url = f"http://{LOOPBACK}:{store_port}", f"http://{LOOPBACK}:{peer_port}"
        self.store = self.daemon(
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
        self.served = {"tls-cert-file": folder / "server.crt", "tls-private-key-file": folder / "server.key"}
        # an API server refuses to tell anybody a loopback address
        told = {"endpoint-reconciler-type": "none"} if address == LOOPBACK else {"advertise-address": address}
        self.api_server = self.daemon(
            binary("kube-apiserver"),
            f"{self.url}/readyz",
            {
                **self.served,
                **told,
                "etcd-servers": store_url,
                "bind-address": address,
                "secure-port": api_port,
                "service-cluster-ip-range": SERVICE_ADDRESSES,
                "service-account-issuer": "https://kubernetes.default.svc",
                "service-account-key-file": folder / "service-accounts.pub",
                "service-account-signing-key-file": folder / "service-accounts.key",
                "token-auth-file": folder / "tokens.csv",
                "authorization-mode": "Node,RBAC",
                "enable-admission-plugins": ",".join(plugins),
                "kubelet-client-certificate": folder / "kubelet-client.crt",
                "kubelet-client-key": folder / "kubelet-client.key",
                "kubelet-preferred-address-types": "InternalIP",
                "shutdown-send-retry-after": "true",  # else open watches hold it for a minute
            },
        )
        self.controller_manager = self.daemon(
            binary("kube-controller-manager"),
            f"https://{LOOPBACK}:{controllers_port}/healthz",
            {
                **self.served,
                "kubeconfig": folder / "controllers.kubeconfig",
                "bind-address": LOOPBACK,
                "secure-port": controllers_port,
                "root-ca-file": folder / "ca.crt",
                "service-account-private-key-file": folder / "service-accounts.key",
                "use-service-account-credentials": "true",
                "leader-elect": "false",
                "pvclaimbinder-sync-period": "1s",  # or a claim waits 15 s for its volume
                "kube-api-qps": CLIENT_RATE,
                "kube-api-burst": CLIENT_RATE,
            },
        )

    def daemon(self, program: Path, health: str, flags: dict[str, object], start: Sequence[str] = TIED) -> Daemon:
        """A program of Kubernetes, started by the command `start`, that is ready when GET `health` succeeds."""
        command = [*start, str(program), *(f"--{flag}={value}" for flag, value in flags.items())]
        tls = ssl.create_default_context(cafile=self.folder / "ca.crt")

        def healthy() -> bool:
            try:
                return httpx.get(health, verify=tls, trust_env=False, timeout=5).is_success
            except httpx.TransportError:
                return False

        return Daemon(command, health.rpartition("/")[0], self.folder / f"{program.name}.log", healthy)

    def start(self) -> None:
        for daemon in (self.store, self.api_server, self.controller_manager):
            daemon.start()

    def stop(self) -> None:
        """The API server first: it waits for a store that is gone."""
        for daemon in (self.api_server, self.controller_manager, self.store):
            daemon.stop()


@contextmanager
def running(
    folder: Path, binary: Callable[[str], Path], address: str = LOOPBACK, plugins: Sequence[str] = ()
) -> Iterator[ControlPlane]:
    """A control plane that lives as long as this context; SIGTERM leaves it by KeyboardInterrupt, not by death."""
    plane = ControlPlane(folder, binary, address, plugins)
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
