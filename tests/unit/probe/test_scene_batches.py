"""Grouping by the frames shown: nothing is lost, nothing is asked twice, and a prefix serves its own and its borrowers."""

import pytest

from evolution_api.question import Question
from evolution_jobs import scene_batches
from evolution_jobs.scene_batches import Asked, SceneBatch, everything


def of(scene: str) -> Question:
    return Question(
        kind="object_existence",
        text="is there a lamp ?",
        answer_type="yesno",
        program="True",
        id="q",
        scene=scene,
        answer="yes",
        round=1,
        proposer="grammar",
    )


def test_a_scene_s_frames_stand_before_its_own_questions_and_its_borrower_s() -> None:
    questions = [of("a"), of("b"), of("a")]
    assert scene_batches.batches_by_scene(everything(questions, elsewhere_too=True), questions, ["a", "b"]) == [
        SceneBatch("a", (Asked(0, True), Asked(2, True), Asked(1, False))),
        SceneBatch("b", (Asked(1, True), Asked(0, False), Asked(2, False))),
    ]


def test_without_elsewhere_every_question_is_asked_once() -> None:
    questions = [of("a"), of("b")]
    assert scene_batches.batches_by_scene(everything(questions, elsewhere_too=False), questions, ["a", "b"]) == [
        SceneBatch("a", (Asked(0, True),)),
        SceneBatch("b", (Asked(1, True),)),
    ]


def test_more_questions_than_a_prefix_takes_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_batches, "MAX_QUESTIONS", 2)
    questions = [of("a")] * 5
    groups = scene_batches.batches_by_scene(everything(questions, elsewhere_too=False), questions, ["a"])
    assert [[a.question for a in group.asked] for group in groups] == [[0, 1], [2, 3], [4]]
