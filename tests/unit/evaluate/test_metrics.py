"""Aggregation by hand: per kind, macro over kinds, seeing paired by question."""

import pytest

from evolution_api.kinds import Kind
from evolution_api.results import Answered
from evolution_jobs.evaluate.metrics import asked, measure, missing


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
    found = measure(ROWS, "base", seed=0)
    assert found.parts == ("object_abs_distance", "object_existence")
    existence = found.of("object_existence")
    assert {figure.questions for figure in existence.values()} == {3}
    assert {name: figure.mean for name, figure in existence.items()} == {
        "score": pytest.approx(2 / 3),
        "elsewhere": pytest.approx(1 / 3),
        "blind": 0,
        "seeing": pytest.approx(1 / 3),
    }


def test_the_macro_average_weighs_kinds_alike() -> None:
    macro = measure(ROWS, "base", seed=0).of()
    assert {figure.questions for figure in macro.values()} == {4}
    assert {name: figure.mean for name, figure in macro.items()} == {
        "score": pytest.approx((2 / 3 + 0.4) / 2),
        "elsewhere": pytest.approx((1 / 3 + 0.5) / 2),
        "blind": pytest.approx(0.5),
        "seeing": pytest.approx((1 / 3 - 0.1) / 2),
    }


def test_seeing_is_paired_so_that_what_both_share_is_no_uncertainty() -> None:
    """Scores differ wildly between scenes, but the frames add 0.1 to each: the interval of seeing has no width."""
    rows = [row("object_existence", f"s{i}", 0.1 + 0.08 * i, 0.08 * i, 0) for i in range(10)]
    score, seeing = (measure(rows, "base", seed=0).figures[name] for name in ("score", "seeing"))
    assert score.high - score.low > 0.2
    assert (seeing.low, seeing.high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_the_gain_is_paired_with_the_base_model_question_by_question() -> None:
    """Every question gained 0.2 of seeing, however hard it was: the interval of the gain has no width, that of seeing has."""
    base = [row("object_existence", f"s{i}", 0.1 + 0.05 * i, 0.1, 0) for i in range(10)]
    rows = [row("object_existence", f"s{i}", 0.3 + 0.05 * i, 0.1, 0) for i in range(10)]
    found = measure(rows, "1", seed=0, base=base[::-1]).figures
    seeing, gain = found["seeing"], found["gain"]
    assert seeing.high - seeing.low > 0.1
    assert (gain.low, gain.mean, gain.high) == tuple(pytest.approx(0.2) for _ in range(3))


def test_the_base_model_itself_has_no_gain() -> None:
    assert not [name for name in measure(ROWS, "base", seed=0).figures if "gain" in name]


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert measure(ROWS, "base", seed=3) == measure(ROWS, "base", seed=3)


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert measure(ROWS[::-1], "base", seed=0) == measure(ROWS, "base", seed=0)


def test_nothing_answered_is_no_score_of_zero() -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        measure([], "base", seed=0)


def test_a_kind_with_fewer_questions_than_asked_says_so() -> None:
    assert asked(ROWS) == {"object_existence": 3, "object_abs_distance": 1}
    kinds: list[Kind] = ["object_existence", "object_abs_distance", "camera_motion"]
    assert missing(ROWS, kinds, wanted=3) == {"object_abs_distance": 2, "camera_motion": 3}
