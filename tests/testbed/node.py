"""A node for the control plane: containerd, kubelet, kube-proxy and CoreDNS in namespaces of their own, and the scheduler.

Needs root and what `SYSTEM_PACKAGES` bring. No image is ever pulled: `Node.load` brings one, and `IMAGE` is there from the start.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.testbed.api import Api, Refused, connected
from tests.testbed.control_plane import NODE, ControlPlane, running
from tests.testbed.image import BUSYBOX, IMAGE, write_image
from tests.testbed.namespaces import CGROUP, HOST_ADDRESS, NODE_ADDRESS, POD_ADDRESSES, Namespaces
from tests.testbed.tools.daemon import LOOPBACK, Daemon, free_ports

PROGRAMS = ("kube-scheduler", "kubelet", "kube-proxy", "coredns")
CNI_PLUGINS = Path("/usr/lib/cni")
SYSTEM_PACKAGES = {
    "containerd": ("containerd", "ctr"),
    "runc": ("runc",),
    "containernetworking-plugins": (str(CNI_PLUGINS / "ptp"), str(CNI_PLUGINS / "host-local")),
    "iptables": ("iptables",),
    "iproute2": ("ip",),
    "busybox-static": (BUSYBOX,),
}
"""Debian's packages, and the programs of each that are used."""
IMPORT_LIMIT_S = 300
CONTAINERD = f"""
version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  # without CAP_SYS_RESOURCE runc may not lower a score, and dies of trying
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{{cni}}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
"""
NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    # each pod has a link of its own to the node: on a bridge, answers from behind a Service would go past kube-proxy's rules
    "plugins": [
        {
            "type": "ptp",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_ADDRESSES}]], "routes": [{"dst": "0.0.0.0/0"}]},
        }
    ],
}


class Node:
    def __init__(
        self, folder: Path, binary: Callable[[str], Path], plane: ControlPlane, namespaces: Namespaces, api: Api
    ) -> None:
        """`folder` must be empty, `plane` and `namespaces` be started; `api` is the administrator's client of `plane`."""
        self.plane, self.api = plane, api
        self._namespaces, self._folder = namespaces, folder
        cni, resolv, kubelet, corefile = (folder / name for name in ("cni", "resolv.conf", "kubelet.json", "Corefile"))
        cni.mkdir()
        (cni / "pods.conflist").write_text(json.dumps(NETWORK))
        (folder / "containerd.toml").write_text(CONTAINERD.format(cni=cni))
        resolv.touch()  # names outside the cluster have no answer
        kubelet.write_text(json.dumps(_kubelet(plane.folder / "ca.crt", resolv)))
        corefile.write_text(_corefile(plane.kubeconfig))

        entered = namespaces.entered
        (scheduler_port,) = free_ports(1)
        self.scheduler = plane.daemon(
            binary("kube-scheduler"),
            f"https://{LOOPBACK}:{scheduler_port}/healthz",
            {
                **plane.served,
                "kubeconfig": plane.folder / "scheduler.kubeconfig",
                "bind-address": LOOPBACK,
                "secure-port": scheduler_port,
                "leader-elect": "false",
            },
        )
        containerd = [*entered, "containerd", "--config", str(folder / "containerd.toml")]
        self.containerd = Daemon(containerd, "", plane.folder / "containerd.log", self._containerd_answers)
        self.kubelet = Daemon(
            [
                *entered,
                str(binary("kubelet")),
                f"--config={kubelet}",
                f"--kubeconfig={plane.folder / 'kubelet.kubeconfig'}",
                f"--hostname-override={NODE}",
                f"--node-ip={NODE_ADDRESS}",
            ],
            "",
            plane.folder / "kubelet.log",
            self._is_ready,
        )
        self.proxy = plane.daemon(
            binary("kube-proxy"),
            f"http://{NODE_ADDRESS}:10256/healthz",
            {
                "kubeconfig": plane.folder / "proxy.kubeconfig",
                "hostname-override": NODE,
                "proxy-mode": "iptables",
                "healthz-bind-address": f"{NODE_ADDRESS}:10256",
                "iptables-localhost-nodeports": "false",
                # the kernel lets nobody set these in a network namespace
                "conntrack-max-per-core": 0,
                "conntrack-tcp-timeout-established": 0,
                "conntrack-tcp-timeout-close-wait": 0,
            },
            entered,
        )
        dns = [*entered, str(binary("coredns")), "-conf", str(corefile)]
        self.dns = Daemon(dns, f"http://{NODE_ADDRESS}:8181", plane.folder / "coredns.log", self._dns_answers)

    def start(self) -> None:
        """Returns when the node is Ready, names resolve, and Services have their addresses."""
        self.scheduler.start()
        self.containerd.start()
        image = self._folder / "image.tar"
        write_image(image)
        self.load(image)
        for daemon in (self.kubelet, self.proxy, self.dns):
            daemon.start()

    def stop(self) -> None:
        """Ends what speaks to the API server; the containers end with the namespaces."""
        for daemon in (self.dns, self.proxy, self.kubelet, self.containerd, self.scheduler):
            daemon.stop()

    def load(self, archive: Path) -> None:
        """Brings the images of an archive, as `docker save` or `buildah push ... docker-archive:` write it, onto the node.

        Raises:
            subprocess.CalledProcessError: containerd does not understand it.
        """
        command = [*self._namespaces.entered, "ctr", "--namespace", "k8s.io", "images", "import", str(archive)]
        subprocess.run(command, check=True, capture_output=True, timeout=IMPORT_LIMIT_S)

    def _containerd_answers(self) -> bool:
        return subprocess.run([*self._namespaces.entered, "ctr", "version"], capture_output=True, timeout=30).returncode == 0

    def _is_ready(self) -> bool:
        try:
            conditions = self.api.get(f"/api/v1/nodes/{NODE}")["status"].get("conditions", [])
        except Refused:
            return False  # it has not registered
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def _dns_answers(self) -> bool:
        try:
            return httpx.get(f"{self.dns.url}/ready", trust_env=False, timeout=5).is_success
        except httpx.TransportError:
            return False


@contextmanager
def running_node(folder: Path, binary: Callable[[str], Path]) -> Iterator[Node]:
    """A control plane with one node, in `folder`, which must be empty, for as long as this context.

    Raises:
        RuntimeError: it cannot be started on this machine; the message says what is missing.
    """
    require_system()
    inside, plane_folder, settings = (folder / name for name in ("inside", "plane", "node"))
    for each in (inside, plane_folder, settings):
        each.mkdir()
    namespaces = Namespaces(inside)
    try:
        namespaces.start()
        with (
            running(plane_folder, binary, HOST_ADDRESS) as plane,
            connected(plane.kubeconfig, binary("kubectl"), folder / "kubectl") as api,
        ):
            node = Node(settings, binary, plane, namespaces, api)
            try:
                node.start()
                yield node
            finally:
                node.stop()
    finally:
        namespaces.stop()


def require_system() -> None:
    """Raises RuntimeError where this machine cannot bear a node, in words that say what to do."""
    if os.geteuid() != 0:
        raise RuntimeError("a node needs root: it makes namespaces and control groups")
    require_packages(SYSTEM_PACKAGES)


def require_packages(packages: Mapping[str, Sequence[str]]) -> None:
    """Raises RuntimeError where a program of one of these packages is missing, with what to type."""
    missing = [package for package, programs in packages.items() if not all(map(shutil.which, programs))]
    if missing:
        raise RuntimeError(f"system packages are missing; type:  apt-get install --no-install-recommends {' '.join(missing)}")


def _kubelet(authority: Path, resolv: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": str(authority)}},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [NODE_ADDRESS],
        "resolvConf": str(resolv),
        # a disk that is rather full is no reason to evict a test's pod, or to remove an image that nobody can pull
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }


def _corefile(kubeconfig: Path) -> str:
    return f""".:53 {{
    bind {NODE_ADDRESS}
    errors
    ready {NODE_ADDRESS}:8181
    kubernetes cluster.local {{
        kubeconfig {kubeconfig}
    }}
}}
"""
