"""The test cluster for people: `python -m tests.testbed up [--node]` or `down`; called by make.

It is kept in .cache/cluster of the folder where this is called, which make does at the root of the repository.

A keeper process starts the control plane, or, which needs root, one with a node on which the training operator and KServe run. It
stops it on SIGTERM, or when a part of it ends, and for as long as it lives it holds a lock on a file with its process id, so that
the id is never believed of a process that is gone.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import sys
from pathlib import Path

from tests.testbed.api import Api
from tests.testbed.control_plane import PROGRAMS, running
from tests.testbed.node import PROGRAMS as NODE_PROGRAMS
from tests.testbed.node import require_system, running_node
from tests.testbed.tools.binaries import binary
from tests.testbed.tools.daemon import Daemon, eventually
from tests.testbed.upstream import PROGRAMS as UPSTREAM_PROGRAMS
from tests.testbed.upstream import install_kserve, install_training_operator

FOLDER = Path(".cache", "cluster").absolute()
LOCK, READY, CLUSTER, KUBECTL_CACHE = (FOLDER / name for name in ("lock", "ready", "cluster", "kubectl"))
PLANE = CLUSTER / "plane"
NODE_FLAG = "--node"
START_LIMIT_S = 300
STOP_LIMIT_S = 180


def up(with_node: bool) -> None:
    if with_node:
        require_system()
    for program in (*PROGRAMS, *((*NODE_PROGRAMS, *UPSTREAM_PROGRAMS) if with_node else ())):
        binary(program)
    kubectl = binary("kubectl")
    eventually(lambda: READY.exists() or not kept(), "the control plane that starts or stops has done so", STOP_LIMIT_S)
    if not kept():
        FOLDER.mkdir(parents=True, exist_ok=True)
        READY.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.testbed", "keep", *([NODE_FLAG] if with_node else [])]
        Daemon(command, "", FOLDER / "keeper.log", READY.exists, START_LIMIT_S).start()
    kubeconfig = PLANE / "admin.kubeconfig"
    api = Api(kubeconfig, kubectl, KUBECTL_CACHE)
    version = api.get("/version")["gitVersion"]
    nodes = api.get("/api/v1/nodes")["items"]
    if with_node and not nodes:
        raise RuntimeError("a control plane without a node is up; type:  make cluster-down")
    where_pods_run = "with a node, the training operator and KServe" if nodes else "without nodes: pods stay Pending"
    sys.stdout.write(f"""the control plane is up: Kubernetes {version}, {where_pods_run}
type next:
  export KUBECONFIG={kubeconfig} KUBECACHEDIR={KUBECTL_CACHE} PATH={kubectl.parent}:$PATH
  kubectl apply --server-side -f crds/
  until kubectl get evo 2>/dev/null; do sleep 1; done
  kubectl apply -f examples/smoke.yaml
  kubectl get evo
and in the end: make cluster-down
""")


def down() -> None:
    if kept():
        os.kill(int(LOCK.read_text()), signal.SIGTERM)
        eventually(lambda: not kept(), "the control plane is down", STOP_LIMIT_S)
    shutil.rmtree(FOLDER, ignore_errors=True)
    sys.stdout.write("the control plane is down\n")


def kept() -> bool:
    """Whether a keeper lives."""
    if not LOCK.exists():
        return False
    with LOCK.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def keep(with_node: bool) -> None:
    with LOCK.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        shutil.rmtree(CLUSTER, ignore_errors=True)
        CLUSTER.mkdir()
        with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as kept_up:
            if with_node:
                node = kept_up.enter_context(running_node(CLUSTER, binary))
                install_training_operator(node, binary)
                install_kserve(node, binary)
            else:
                PLANE.mkdir()
                kept_up.enter_context(running(PLANE, binary))
            READY.touch()
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            finally:
                READY.unlink()


if __name__ == "__main__":
    command, with_node = sys.argv[1], NODE_FLAG in sys.argv
    try:
        if command == "down":
            down()
        else:
            {"up": up, "keep": keep}[command](with_node)
    except (RuntimeError, TimeoutError) as error:
        sys.exit(str(error))
