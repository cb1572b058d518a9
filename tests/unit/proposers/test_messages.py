"""The prompts byte for byte. After a wanted change: UPDATE_SNAPSHOTS=1 pytest tests/unit/proposers, and look at the diff."""

import json
import os
from pathlib import Path

import pytest

from evolution_api.kinds import Reason
from evolution_api.question import Proposal, Question, Rejection
from evolution_api.scene import Scene
from evolution_jobs.proposers import messages
from evolution_jobs.proposers.feedback import Tally
from evolution_jobs.proposers.messages import geometry_text, propose_text, scene_text, second_look_text
from evolution_jobs.proposers.proposer import Recalled
from evolution_jobs.proposers.replies import read_proposals
from evolution_jobs.questions.geometry import FUNCTIONS

SNAPSHOTS = Path(__file__).parent / "snapshots"


def same_as_snapshot(text: str, name: str) -> None:
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name} changed; if that was meant, update it with UPDATE_SNAPSHOTS=1"


def chairs(answer: str = "2") -> Question:
    return Question(
        kind="object_counting",
        text="How many chairs are in this room?",
        answer_type="count",
        program="count('chair')",
        labels=("chair",),
        level=1,
        id="0" * 16,
        scene="room-1",
        answer=answer,
        round=1,
        proposer="m",
    )


def farther() -> Question:
    return Question(
        kind="object_rel_distance",
        text="Which is closer to the bed?",
        answer_type="choice",
        options=("table", "chair"),
        program="'table'",
        labels=("bed", "table", "chair"),
        id="1" * 16,
        scene="room-1",
        answer="table",
        round=1,
        proposer="m",
    )


def dropped(reason: Reason) -> Rejection:
    return Rejection(
        scene="room-1", kind="x", text="How many\nlamps?", program="", reason=reason, detail="", round=1, proposer="m"
    )


def test_the_first_prompt_of_a_scene(room: Scene) -> None:
    kinds = ("object_counting", "object_rel_distance")
    same_as_snapshot(propose_text(room, kinds, wanted=5, last=(), shard={}, so_far=()), "propose_first")


def test_a_prompt_with_feedback_and_what_was_asked_before(room: Scene) -> None:
    text = propose_text(
        room,
        ("object_counting", "room_size_estimation"),
        wanted=2,
        last=(Recalled(chairs(), "easy"), Recalled(farther(), "frontier"), Recalled(chairs("3"), None)),
        shard={("object_counting", 1): Tally(3, 2, 1), ("object_counting", 0): Tally(easy=4)},
        so_far=(chairs(), dropped("missing_object")),
    )
    same_as_snapshot(text, "propose_with_feedback")


def test_the_prompt_of_the_second_look(room: Scene) -> None:
    same_as_snapshot(second_look_text(room, (chairs(), farther())), "second_look")


def test_what_a_scene_lacks_is_called_unknown(room: Scene) -> None:
    frames = tuple(f.model_copy(update={"pose": None, "visible": None}) for f in room.frames)
    bare = room.model_copy(update={"frames": frames, "room_size_m2": None, "counts": None})
    text = scene_text(bare)
    assert "Floor area" not in text
    assert "Objects by label" not in text
    assert "- 1: 0.0 s; unknown; unknown" in text


def test_every_function_that_programs_can_call_is_told() -> None:
    for name in FUNCTIONS:
        assert f"- {name}(" in geometry_text()
    assert "self" not in geometry_text()


def test_the_example_in_the_prompt_is_a_proposal() -> None:
    template = messages._template("propose").template
    (example,) = [line for line in template.splitlines() if line.startswith('{"questions"')]
    (proposal,) = read_proposals(example, ["object_abs_distance"])
    assert isinstance(proposal, Proposal)
    assert proposal.model_dump(mode="json") == json.loads(example)["questions"][0]


@pytest.mark.parametrize("text", ["costs $5", "$scene", "${wanted}"])
def test_a_dollar_in_the_scene_is_only_a_dollar(room: Scene, text: str) -> None:
    recalled = Recalled(chairs().model_copy(update={"text": text}), "hard")
    prompt = propose_text(room, ["object_counting"], wanted=1, last=[recalled], shard={}, so_far=())
    assert f"level 1: {text} Answer: 2" in prompt
