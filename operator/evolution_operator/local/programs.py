"""Starts programs through the fork server and hears of their ends. The only module of the operator that starts processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from evolution_api.run.spec import EvolutionRunSpec
from evolution_operator.children.onemachine import Process
from evolution_operator.local.folder import ENV_WORKDIR

EXIT_KILLED = 128 + signal.SIGKILL
SERVER = (sys.executable, "-m", "evolution_jobs.forkserver")

# glibc hands memory back to the kernel eagerly, and training on CPUs then spends most of its time in page faults. It reads these
# when a process is started, and refuses a larger first value.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
# The fork server must not have threads; its forks are told their own number.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Threads that wait by spinning starve the others when several programs share few cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


def server_environment(spec: EvolutionRunSpec, workdir: Path) -> dict[str, str]:
    """The environment of the fork server: the user's own, the mark of the folder, and what is read when modules are loaded."""
    # A process that has asked CUDA anything cannot fork one that uses it; the other question goes to the driver's library.
    on_gpus = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    accelerator = {"DS_ACCELERATOR": "cpu"} if spec.scheduling.accelerator == "none" else on_gpus
    return {**os.environ, **MALLOC, **ONE_THREAD, **accelerator, ENV_WORKDIR: str(workdir)}


class Programs:
    """The fork server and what it runs. It is started with the first program and again should it ever die."""

    def __init__(self, environ: Mapping[str, str], log: Path, command: Sequence[str] = SERVER) -> None:
        self._environ = environ
        self._log = log
        self.command = command
        self._server: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._unread = b""
        self._started = 0
        self._alive: dict[str, Process] = {}

    @property
    def connection(self) -> socket.socket | None:
        """Readable when a program began or ended."""
        return self._connection

    def start(self, module: str, args: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, threads: int) -> Process:
        self._started += 1
        process = Process(f"p{self._started}")
        self._alive[process.id] = process
        request = {"id": process.id, "module": module, "args": list(args), "env": dict(env), "cwd": str(cwd)}
        self._send(request | {"log": str(log), "threads": threads})
        return process

    def signal(self, process: Process, number: int) -> None:
        if process.exit is None:
            self._send({"id": process.id, "signal": number})

    def read(self) -> bool:
        """Take in what the server has said; true if that changed anything."""
        changed = False
        while self._connection is not None:
            try:
                data = self._connection.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            changed = True
            if not data:
                self._lost()
                break
            *lines, self._unread = (self._unread + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                process = self._alive.get(message["id"])
                if process is None:
                    continue
                process.pid = message.get("pid", process.pid)
                if "exit" in message:
                    process.exit = message["exit"]
                    del self._alive[process.id]
        return changed

    def close(self) -> None:
        """End the server, and with it whatever still runs."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._lost()

    def _send(self, message: Mapping[str, object]) -> None:
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            self._lost()

    def _connect(self) -> None:
        ours, theirs = socket.socketpair()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with theirs, self._log.open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603  our own program
                [*self.command, str(theirs.fileno()), str(os.getpid())],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._connection = ours

    def _lost(self) -> None:
        """The server is gone, and the kernel has killed its programs."""
        if self._connection is not None:
            self._connection.close()
        if self._server is not None:
            self._server.wait()
        self._connection, self._server, self._unread = None, None, b""
        for process in self._alive.values():
            process.exit = EXIT_KILLED
        self._alive.clear()
