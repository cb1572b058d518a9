"""What the solver is asked and what its replies mean. The prompts are snapshots: a change of one must be seen."""

import pytest

from evolution_api.kinds import AnswerType, Kind
from evolution_api.question import Question
from evolution_jobs.model.prompts import Choices, answer_text, prompt_text, spoken


def question(
    kind: Kind, text: str, answer_type: AnswerType, answer: str, options: tuple[str, ...] = (), unit: str | None = None
) -> Question:
    return Question(
        kind=kind, text=text, answer_type=answer_type, options=options, unit=unit, program="0", id="0" * 16,
        scene="room-1", answer=answer, round=0, proposer="grammar",
    )  # fmt: skip


DIRECTION = question(
    "object_rel_direction_easy", "Is the bed to the left or the right of the sofa?", "choice", "right", ("left", "right")
)
ORDER = question("obj_appearance_order", "What comes first: bed, sofa?", "choice", "sofa, bed", ("bed, sofa", "sofa, bed"))
FRAME = question("object_visibility", "In which frame is the bed?", "choice", "frame 2", ("frame 1", "frame 2"))
COUNT = question("object_counting", "How many chair(s) are in this room?", "count", "3")
AREA = question("room_size_estimation", "What is the size of this room?", "number", "17.5", unit="m2")
EXISTENCE = question("object_existence", "Is there a bed in this room?", "yesno", "yes")


@pytest.mark.parametrize(
    ("asked", "choices", "prompt", "answer"),
    [
        pytest.param(
            DIRECTION,
            "letter",
            "These are frames of a video.\nIs the bed to the left or the right of the sofa?\nOptions:\nA. left\nB. right\n"
            "Answer with the option's letter from the given choices directly.",
            "B",
            id="a choice by letter",
        ),
        pytest.param(
            COUNT,
            "letter",
            "These are frames of a video.\nHow many chair(s) are in this room?\n"
            "Please answer the question using a single word or phrase.",
            "3",
            id="a count beside letters",
        ),
        pytest.param(DIRECTION, "text", DIRECTION.text, "right", id="options that the sentence names are not repeated"),
        pytest.param(FRAME, "text", "In which frame is the bed? frame 1; frame 2", "frame 2", id="other options follow"),
        pytest.param(AREA, "text", AREA.text, "17.5", id="a number is asked as it stands"),
    ],
)
def test_prompts_and_answers(asked: Question, choices: Choices, prompt: str, answer: str) -> None:
    assert prompt_text(asked, choices) == prompt
    assert answer_text(asked, choices) == answer


@pytest.mark.parametrize(
    ("asked", "choices", "reply", "meant"),
    [
        pytest.param(DIRECTION, "letter", "B", "right", id="a bare letter"),
        pytest.param(DIRECTION, "letter", "b.", "right", id="a small letter with a point"),
        pytest.param(DIRECTION, "letter", "(A) left", "left", id="a letter in brackets"),
        pytest.param(DIRECTION, "letter", "B. right", "right", id="letter and words"),
        pytest.param(DIRECTION, "letter", "right", "right", id="words where a letter was wanted"),
        pytest.param(DIRECTION, "letter", "C", "C", id="a letter that is not offered stays what it is"),
        pytest.param(DIRECTION, "text", "Right.", "right", id="words with a capital and a point"),
        pytest.param(DIRECTION, "text", "to the right", "right", id="an option inside a phrase"),
        pytest.param(DIRECTION, "text", "left or right", "left or right", id="two options are no answer"),
        pytest.param(DIRECTION, "text", "b", "b", id="no letters were offered"),
        pytest.param(FRAME, "text", "frame2", "frame 2", id="spaces do not matter"),
        pytest.param(ORDER, "text", "sofa , bed", "sofa, bed", id="an order with loose commas"),
        pytest.param(COUNT, "text", "three", "3", id="a number word"),
        pytest.param(COUNT, "text", "There are 3 chairs.", "3", id="a number inside a sentence"),
        pytest.param(COUNT, "text", "3.0", "3", id="a count is whole"),
        pytest.param(AREA, "text", "about 17.5 square metres", "17.5", id="a decimal"),
        pytest.param(AREA, "text", "no idea", "no idea", id="no number stays what it is"),
        pytest.param(EXISTENCE, "text", "Yes, there is.", "yes", id="yes with more"),
        pytest.param(EXISTENCE, "text", "not sure", "not sure", id="no is a word, not a beginning"),
        pytest.param(EXISTENCE, "text", "", "", id="silence"),
    ],
)  # fmt: skip
def test_what_a_reply_means(asked: Question, choices: Choices, reply: str, meant: str) -> None:
    assert spoken(asked, reply, choices) == meant
