"""Summaries become figures."""

import pytest
from tests.summaries import LAYOUT, figure, scored, stage_summary, trained

from evolution_api.figures import MOST_IN_STATUS
from evolution_api.kinds import StageName
from evolution_api.run.status import RoundStatus
from evolution_api.summaries import MOST, GenerateSummary, ProbeSummary, Summary, TrainSummary
from evolution_operator.lifecycle.records import recorded, together

ROUND = RoundStatus(round=3)


def after(stage: StageName, *said: Summary, record: RoundStatus = ROUND) -> RoundStatus:
    return recorded(record, stage, together(stage, said), 2.04)


def test_confidences_are_weighted_by_the_questions_behind_them() -> None:
    record = after(
        "probe",
        ProbeSummary(probed=10, labels={"frontier": 4}, mean_confidence=0.2),
        ProbeSummary(probed=30, labels={"easy": 2}, mean_confidence=0.6),
        ProbeSummary(probed=0, labels={}),
    )
    assert record.mean_confidence == 0.5
    assert (record.easy, record.frontier, record.hard) == (2, 4, 0)
    assert record.seconds == {"probe": 2.0}


def test_training_labels_where_nothing_probed_before_it() -> None:
    said = trained(1.25).model_copy(update={"labels": {"easy": 1, "hard": 2}, "mean_confidence": 0.4})
    record = after("train", said)
    assert (record.easy, record.hard, record.mean_confidence, record.train_loss) == (1, 2, 0.4, 1.25)


def test_training_leaves_the_probes_figures_alone() -> None:
    probed = after("probe", ProbeSummary(probed=1, labels={"hard": 1}, mean_confidence=0.1))
    record = after("train", trained(2.0), record=probed)
    assert (record.hard, record.mean_confidence) == (1, 0.1)


def test_the_checkpoint_is_where_the_layout_says() -> None:
    assert after("train", trained()).checkpoint == "rounds/0003/train/checkpoint"
    assert after("generate", stage_summary("generate")).checkpoint is None


def test_counts_of_all_shards_are_added_up_and_no_sum_is_beyond_belief() -> None:
    two = after("generate", *[stage_summary("generate")] * 2)
    assert (two.proposed, two.accepted, two.rejected) == (20, 12, {"blind": 6, "duplicate": 2})
    huge = GenerateSummary(scenes=1, proposed=MOST, executed=MOST, accepted=MOST, rejected={"blind": MOST})
    record = after("generate", huge, huge)
    assert (record.accepted, record.rejected) == (MOST, {"blind": MOST})


@pytest.mark.parametrize("said", [[], [stage_summary("evaluate")]], ids=["nothing", "of another stage"])
def test_who_does_not_speak_of_the_stage_is_not_heard(said: list[Summary]) -> None:
    record = after("generate", *said)
    assert record.model_copy(update={"seconds": {}}) == ROUND


def test_a_stage_that_is_recorded_again_replaces_its_figures() -> None:
    once = after("generate", stage_summary("generate"))
    assert after("generate", stage_summary("generate"), record=once).accepted == 6
    assert after("evaluate", scored(score=0.5), record=after("evaluate", scored(score=0.4))).figures == {"score": figure(0.5)}


def test_the_figures_of_several_scoring_stages_stand_beside_each_other_while_there_is_room() -> None:
    first = after("evaluate", scored(score=0.4, seeing=0.1))
    both = after("evaluate", scored(suite=0.7), record=first)
    assert list(both.figures) == ["score", "seeing", "suite"]
    many = scored(**{f"figure{i}": 0.5 for i in range(MOST_IN_STATUS)})
    full = after("evaluate", many, record=both)
    assert len(full.figures) == MOST_IN_STATUS
    assert list(full.figures)[:3] == ["score", "seeing", "suite"]


def test_what_people_read_is_rounded() -> None:
    record = after("evaluate", scored(score=1 / 3))
    assert record.figures["score"].model_dump() == {"mean": 0.3333, "low": 0.3133, "high": 0.3533, "questions": 100}
    long = TrainSummary(steps=1, questions=1, passes=1, selected=1, tokens=1, layout=LAYOUT, train_loss=2 / 3)
    assert after("train", long).train_loss == 0.6667
