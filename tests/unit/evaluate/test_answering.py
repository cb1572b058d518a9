"""The blind baseline of a question set is the better of two priors, kind by kind."""

import pytest

from evolution_api.kinds import Kind
from evolution_api.question import Question
from evolution_jobs.evaluate.answering import answered, blind_scores


def question(kind: Kind, scene: str, answer: str) -> Question:
    types = {"object_existence": ("yesno", None), "room_size_estimation": ("number", "m2")}
    answer_type, unit = types[kind]
    return Question.model_validate(
        {
            "kind": kind,
            "text": "?",
            "answer_type": answer_type,
            "unit": unit,
            "program": "1",
            "id": f"{kind}-{scene}",
            "scene": scene,
            "answer": answer,
            "round": 0,
            "proposer": "grammar",
        }
    )


def test_other_scenes_teach_the_size_of_rooms() -> None:
    """VSI-Bench's median (17.5 square metres) says nothing of rooms of 40; the other two rooms do."""
    assert blind_scores([question("room_size_estimation", scene, "40.0") for scene in "abc"]) == [1.0, 1.0, 1.0]


def test_a_balanced_set_is_not_scored_below_chance() -> None:
    """Left out one by one, the majority of the others is always wrong; the constant answer is right half the time."""
    rows = [question("object_existence", scene, answer) for scene, answer in zip("abcd", ["yes", "no"] * 2, strict=True)]
    assert sum(blind_scores(rows)) == 2


def test_kinds_choose_their_prior_by_themselves() -> None:
    rooms = [question("room_size_estimation", scene, "40.0") for scene in "abcd"]
    lamps = [question("object_existence", scene, answer) for scene, answer in zip("abcd", ["yes", "no"] * 2, strict=True)]
    assert blind_scores([*rooms, *lamps]) == [1.0] * 4 + [1.0, 0.0] * 2


def test_a_number_is_scored_by_mean_relative_accuracy() -> None:
    """|12.2 - 10| / 10 = 0.22 is within 1 - t for t = 0.50 ... 0.75: 6 of 10 thresholds; elsewhere it said nothing readable."""
    row = answered(question("room_size_estimation", "a", "10.0"), "12.2", "a chair", 0.5)
    assert row.score == pytest.approx(0.6)
    assert (row.score_elsewhere, row.score_blind) == (0.0, 0.5)
