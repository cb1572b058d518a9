"""`python -m evolution_jobs.serve` as a process of a test's own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tests.testbed.tools.daemon import free_ports

from evolution_api.endings import LastWords
from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_INPUT, ENV_TERMINATION_LOG

START_LIMIT_S = 180
"""Importing the model's and the server's libraries takes 15 s of a free core."""


class Server:
    """`python -m evolution_jobs.serve` on a loopback port."""

    def __init__(self, of: StageInput, folder: Path, port: int | None = None) -> None:
        self.port = port or free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.words = folder / f"termination-{self.port}"
        self.log = folder / f"serve-{self.port}.log"
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
            "OMP_NUM_THREADS": "1",
            ENV_INPUT: of.model_dump_json(),
            ENV_TERMINATION_LOG: str(self.words),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "evolution_jobs.serve", "--http_port", str(self.port)],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> "Server":
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/v1/models/solver", trust_env=False).status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        pytest.fail(f"the server is not ready: {self.log.read_text()[-3000:]}")

    def last_words(self) -> LastWords:
        return LastWords.model_validate_json(self.words.read_text())

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
