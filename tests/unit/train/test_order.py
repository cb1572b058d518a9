"""The order of training: batches of exactly the size, scenes together, every question once a pass, the same for the same seed."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution_api.question import Question
from evolution_jobs.train.order import Batch, Slice, batches, passes, spread


def question(scene: int, number: int) -> Question:
    return Question(
        kind="object_counting",
        text="How many chairs are there?",
        answer_type="count",
        program="1",
        id=f"{scene}-{number}",
        scene=f"scene-{scene}",
        answer="1",
        round=1,
        proposer="grammar",
    )


def asked(*per_scene: int) -> list[Question]:
    return [question(scene, number) for scene, count in enumerate(per_scene) for number in range(count)]


def ids(batch: Batch) -> list[str]:
    return [q.id for slice_ in batch for q in slice_.questions]


def first(count: int, questions: list[Question], size: int, seed: int = 0, round_: int = 1) -> list[Batch]:
    return list(itertools.islice(batches(questions, seed=seed, round_=round_, size=size), count))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 20))
def test_batches_have_exactly_the_size_and_a_pass_takes_every_question_once(per_scene: list[int], size: int) -> None:
    questions = asked(*per_scene)
    made = first(len(questions), questions, size)  # `size` whole passes
    assert {len(ids(batch)) for batch in made} == {size}
    flat = [i for batch in made for i in ids(batch)]
    for start in range(0, len(flat), len(questions)):
        assert sorted(flat[start : start + len(questions)]) == sorted(q.id for q in questions)


def test_a_slice_is_of_one_scene_and_only_one_that_does_not_fit_is_cut() -> None:
    (batch_1, batch_2) = first(2, asked(3, 3, 3), 5)
    assert [len(s.questions) for s in batch_1] == [3, 2]
    assert [len(s.questions) for s in batch_2][:2] == [1, 3]
    assert batch_1[1].scene == batch_2[0].scene
    for slice_ in batch_1 + batch_2:
        assert {q.scene for q in slice_.questions} == {slice_.scene}


def test_the_order_follows_from_seed_and_round_and_passes_differ() -> None:
    questions = asked(*[4] * 10)
    assert first(5, questions, 8) == first(5, questions, 8)
    assert first(5, questions, 8) != first(5, questions, 8, seed=1)
    assert first(5, questions, 8) != first(5, questions, 8, round_=2)
    once, again = first(2, questions, 40)
    assert ids(once) != ids(again)


def test_no_questions_are_an_error() -> None:
    with pytest.raises(ValueError, match="no questions"):
        first(1, [], 8)


@pytest.mark.parametrize(
    ("questions", "size", "steps", "expected"),
    [
        pytest.param(100, 10, 5, 1, id="half of them"),
        pytest.param(100, 10, 10, 1, id="all of them"),
        pytest.param(100, 10, 11, 2, id="a second pass begins"),
        pytest.param(3, 64, 2, 43, id="far fewer than a batch"),
    ],
)
def test_passes_are_counted_where_they_begin(questions: int, size: int, steps: int, expected: int) -> None:
    assert passes(questions, size=size, steps=steps) == expected


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 4))
def test_spreading_loses_nothing_and_leaves_no_process_idle(per_scene: list[int], processes: int) -> None:
    questions = asked(*per_scene)
    if len(questions) < processes:
        return
    (batch,) = first(1, questions, len(questions))
    shares = spread(batch, processes)
    assert len(shares) == processes
    assert all(shares)
    assert Counter(q.id for share in shares for s in share for q in s.questions) == Counter(q.id for q in questions)


def test_work_is_balanced_by_its_cost() -> None:
    batch = tuple(Slice(f"scene-{i}", tuple(asked(*[n]))) for i, n in enumerate((15, 15, 15, 15, 4)))
    costs = sorted(sum(s.cost for s in share) for share in spread(batch, 2))
    assert costs == [46, 58]


def test_one_scene_is_halved_for_two_processes() -> None:
    (batch,) = first(1, asked(7), 7)
    assert [[len(s.questions) for s in share] for share in spread(batch, 2)] == [[4], [3]]
