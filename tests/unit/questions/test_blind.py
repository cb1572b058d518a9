"""Answers without looking."""

import pytest

from evolution_api.question import Question
from evolution_jobs.questions.blind import BlindPrior, blind_answer, chance, leave_one_scene_out


def question(kind: str, answer: str, scene: str = "a", **fields: object) -> Question:
    defaults = {"text": "?", "program": "1", "id": f"{scene}{kind}{answer}", "scene": scene, "round": 0, "proposer": "test"}
    return Question(kind=kind, answer=answer, **{**defaults, **fields})


def size(answer: str, label: str = "bed", scene: str = "a") -> Question:
    return question("object_size_estimation", answer, scene, answer_type="number", unit="cm", labels=(label,))


def count(answer: str, scene: str = "a") -> Question:
    return question("object_counting", answer, scene, answer_type="count", labels=("chair",))


def choice(
    answer: str, options: tuple[str, ...], scene: str = "a", kind: str = "object_rel_distance", **fields: object
) -> Question:
    return question(kind, answer, scene, answer_type="choice", options=options, **fields)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        pytest.param(size("1"), "215", id="the label's typical size"),
        pytest.param(size("1", "obelisk"), "90", id="an unknown label"),
        pytest.param(count("9"), "2", id="two of anything"),
        pytest.param(question("room_size_estimation", "9", answer_type="number", unit="m2"), "17.5", id="the median room"),
        pytest.param(question("object_existence", "no", answer_type="yesno"), "yes", id="yes"),
        pytest.param(
            choice("b, a", ("a, b", "b, a"), kind="obj_appearance_order", labels=("a", "b")), "b, a", id="never the listed order"
        ),
    ],
)
def test_the_static_prior(asked: Question, answer: str) -> None:
    assert blind_answer(asked) == answer


def test_a_fitted_prior_answers_with_the_labels_median_and_the_commonest_count() -> None:
    prior = BlindPrior.fit([size("100"), size("200"), size("210"), size("20", "cup"), count("3"), count("3"), count("1")])
    assert blind_answer(size("?"), prior) == "200"
    assert blind_answer(size("?", "cup"), prior) == "20"
    assert blind_answer(size("?", "sofa"), prior) == "150", "the median of the kind where the label is new"
    assert blind_answer(count("?"), prior) == "3"


def test_a_fitted_prior_takes_the_option_that_was_right_most_often_where_offered() -> None:
    prior = BlindPrior.fit([choice("door", ("bed", "door")), choice("door", ("cup", "door")), choice("bed", ("bed", "cup"))])
    assert blind_answer(choice("cup", ("cup", "bed", "door")), prior) == "door"


def test_a_question_is_not_answered_by_its_own_scene() -> None:
    questions = [size("100", scene="a"), size("300", scene="b"), size("300", scene="c")]
    assert leave_one_scene_out(questions) == ["300", "200", "200"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (choice("a", ("a", "b", "c", "d")), 0.25),
        (question("object_existence", "no", answer_type="yesno"), 0.5),
        (count("2"), 0.5),
        (count("17"), 0.01),
        (size("200"), 0.0),
    ],
)
def test_chance_by_form(asked: Question, expected: float) -> None:
    assert chance(asked) == expected
