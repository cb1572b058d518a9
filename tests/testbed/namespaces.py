"""The Linux namespaces that a test node lives in, so that nothing of it is left on the machine; used by node.py, needs root.

All processes of the node are in one PID namespace, and die with its first one, which dies with the harness. All that they
mount is in one mount namespace, and all their links, routes and packet filters in one network namespace: the kernel takes these
back with the last process. The machine sees one end of a link, and a route to it. There is no way on from there: what pods send
reaches this machine and no other. Only control groups remain by themselves, and are removed here.
"""

import os
import signal
import subprocess
from pathlib import Path

from tests.testbed.control_plane import TIED
from tests.testbed.tools.daemon import Daemon, eventually

HOST_ADDRESS, NODE_ADDRESS = "198.18.0.1", "198.18.0.2"
POD_ADDRESSES = "198.18.1.0/24"
TEST_ADDRESSES = "198.18.0.0/16"
"""Holds the above and the addresses of services."""
HOST_LINK, NODE_LINK = "evolution-node", "eth0"
COVERED = ("/run", "/var/lib", "/var/log")
"""Where containerd and kubelet keep what they keep: in the node's folder instead of the machine's."""
KERNEL_SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
"""A kubelet changes these for the whole machine where they are not so: it is shown files that say what it wants to read."""
CGROUP = "evolution-node"
CGROUP_ROOT = Path("/sys/fs/cgroup")


class Namespaces:
    """`folder` must be empty; one node at a time can be on a machine."""

    def __init__(self, folder: Path) -> None:
        covers = [(folder / path.lstrip("/"), path) for path in COVERED]
        for cover, _ in covers:
            cover.mkdir(parents=True)
        for setting, value in KERNEL_SETTINGS.items():
            shown = folder / setting.replace("/", ".")
            shown.write_text(f"{value}\n")
            covers.append((shown, f"/proc/sys/{setting}"))
        made = folder / "made"
        first_process = "; ".join(
            [
                "set -e",
                "mount --make-rshared /",  # kubelet's mounts are to be seen by containers, as with any init system
                *(f"mount --bind {cover} {path}" for cover, path in covers),
                "echo 1 >/proc/sys/net/ipv4/ip_forward",
                f"touch {made}",
                "sleep infinity",
                ":",  # so that the shell stays, and takes the exit codes of orphans
            ]
        )
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._init = Daemon([*TIED, *unshare, "sh", "-c", first_process], "", folder / "init.log", made.exists)

    def start(self) -> None:
        """Raises:
        TimeoutError: another node is on this machine.
        """
        eventually(lambda: not _linked(), f"no node is left on this machine, i.e. there is no link {HOST_LINK}")
        _remove_cgroups()
        self._init.start()
        host = ["ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", NODE_LINK, "netns", str(self._first_pid)]
        _run(*host)
        _run("ip", "address", "add", f"{HOST_ADDRESS}/30", "dev", HOST_LINK)
        _run("ip", "link", "set", HOST_LINK, "up")
        _run(*self.entered, "ip", "address", "add", f"{NODE_ADDRESS}/30", "dev", NODE_LINK)
        for link in ("lo", NODE_LINK):
            _run(*self.entered, "ip", "link", "set", link, "up")
        _run("ip", "route", "add", TEST_ADDRESSES, "via", NODE_ADDRESS)
        for hierarchy in _hierarchies():
            (hierarchy / CGROUP).mkdir()

    def stop(self) -> None:
        """Ends every process of the node at once."""
        if self._init.process is None:
            return
        if self._init.process.poll() is None:
            os.kill(self._first_pid, signal.SIGKILL)
        self._init.process.wait()  # it ends when the last process of the PID namespace has
        self._init.process = None
        eventually(lambda: not _linked(), "the node's network is gone")
        _remove_cgroups()

    @property
    def entered(self) -> list[str]:
        """A command, to be followed by a program that then runs in the node; it ends with the harness, by SIGTERM on its own."""
        target = ["--target", str(self._first_pid), "--net", "--mount", "--pid"]
        return [*TIED, "nsenter", *target, "--", "setpriv", "--pdeathsig", "TERM"]

    @property
    def _first_pid(self) -> int:
        assert self._init.process is not None
        pid = self._init.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _linked() -> bool:
    return Path("/sys/class/net", HOST_LINK).exists()


def _hierarchies() -> list[Path]:
    """Those of cgroup v1, or the one of v2."""
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        return [CGROUP_ROOT]
    return [path for path in CGROUP_ROOT.iterdir() if path.is_dir() and not path.is_symlink()]


def _remove_cgroups() -> None:
    for hierarchy in _hierarchies():
        for path, _, _ in os.walk(hierarchy / CGROUP, topdown=False):
            eventually(lambda path=path: _removed(Path(path)), f"the kernel lets go of {path}")  # type: ignore[misc]


def _removed(cgroup: Path) -> bool:
    """A group of which the last process ended a moment ago is still busy."""
    try:
        cgroup.rmdir()
    except OSError:
        return not cgroup.exists()
    return True


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
