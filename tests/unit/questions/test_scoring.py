"""Scores against VSI-Bench's own expression and by hand."""

import numpy as np
import pytest

from evolution_jobs.questions.scoring import THRESHOLDS, first_number, mean_relative_accuracy, score


def test_the_thresholds_are_those_of_vsi_bench_to_the_last_bit() -> None:
    assert np.array_equal(THRESHOLDS, np.linspace(0.5, 0.95, int((0.95 - 0.5) / 0.05 + 2)))


def test_mean_relative_accuracy_is_the_official_expression() -> None:
    conditions = np.linspace(0.5, 0.95, int((0.95 - 0.5) / 0.05 + 2))
    for said in np.linspace(0, 220, 441):  # the borders themselves, 105 against 100, are among them
        official = (abs(said - 100) / 100 <= 1 - conditions).mean()
        assert mean_relative_accuracy(100, said) == pytest.approx(official, abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "said", "expected"),
    [(2.0, 2.0, 1.0), (2.0, 3.0, 0.1), (2.0, 3.1, 0.0), (2.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (100, 78, 0.6)],
)
def test_mean_relative_accuracy_by_hand(truth: float, said: float, expected: float) -> None:
    assert mean_relative_accuracy(truth, said) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3.5", 3.5),
        ("about 1,200 cm.", 1200.0),
        ("-2 m", -2.0),
        (".5", 0.5),
        ("It is 3.", 3.0),
        ("2e1", 20.0),
        ("1e999 then 4", 4.0),
        ("none", None),
        ("", None),
    ],
)
def test_the_first_number_of_a_reply_is_read(text: str, number: float | None) -> None:
    assert first_number(text) == number


@pytest.mark.parametrize(
    ("answer_type", "truth", "said", "options", "expected"),
    [
        pytest.param("count", "4", "There are 4 chairs.", (), 1.0, id="count within a sentence"),
        pytest.param("count", "4", "4.0", (), 1.0, id="count as decimal"),
        pytest.param("count", "4", "5", (), 0.0, id="wrong count"),
        pytest.param("count", "4", "many", (), 0.0, id="no number"),
        pytest.param("number", "2.0", "2.1 m", (), 1.0, id="number within five percent"),
        pytest.param("number", "2.0", "no idea", (), 0.0, id="number unread"),
        pytest.param("yesno", "yes", "Yes, there is.", (), 1.0, id="yes in a sentence"),
        pytest.param("yesno", "no", "yes", (), 0.0, id="wrong yes"),
        pytest.param("choice", "trash bin", "Trash bin.", ("trash bin", "bed"), 1.0, id="choice in other spelling"),
        pytest.param("choice", "left", "left, of course", ("left", "right"), 1.0, id="choice with more words"),
        pytest.param("choice", "back", "back-left", ("back", "back-left"), 0.0, id="one option begins another"),
        pytest.param("choice", "bed, table", "bed, table", ("bed, table", "table, bed"), 1.0, id="order"),
        pytest.param("choice", "left", "", ("left", "right"), 0.0, id="nothing said"),
    ],
)
def test_scores_by_answer_type(answer_type: str, truth: str, said: str, options: tuple[str, ...], expected: float) -> None:
    assert score(answer_type, truth, said, options) == expected  # type: ignore[arg-type]
