"""The fixed held-out questions."""

from collections import Counter

import pytest

from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.scene import Scene
from evolution_jobs.questions.heldout import heldout_questions
from evolution_jobs.scenes.render import make_scene

SPEC = EvolutionRunSpec.model_validate(
    {
        "model": {"uri": "file:///model"},
        "scenes": {"procedural": {}},
        "storage": {"uri": "file:///store"},
        "evaluation": {"heldout": {"scenes": 16, "questionsPerKind": 24}},
    }
)


@pytest.fixture(scope="module")
def rooms() -> list[Scene]:
    return [make_scene(seed, frames=8, width=32, height=32)[0] for seed in range(16)]


def test_held_out_questions_are_even_over_kinds_scenes_levels_and_answers(rooms: list[Scene]) -> None:
    questions = heldout_questions(rooms, SPEC, seed=1)
    assert len({q.id for q in questions}) == len(questions)
    assert {q.round for q in questions} == {0}
    by_kind = Counter(q.kind for q in questions)
    assert set(by_kind) == set(SPEC.generation.kinds)
    assert max(by_kind.values()) == 24
    assert by_kind["room_size_estimation"] <= 16, "a room is asked its size once"
    for kind in ("object_existence", "camera_motion", "object_visibility", "object_size_estimation"):
        assert by_kind[kind] == 24, kind
        scenes = Counter(q.scene for q in questions if q.kind == kind)
        assert max(scenes.values()) <= 4, (kind, scenes)
    assert Counter(q.answer for q in questions if q.kind == "object_existence") == {"yes": 12, "no": 12}
    levels = Counter(q.level for q in questions if q.kind == "camera_motion")
    assert set(levels) == {0, 1, 2, 3}
    assert max(levels.values()) - min(levels.values()) <= 2
    counts = Counter(q.answer for q in questions if q.kind == "object_counting")
    assert max(counts.values()) <= 0.6 * 24


def test_held_out_questions_follow_from_the_seed(rooms: list[Scene]) -> None:
    first, again, other = (heldout_questions(rooms, SPEC, seed) for seed in (1, 1, 2))
    assert first == again
    assert [q.id for q in first] != [q.id for q in other]


def test_scenes_that_can_be_asked_little_end_in_fewer_questions() -> None:
    empty = Scene(id="empty", source="test", room_size_m2=12.0, objects=(), frames=())
    assert [q.kind for q in heldout_questions([empty], SPEC, seed=1)] == ["room_size_estimation"]
    assert heldout_questions([], SPEC, seed=1) == []
