"""A program that a test starts beside itself, takes away and brings back; used for the S3 server and the control plane."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
START_LIMIT_S = 60
STOP_LIMIT_S = 60
POLL_S = 0.05


@dataclass
class Daemon:
    """It has a session of its own and writes to `log`, which bears its name; its files and its address outlive a restart."""

    command: list[str]
    url: str
    log: Path
    ready: Callable[[], bool]
    start_limit_s: float = START_LIMIT_S
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises:
        RuntimeError: it ended by itself.
        TimeoutError: it was not ready in time.
        """
        with self.log.open("ab") as log:
            process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.process = process
        name = self.log.stem

        def up() -> bool:
            if process.poll() is not None:
                raise RuntimeError(
                    f"{name} ended by itself (exit code {process.returncode}); its last words:\n{self.last_words()}"
                )
            return self.ready()

        try:
            eventually(up, f"{name} is ready", self.start_limit_s)
        except BaseException:
            self.stop()
            raise

    def stop(self, signal_: signal.Signals = signal.SIGTERM) -> None:
        """Returns when the process is gone, and with it its port; does nothing where none runs."""
        if self.process is None:
            return
        self.process.send_signal(signal_)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])


def eventually(holds: Callable[[], bool], what: str, limit_s: float = START_LIMIT_S, poll_s: float = POLL_S) -> None:
    """Raises:
    TimeoutError: `holds` did not become true within `limit_s`.
    """
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s} s: {what}")
        time.sleep(poll_s)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listened on a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def accepts(port: int, address: str = LOOPBACK) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
