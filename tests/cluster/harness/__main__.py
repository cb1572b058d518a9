"""The test cluster for people, kept in .cache/cluster: `python -m tests.cluster.harness up` or `down`; called by make.

A keeper process starts the control plane and stops it on SIGTERM, or when a part of it ends. It holds a lock on a file
with its process id for as long as it lives, so that the id is never believed of a process that is gone.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import sys
from pathlib import Path

from tests.cluster.harness.api import Api
from tests.cluster.harness.control_plane import PROGRAMS, running
from tests.tools.binaries import binary
from tests.tools.daemon import Daemon, eventually

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / ".cache" / "cluster"
LOCK, READY, PLANE, KUBECTL_CACHE = (FOLDER / name for name in ("lock", "ready", "plane", "kubectl"))
STOP_LIMIT_S = 180


def up() -> None:
    for program in PROGRAMS:
        binary(program)
    kubectl = binary("kubectl")
    eventually(lambda: READY.exists() or not kept(), "the control plane that starts or stops has done so", STOP_LIMIT_S)
    if not kept():
        FOLDER.mkdir(parents=True, exist_ok=True)
        READY.unlink(missing_ok=True)
        os.chdir(ROOT)
        Daemon([sys.executable, "-m", "tests.cluster.harness", "keep"], "", FOLDER / "keeper.log", READY.exists).start()
    kubeconfig = PLANE / "kubeconfig"
    version = Api(kubeconfig, kubectl, KUBECTL_CACHE).get("/version")["gitVersion"]
    sys.stdout.write(f"""the control plane is up: Kubernetes {version}, without nodes: pods stay Pending
type next:
  export KUBECONFIG={kubeconfig} KUBECACHEDIR={KUBECTL_CACHE} PATH={kubectl.parent}:$PATH
  kubectl apply --server-side -f crds/
  kubectl wait --for=condition=Established crd --all
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


def keep() -> None:
    with LOCK.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        shutil.rmtree(PLANE, ignore_errors=True)
        PLANE.mkdir()
        with contextlib.suppress(KeyboardInterrupt), running(PLANE, binary):
            READY.touch()
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            finally:
                READY.unlink()


if __name__ == "__main__":
    try:
        {"up": up, "down": down, "keep": keep}[sys.argv[1]]()
    except (RuntimeError, TimeoutError) as error:
        sys.exit(str(error))
