"""A node that stops, or whose harness is killed, leaves nothing on the machine and can be started again at once."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.testbed.namespaces import CGROUP, CGROUP_ROOT, KERNEL_SETTINGS
from tests.testbed.node import PROGRAMS
from tests.testbed.tools.daemon import eventually

STARTER = """
import sys
from pathlib import Path
from tests.testbed.node import running_node
from tests.testbed.tools.binaries import binary

with running_node(Path(sys.argv[1]), binary) as node:
    Path(sys.argv[1], "up").touch()
    sys.stdin.read()
"""
START_LIMIT_S = 120


def of_the_machine() -> dict[str, str]:
    """What a node could leave behind: links, addresses, routes, settings of the kernel, mounts.

    Packet filters belong to a network namespace, and looking at the machine's own would make some.
    """
    commands = {"links": ["ip", "-brief", "address"], "routes": ["ip", "route"]}
    found = {what: subprocess.run(command, capture_output=True, text=True).stdout for what, command in commands.items()}
    settings = "".join(Path("/proc/sys", name).read_text() for name in ("net/ipv4/ip_forward", *KERNEL_SETTINGS))
    return {**found, "settings": settings, "mounts": Path("/proc/self/mountinfo").read_text()}


def processes(told_by: Callable[[Path], bool]) -> list[Path]:
    """Folders in /proc of the processes of which this is true; one that ends meanwhile is none."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if told_by(process):
                found.append(process)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended, or is nobody's business
    return found


def namespace_of(process: Path) -> Path:
    return (process / "ns" / "net").readlink()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_nothing_is_left(tmp_path: Path, binary: Callable[[str], Path], end: signal.Signals) -> None:
    for program in PROGRAMS:
        binary(program)
    before = of_the_machine()
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
        eventually(lambda: (tmp_path / "up").exists() or starter.poll() is not None, "the node is up", START_LIMIT_S)
        assert starter.returncode is None
        assert [of_the_machine()[what] for what in ("mounts", "settings")] == [before[what] for what in ("mounts", "settings")]
        ours = namespace_of(Path("/proc/self"))
        named = processes(lambda p: f"{tmp_path}/".encode() in (p / "cmdline").read_bytes() and namespace_of(p) != ours)
        inside = {namespace_of(process) for process in named}
        assert len(inside) == 1
        starter.send_signal(end)
    assert starter.returncode != 0
    eventually(lambda: processes(lambda p: namespace_of(p) in inside) == [], "every process in the node is gone")
    eventually(lambda: processes(lambda p: f"{tmp_path}/".encode() in (p / "cmdline").read_bytes()) == [], "and all the others")
    eventually(lambda: of_the_machine() == before, "what the node made is gone")
    if end == signal.SIGTERM:  # where nobody was left to remove the groups, the next start does
        assert list(CGROUP_ROOT.glob(f"**/{CGROUP}")) == []
