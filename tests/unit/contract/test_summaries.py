"""Whatever a stage did, its last words fit into a termination message, and a run's status into an object of the API server."""

from datetime import UTC, datetime

import pytest
from tests.summaries import stage_summary

from evolution_api.endings import LAST_WORDS_BYTES, LastWords
from evolution_api.figures import MOST_IN_STATUS, Figure, Figures
from evolution_api.kinds import KINDS, LABELS, REASONS
from evolution_api.results import Manifest
from evolution_api.run.status import Best, EvolutionRunStatus, RoundStatus
from evolution_api.stages import STAGES, Stage
from evolution_api.summaries import (
    MOST,
    AnySummary,
    GenerateSummary,
    PrepareSummary,
    ProbeSummary,
    ProposerUsage,
    ScoreSummary,
)

NAME = "evaluation.object_rel_direction_medium"
LONG = Figure(mean=-0.1234, low=-0.1234, high=-0.1234, questions=1_300_000)
USED = dict.fromkeys(ProposerUsage.model_fields, MOST)
LONGEST: list[AnySummary] = [
    PrepareSummary(train=MOST, heldout=MOST, skipped=MOST, benchmark=MOST, questions=dict.fromkeys(KINDS, MOST)),
    GenerateSummary(
        scenes=MOST,
        skipped_scenes=MOST,
        proposed=MOST,
        executed=MOST,
        accepted=MOST,
        rejected=dict.fromkeys(REASONS, MOST),
        kinds=dict.fromkeys(KINDS, MOST),
        proposer=ProposerUsage(**USED),
    ),
    ProbeSummary(
        probed=MOST,
        labels=dict.fromkeys(LABELS, MOST),
        labels_by_kind={kind: dict.fromkeys(LABELS, MOST) for kind in KINDS},
        mean_confidence=1 / 3,
        mean_confidence_elsewhere=1 / 3,
    ),
    ScoreSummary(
        questions=dict.fromkeys(KINDS, 100_000),
        missing=dict.fromkeys(KINDS, 100_000),
        figures={f"{NAME[:-2]}{i:02}": LONG for i in range(MOST_IN_STATUS)},
    ),
]


@pytest.mark.parametrize("summary", LONGEST, ids=lambda summary: summary.type)
def test_the_longest_words_of_a_stage_fit(summary: AnySummary) -> None:
    text = LastWords(summary=summary).to_json()
    assert len(text.encode()) <= LAST_WORDS_BYTES
    assert LastWords.model_validate_json(text, strict=True).summary == summary


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_what_a_stage_says_is_read_back_as_what_it_is(stage: Stage) -> None:
    summary = stage_summary(stage.name)
    manifest = Manifest(run_uid="u", stage=stage.name, round=1, files=(), summary=summary)
    again = Manifest.model_validate_json(manifest.model_dump_json())
    assert again == manifest
    assert type(again.summary) is stage.summary


def test_the_status_of_the_longest_run_stays_below_half_a_mebibyte() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    record = RoundStatus(
        round=100,
        proposed=10**6,
        executed=10**6,
        accepted=10**6,
        rejected=dict.fromkeys(REASONS, 10**6),
        easy=10**6,
        frontier=10**6,
        hard=10**6,
        mean_confidence=0.1234,
        train_loss=0.1234,
        figures={f"{NAME[:-2]}{i:02}": LONG for i in range(MOST_IN_STATUS)},
        checkpoint="rounds/0100/train/checkpoint",
        seconds={stage.name: 100_000.5 for stage in STAGES},
        started=noon,
        finished=noon,
    )
    best = Best(metric=NAME, value=0.1234, round=100, checkpoint="rounds/0100/train/checkpoint")
    status = EvolutionRunStatus(rounds=(record,) * 101, best=best)
    assert len(status.model_dump_json(by_alias=True)) <= 512 * 1024


def test_figures_are_found_by_the_part_that_they_speak_of() -> None:
    found = Figures(checkpoint="x", figures={"score": LONG, "seeing": LONG, "score.a": LONG, "suite.a.b": LONG})
    assert set(found.of()) == {"score", "seeing"}
    assert set(found.of("a")) == {"score"}
    assert found.parts == ("a", "a.b")
