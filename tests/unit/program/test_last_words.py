"""A program's last words fit into the container's termination message whatever they are about."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evolution_api.endings import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_TERMINATED, LAST_WORDS_BYTES, LastWords
from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_INPUT, ENV_TERMINATION_LOG
from evolution_api.run.spec import EvolutionRunSpec
from evolution_jobs.program import (
    BadInputError,
    TerminatedError,
    carry_out,
    write_last_words,
)
from evolution_storage.store import CorruptError

SPEC = {"model": {"uri": "file:///m"}, "scenes": {"procedural": {}}, "storage": {"uri": "file:///s"}}
JOB = StageInput(namespace="default", run="r", uid="u", stage="generate", round=1, spec=EvolutionRunSpec.model_validate(SPEC))
SIGNALLED_WHERE_PYTHON_DROPS_EXCEPTIONS = """
import signal, time, weakref
from evolution_jobs.program import run

class Module: pass

def main(_):
    module = Module()
    lock = weakref.ref(module, lambda _: signal.raise_signal(signal.SIGTERM))
    del module
    time.sleep(60)

run(main)
"""
IS_DONE_WITH_A_THREAD_AT_WORK_AND_THEN_SIGNALLED = """
import atexit, signal, threading, time
from evolution_api.endings import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_TERMINATED, LAST_WORDS_BYTES, LastWords
from evolution_jobs.program import run

def main(_):
    threading.Thread(target=time.sleep, args=(60,)).start()
    atexit.register(print, "what is left to do is done")
    atexit.register(signal.raise_signal, signal.SIGTERM)

run(main)
"""


@pytest.mark.parametrize("character", ["x", "é", "椅", "🪑", '"', "\\", "\x00", "\x7f"])
def test_a_long_error_is_cut_so_that_it_still_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, character: str) -> None:
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(tmp_path / "log"))
    (tmp_path / "log").write_bytes(b" " * LAST_WORDS_BYTES)  # one machine keeps room for it
    write_last_words(LastWords(error=character * 5000, retryable=False))
    written = (tmp_path / "log").read_bytes()
    assert len(written) <= LAST_WORDS_BYTES
    said = LastWords.model_validate_json(written)
    assert said.error is not None
    assert set(said.error) == {character if character.isprintable() else " "}
    assert not said.retryable


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        pytest.param(BadInputError("correct it"), EXIT_BAD_INPUT, False, id="bad input"),
        pytest.param(CorruptError("spoilt"), EXIT_BAD_INPUT, False, id="spoilt storage"),
        pytest.param(OSError("away"), EXIT_FAILED, True, id="anything else"),
        pytest.param(TerminatedError(), EXIT_TERMINATED, True, id="SIGTERM"),
    ],
)
def test_the_way_it_ends_says_whether_another_attempt_can_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, retryable: bool
) -> None:
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(tmp_path / "log"))
    monkeypatch.setenv(ENV_INPUT, JOB.model_dump_json(by_alias=True))
    handler = signal.getsignal(signal.SIGTERM)

    def program(_: StageInput) -> None:
        raise error

    assert carry_out(program) == code
    signal.signal(signal.SIGTERM, handler)
    said = LastWords.model_validate_json((tmp_path / "log").read_text())
    assert said.retryable is retryable
    assert str(error) in str(said.error)


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        pytest.param(
            SIGNALLED_WHERE_PYTHON_DROPS_EXCEPTIONS,
            EXIT_TERMINATED,
            "terminated by SIGTERM",
            id="SIGTERM in a weakref's callback",
        ),
        pytest.param(IS_DONE_WITH_A_THREAD_AT_WORK_AND_THEN_SIGNALLED, 0, None, id="done"),
    ],
)
def test_a_program_that_is_over_ends_at_once(tmp_path: Path, program: str, code: int, words: str | None) -> None:
    environment = os.environ | {ENV_INPUT: JOB.model_dump_json(by_alias=True), ENV_TERMINATION_LOG: str(tmp_path / "log")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == code, done.stderr
    assert LastWords.model_validate_json((tmp_path / "log").read_text()).error == words
    assert code or "what is left to do is done" in done.stdout
