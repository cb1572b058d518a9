"""The two difficulty rules, with every number worked out by hand."""

import pytest

from evolution_api.question import Question
from evolution_api.run.difficulty import Difficulty
from evolution_jobs.difficulty import paper, seeing
from evolution_jobs.difficulty.rule import label
from evolution_jobs.questions.blind import chance


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        pytest.param(1.0, "easy", id="certain"),
        pytest.param(0.9001, "easy", id="just-above-the-upper-threshold"),
        pytest.param(0.9, "frontier", id="on-the-upper-threshold"),
        pytest.param(0.5, "frontier", id="a-coin"),
        pytest.param(0.1, "frontier", id="on-the-lower-threshold"),
        pytest.param(0.0999, "hard", id="just-below-the-lower-threshold"),
        pytest.param(0.0, "hard", id="never"),
    ],
)
def test_the_paper_labels_by_confidence_alone(p: float, expected: str) -> None:
    assert paper.label(p, easy_above=0.9, hard_below=0.1) == expected


@pytest.mark.parametrize(
    ("p", "p_elsewhere", "chance", "expected"),
    [
        pytest.param(0.75, 0.5, 0.5, 0.5, id="half-of-what-a-coin-leaves"),
        pytest.param(0.75, 0.2, 0.5, 0.5, id="a-prior-below-chance-counts-as-chance"),
        pytest.param(0.8, 0.6, 0.25, 0.5, id="a-prior-above-chance-counts"),
        pytest.param(0.4, 0.0, 0.0, 0.4, id="nothing-known-without-looking"),
        pytest.param(0.25, 0.5, 0.25, -0.5, id="looking-misleads"),
        pytest.param(1.0, 1.0, 0.5, 0.0, id="certain-without-looking"),
    ],
)
def test_what_looking_adds_is_measured_against_the_room_above_prior_and_chance(
    p: float, p_elsewhere: float, chance: float, expected: float
) -> None:
    assert seeing.seen(p, p_elsewhere, chance) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("p", "p_elsewhere", "chance", "expected"),
    [
        pytest.param(0.5, 0.5, 0.5, "hard", id="a-two-way-guess-is-no-frontier"),
        pytest.param(0.54, 0.5, 0.5, "hard", id="looking-adds-8-percent-of-the-room"),
        pytest.param(0.56, 0.5, 0.5, "frontier", id="looking-adds-12-percent-of-the-room"),
        pytest.param(0.62, 0.62, 0.0, "hard", id="a-prior-such-as-the-count-2"),
        pytest.param(0.95, 0.5, 0.5, "easy", id="seen-and-certain"),
        pytest.param(0.95, 0.95, 0.5, "easy", id="certain-without-looking-leaves-nothing-to-learn"),
        pytest.param(0.9, 1.0, 0.5, "hard", id="more-certain-elsewhere"),
        pytest.param(0.09, 0.0, 0.0, "hard", id="without-prior-the-papers-lower-threshold-below"),
        pytest.param(0.11, 0.0, 0.0, "frontier", id="without-prior-the-papers-lower-threshold-above"),
    ],
)
def test_frontier_is_where_looking_already_adds_something(p: float, p_elsewhere: float, chance: float, expected: str) -> None:
    assert seeing.label(p, p_elsewhere, chance, easy_above=0.9, hard_below=0.1) == expected


def test_where_looking_adds_nothing_no_threshold_makes_a_frontier() -> None:
    assert seeing.label(0.5, 0.5, 0.5, easy_above=0.9, hard_below=0.0) == "hard"


def two_way_question() -> Question:
    return Question(
        id="0" * 16,
        scene="room",
        kind="object_existence",
        text="Is there a chair in the room?",
        answer_type="yesno",
        program="True",
        answer="yes",
        round=1,
        proposer="grammar",
    )


def test_the_runs_rule_decides_on_the_same_question() -> None:
    question = two_way_question()
    assert chance(question) == 0.5
    assert label(Difficulty(rule="paper"), question, 0.5, None) == "frontier"
    assert label(Difficulty(rule="seeing"), question, 0.5, 0.4) == "hard"
    assert label(Difficulty(rule="seeing", easy_above=0.7), question, 0.75, 0.4) == "easy"


def test_the_seeing_rule_refuses_a_question_that_was_probed_once() -> None:
    with pytest.raises(ValueError, match="probe it a second time"):
        label(Difficulty(rule="seeing"), two_way_question(), 0.5, None)
