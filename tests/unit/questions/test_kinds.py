"""Every kind proposes sound questions at every level, and only what the scene can be asked; answers by hand."""

import random
import re
from collections import Counter
from collections.abc import Callable
from typing import get_args

import pytest

from evolution_api.kinds import KINDS, Kind
from evolution_api.question import Question, Rejection
from evolution_api.scene import Scene
from evolution_jobs.questions.kinds import kind
from evolution_jobs.scenes.render import make_scene
from evolution_jobs.tiny.vocabulary import WORDS

Checked = Callable[..., Question | Rejection]


@pytest.fixture(scope="module")
def rooms() -> list[Scene]:
    return [make_scene(seed, frames=8, width=32, height=32)[0] for seed in range(24)]


def test_every_kind_of_the_contract_has_its_module() -> None:
    for name in get_args(Kind):
        module = kind(name)
        assert 1 <= module.LEVELS <= 5
        assert "evel" in (module.__doc__ or ""), f"{name} does not say what its levels stand for"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="the kinds are object_counting"):
        kind("direction")


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_proposes_is_accepted(name: Kind, rooms: list[Scene], checked: Checked) -> None:
    asked = 0
    for level in range(kind(name).LEVELS):
        for seed, scene in enumerate(rooms):
            proposal = kind(name).propose(scene, level, random.Random(seed))
            if proposal is None:
                continue
            asked += 1
            assert (proposal.kind, proposal.level) == (name, level)
            result = checked(proposal, scene)
            assert isinstance(result, Question), result
    assert asked >= 12


@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_proposes_the_same(name: Kind, rooms: list[Scene]) -> None:
    for scene in rooms[:6]:
        first, second = (kind(name).propose(scene, 0, random.Random(3)) for _ in range(2))
        assert first == second


@pytest.mark.parametrize("name", KINDS)
def test_a_room_without_frames_and_objects_is_asked_nothing(name: Kind) -> None:
    empty = Scene(id="empty", source="test", objects=(), frames=())
    for level in range(kind(name).LEVELS):
        assert kind(name).propose(empty, level, random.Random(0)) is None


@pytest.mark.parametrize("name", ["obj_appearance_order", "camera_object_distance", "object_visibility", "camera_motion"])
def test_what_needs_frames_is_not_asked_without(name: Kind, bare: Scene) -> None:
    assert kind(name).propose(bare, 0, random.Random(0)) is None


@pytest.mark.parametrize(
    ("name", "level", "answers"),
    [
        ("object_counting", 0, {"1"}),
        ("object_counting", 1, {"2"}),
        ("object_counting", 2, None),
        ("object_size_estimation", 0, {"200", "120"}),
        ("object_size_estimation", 2, None),
        ("room_size_estimation", 0, {"30.2"}),
        ("object_abs_distance", 1, {"2.5", "2.3", "1.7"}),
        ("object_rel_direction_easy", 0, {"left", "right"}),
        ("object_existence", 0, {"yes", "no"}),
        ("object_existence", 1, {"yes", "no"}),
        ("object_visibility", 2, {"frame 2", "frame 4", "frame 1"}),
        ("camera_motion", 0, {"left", "right"}),
        ("camera_motion", 2, {"left", "right", "not at all"}),
    ],
)
def test_the_room_is_asked_what_a_person_sees_in_it(
    name: Kind, level: int, answers: set[str] | None, room: Scene, checked: Checked
) -> None:
    got = set()
    for seed in range(40):
        proposal = kind(name).propose(room, level, random.Random(seed))
        if proposal is not None:
            question = checked(proposal)
            assert isinstance(question, Question), question
            got.add(question.answer)
    assert got <= answers if answers else not got
    assert bool(got) == bool(answers)


def test_existence_is_yes_as_often_as_no(rooms: list[Scene], checked: Checked) -> None:
    rng = random.Random(0)
    answers = Counter(
        getattr(checked(p, s), "answer", None)
        for s in rooms
        for _ in range(10)
        if (p := kind("object_existence").propose(s, 0, rng)) is not None
    )
    assert set(answers) == {"yes", "no"}
    assert 0.4 < answers["yes"] / answers.total() < 0.6


@pytest.mark.parametrize(
    "name", ["object_rel_distance", "object_rel_direction_hard", "obj_appearance_order", "object_visibility"]
)
def test_the_right_option_stands_at_every_place(name: Kind, rooms: list[Scene], checked: Checked) -> None:
    places: Counter[int] = Counter()
    for scene in rooms:
        for seed in range(8):
            proposal = kind(name).propose(scene, 1, random.Random(seed))
            question = None if proposal is None else checked(proposal, scene)
            if isinstance(question, Question):
                places[question.options.index(question.answer)] += 1
    assert len(places) >= 3
    assert max(places.values()) < 0.55 * places.total()


def test_the_same_question_always_lists_its_options_alike(rooms: list[Scene]) -> None:
    listed: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for scene in rooms:
        for seed in range(20):
            proposal = kind("object_rel_distance").propose(scene, 0, random.Random(seed))
            if proposal is not None:
                listed.setdefault((scene.id, proposal.text), set()).add(proposal.options)
    assert {len(orders) for orders in listed.values()} == {1}


def test_the_tiny_models_tokenizer_knows_every_word(rooms: list[Scene]) -> None:
    said = {
        word
        for name in KINDS
        for level in range(kind(name).LEVELS)
        for scene in rooms
        if (p := kind(name).propose(scene, level, random.Random(0))) is not None
        for word in re.findall(r"[a-z][a-z'-]*", " ".join((p.text, *p.options)).lower())
    }
    assert said <= set(WORDS), sorted(said - set(WORDS))
