"""The operator as a process that is forked with its imports done: they take longer than a restart may where there are dozens."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Event, Thread

from evolution_operator.cluster.__main__ import main

PR_SET_PDEATHSIG = 1
POLL_S = 0.1

server = get_context("forkserver")
server.set_forkserver_preload(["__main__", __name__])


@dataclass
class Forked:
    """An operator that serves one namespace, and its log."""

    kubeconfig: Path
    namespace: str
    log: Path
    process: ForkServerProcess | None = None

    @contextmanager
    def kept_at_work(self) -> Iterator[None]:
        """Started again whenever it was killed, as a Deployment does."""
        over = Event()

        def keep() -> None:
            while not over.wait(POLL_S):
                if self.process is None or self.process.exitcode == -signal.SIGKILL:
                    self.process = server.Process(target=_work, args=(self.kubeconfig, self.namespace, self.log))
                    self.process.start()
            if self.process is not None:
                self.process.terminate()
                self.process.join()

        keeper = Thread(target=keep)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()


def _work(kubeconfig: Path, namespace: str, log: Path) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(written, sys.stdout.fileno())
    os.dup2(written, sys.stderr.fileno())
    os.environ.update({"KUBECONFIG": str(kubeconfig), "POD_NAME": namespace})
    sys.argv = ["operator", "--namespace", namespace, "--lease-namespace", namespace, "--health-port", "0"]
    sys.exit(main())
