"""Summaries become figures."""

import pytest

from evolution_api.results import StageSummary
from evolution_api.run.status import RoundStatus
from evolution_operator.lifecycle.records import recorded

ROUND = RoundStatus(round=3)


def test_confidences_are_weighted_by_the_questions_behind_them():
    shards = [
        StageSummary(counts={"probed": 10, "frontier": 4}, measures={"mean_confidence": 0.2}),
        StageSummary(counts={"probed": 30, "easy": 2}, measures={"mean_confidence": 0.6}),
        StageSummary(counts={"probed": 0}),
    ]
    record = recorded(ROUND, "probe", shards, 2.04)
    assert record.mean_confidence == 0.5
    assert (record.easy, record.frontier, record.hard) == (2, 4, 0)
    assert record.seconds == {"probe": 2.0}


def test_training_labels_where_nothing_probed_before_it():
    said = StageSummary(counts={"easy": 1, "hard": 2}, measures={"mean_confidence": 0.4, "train_loss": 1.25})
    record = recorded(ROUND, "train", [said], 1)
    assert (record.easy, record.hard, record.mean_confidence, record.train_loss) == (1, 2, 0.4, 1.25)


def test_training_leaves_the_probes_figures_alone():
    probed = recorded(ROUND, "probe", [StageSummary(counts={"probed": 1, "hard": 1}, measures={"mean_confidence": 0.1})], 1)
    trained = recorded(probed, "train", [StageSummary(measures={"train_loss": 2.0})], 1)
    assert (trained.hard, trained.mean_confidence) == (1, 0.1)


def test_the_checkpoint_is_where_the_layout_says_and_not_where_a_program_says():
    assert recorded(ROUND, "train", [StageSummary(checkpoint="../../etc")], 1).checkpoint == "rounds/0003/train/checkpoint"


@pytest.mark.parametrize(("count", "kept"), [(-5, 0), (10**30, 2**53)], ids=["below nothing", "beyond belief"])
def test_counts_that_cannot_be_are_bounded(count, kept):
    assert recorded(ROUND, "generate", [StageSummary(counts={"accepted": count})], 1).accepted == kept


def test_reasons_that_nobody_defined_are_left_out():
    said = StageSummary(counts={"rejected.blind": 2, "rejected.<script>": 3, "rejected.duplicate": 0})
    assert recorded(ROUND, "generate", [said], 1).rejected == {"blind": 2}


def test_a_stage_that_is_recorded_again_replaces_its_figures():
    once = recorded(ROUND, "generate", [StageSummary(counts={"accepted": 5})], 1)
    assert recorded(once, "generate", [StageSummary(counts={"accepted": 5})], 1).accepted == 5
