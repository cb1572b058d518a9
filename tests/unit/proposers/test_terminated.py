"""SIGTERM while a shard waits for its model: the program leaves at once, says so, and leaves nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evolution_api.endings import EXIT_TERMINATED, LastWords
from evolution_api.layout import ENV_INPUT, ENV_TERMINATION_LOG
from evolution_storage.uri import run_store

pytestmark = pytest.mark.slow


def test_sigterm_while_the_model_is_asked_ends_the_program(server: Any, says: Any, job: Any, tmp_path: Path) -> None:
    server.script = [says("", delay_s=600)]
    run = job({"endpoint": {"url": server.url, "model": "m", "concurrency": 2}})
    words = tmp_path / "last-words"
    environment = os.environ | {ENV_INPUT: run.model_dump_json(by_alias=True), ENV_TERMINATION_LOG: str(words)}
    program = subprocess.Popen([sys.executable, "-m", "evolution_jobs.generate"], env=environment, stdout=subprocess.PIPE)
    while len(server.requests) < 2:
        assert program.poll() is None
        time.sleep(0.02)
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=60)  # the answer would take ten minutes
    assert program.returncode == EXIT_TERMINATED
    assert LastWords.model_validate_json(words.read_text()).error == "terminated by SIGTERM"
    assert run_store(run).list("rounds/0001") == []
