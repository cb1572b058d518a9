"""A program's last words fit into the container's termination message whatever they are about."""

import signal
from pathlib import Path

import pytest

from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_INPUT, ENV_TERMINATION_LOG
from evolution_api.results import StageSummary
from evolution_api.run import EvolutionRunSpec
from evolution_jobs.program import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_TERMINATED,
    TERMINATION_MESSAGE_BYTES,
    BadInputError,
    TerminatedError,
    run,
    write_last_words,
)
from evolution_jobs.storage.store import CorruptError


@pytest.mark.parametrize("character", ["x", "é", "椅", "🪑"])
def test_a_long_error_is_cut_so_that_it_still_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, character: str) -> None:
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(tmp_path / "log"))
    write_last_words(StageSummary(error=character * 5000, retryable=False))
    written = (tmp_path / "log").read_bytes()
    assert len(written) <= TERMINATION_MESSAGE_BYTES
    said = StageSummary.model_validate_json(written)
    assert said.error is not None
    assert set(said.error) == {character}
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
    spec = {"model": {"uri": "file:///m"}, "scenes": {"procedural": {}}, "storage": {"uri": "file:///s"}}
    job = StageInput(namespace="default", run="r", uid="u", stage="generate", round=1, spec=EvolutionRunSpec.model_validate(spec))
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(tmp_path / "log"))
    monkeypatch.setenv(ENV_INPUT, job.model_dump_json(by_alias=True))
    handler = signal.getsignal(signal.SIGTERM)

    def program(_: StageInput) -> StageSummary:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(program)
    signal.signal(signal.SIGTERM, handler)
    assert ended.value.code == code
    said = StageSummary.model_validate_json((tmp_path / "log").read_text())
    assert said.retryable is retryable
    assert str(error) in str(said.error)
