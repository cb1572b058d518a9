"""A program's last words fit into the container's termination message whatever they are about."""

from pathlib import Path

import pytest

from evolution_api.layout import ENV_TERMINATION_LOG
from evolution_api.results import StageSummary
from evolution_jobs.program import TERMINATION_MESSAGE_BYTES, write_last_words


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
