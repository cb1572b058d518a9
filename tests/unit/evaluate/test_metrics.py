"""Aggregation by hand: per kind, macro over kinds, seeing paired by question."""

import pytest

from evolution_api.kinds import Kind
from evolution_api.results import Answered
from evolution_jobs.evaluate.metrics import counts_of, measure, measures_of


def row(kind: Kind, scene: str, score: float, elsewhere: float, blind: float) -> Answered:
    return Answered(
        question=f"{kind}-{scene}",
        scene=scene,
        kind=kind,
        answer_type="yesno",
        truth="yes",
        said="yes",
        said_elsewhere="no",
        score=score,
        score_elsewhere=elsewhere,
        score_blind=blind,
    )


ROWS = [
    # Three of one kind: score 2/3, elsewhere 1/3, blind 0.
    row("object_existence", "a", 1, 1, 0),
    row("object_existence", "a", 1, 0, 0),
    row("object_existence", "b", 0, 0, 0),
    # One of another: score 0.4, elsewhere 0.5, blind 1.
    row("object_abs_distance", "b", 0.4, 0.5, 1),
]


def test_figures_of_a_kind_are_means_over_its_questions() -> None:
    kinds = measure(ROWS, "base", seed=0).kinds
    assert list(kinds) == ["object_abs_distance", "object_existence"]
    existence = kinds["object_existence"]
    assert existence.questions == 3
    assert existence.score.mean == pytest.approx(2 / 3)
    assert existence.elsewhere.mean == pytest.approx(1 / 3)
    assert existence.blind.mean == 0
    assert existence.seeing.mean == pytest.approx(1 / 3)


def test_the_macro_average_weighs_kinds_alike() -> None:
    macro = measure(ROWS, "base", seed=0).macro
    assert macro.questions == 4
    assert macro.score.mean == pytest.approx((2 / 3 + 0.4) / 2)
    assert macro.elsewhere.mean == pytest.approx((1 / 3 + 0.5) / 2)
    assert macro.blind.mean == pytest.approx(0.5)
    assert macro.seeing.mean == pytest.approx((1 / 3 - 0.1) / 2)


def test_seeing_is_paired_so_that_what_both_share_is_no_uncertainty() -> None:
    """Scores differ wildly between scenes, but the frames add 0.1 to each: the interval of seeing has no width."""
    rows = [row("object_existence", f"s{i}", 0.1 + 0.08 * i, 0.08 * i, 0) for i in range(10)]
    metrics = measure(rows, "base", seed=0).macro
    assert metrics.score.high - metrics.score.low > 0.2
    assert (metrics.seeing.low, metrics.seeing.high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_the_gain_is_paired_with_the_base_model_question_by_question() -> None:
    """Every question gained 0.2 of seeing, however hard it was: the interval of the gain has no width, that of seeing has."""
    base = [row("object_existence", f"s{i}", 0.1 + 0.05 * i, 0.1, 0) for i in range(10)]
    rows = [row("object_existence", f"s{i}", 0.3 + 0.05 * i, 0.1, 0) for i in range(10)]
    macro = measure(rows, "1", seed=0, base=base[::-1]).macro
    assert macro.seeing.high - macro.seeing.low > 0.1
    assert macro.gain is not None
    assert (macro.gain.low, macro.gain.mean, macro.gain.high) == tuple(pytest.approx(0.2) for _ in range(3))
    assert measures_of(measure(rows, "1", seed=0, base=base))["gain_low"] == pytest.approx(0.2)


def test_the_base_model_itself_has_no_gain() -> None:
    metrics = measure(ROWS, "base", seed=0)
    assert metrics.macro.gain is None
    assert "gain" not in measures_of(metrics)


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert measure(ROWS, "base", seed=3) == measure(ROWS, "base", seed=3)


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert measure(ROWS[::-1], "base", seed=0) == measure(ROWS, "base", seed=0)


def test_nothing_answered_is_no_score_of_zero() -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        measure([], "base", seed=0)


def test_a_kind_with_fewer_questions_than_asked_says_so() -> None:
    assert counts_of(ROWS, ["object_existence", "object_abs_distance", "camera_motion"], wanted=3) == {
        "questions": 4,
        "questions.object_existence": 3,
        "questions.object_abs_distance": 1,
        "missing.object_abs_distance": 2,
        "missing.camera_motion": 3,
    }


def test_the_planner_reads_macro_figures_with_their_intervals() -> None:
    metrics = measure(ROWS, "base", seed=0)
    measures = measures_of(metrics)
    assert set(measures) == {f + s for f in ("score", "seeing", "elsewhere", "blind") for s in ("", "_low", "_high")}
    assert (measures["seeing"], measures["score_low"]) == (metrics.macro.seeing.mean, metrics.macro.score.low)
