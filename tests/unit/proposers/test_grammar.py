"""The grammar proposer over one small room: how many, of what, and that it ends."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from evolution_api.kinds import KINDS, Kind
from evolution_api.question import Proposal, Question, Rejection
from evolution_api.run.generation import Filters
from evolution_api.scene import Scene
from evolution_jobs.proposers.feedback import Cell, Tally, static_mix
from evolution_jobs.proposers.grammar import TRIES_PER_CELL, GrammarProposer, fill, spread
from evolution_jobs.proposers.proposer import SceneTask
from evolution_jobs.questions.check import check
from evolution_jobs.questions.kinds import kind as kind_module
from evolution_jobs.questions.sandbox import Sandbox

MakeTask = Callable[..., SceneTask]


@pytest.fixture
def make_task(room: Scene) -> MakeTask:
    sandbox = Sandbox()

    def make(wanted: int, *, seed: int = 0, shard: dict[Cell, Tally] | None = None, judge: Any = None) -> SceneTask:
        known: set[str] = set()

        def by_the_book(proposal: Proposal) -> Question | Rejection:
            result = check(
                proposal,
                room,
                sandbox=sandbox,
                filters=Filters(drop_blind=False),
                round_=1,
                proposer="grammar",
                accepted_ids=known,
            )
            if isinstance(result, Question):
                known.add(result.id)
            return result

        return SceneTask(
            scene=room,
            images=(),
            wanted=wanted,
            last=(),
            shard=shard or {},
            rng=random.Random(seed),
            round=1,
            proposer="grammar",
            judge=judge or by_the_book,
            known=known,
        )

    return make


def refuse(proposal: Proposal) -> Rejection:
    return Rejection(
        scene="room-1",
        kind=proposal.kind,
        text=proposal.text,
        program=proposal.program,
        reason="too_close",
        detail="",
        round=1,
        proposer="grammar",
    )


def ask(task: SceneTask, *, feedback: bool = True, kinds: tuple[Kind, ...] = KINDS) -> SceneTask:
    asyncio.run(GrammarProposer(kinds, feedback=feedback).ask(task))
    return task


def test_a_room_that_can_carry_the_wanted_number_gets_it(make_task: MakeTask) -> None:
    task = ask(make_task(15))
    assert len(task.accepted) == 15
    assert len({q.id for q in task.accepted}) == 15
    assert len({q.kind for q in task.accepted}) >= 6
    assert not [r for r in task.rejected if r.reason == "duplicate"]


def test_the_same_seed_asks_the_same_and_another_seed_something_else(make_task: MakeTask) -> None:
    first, again, other = (ask(make_task(10, seed=seed)).accepted for seed in (1, 1, 2))
    assert first == again
    assert [q.id for q in first] != [q.id for q in other]


def test_a_room_that_cannot_carry_it_gets_what_there_is(make_task: MakeTask) -> None:
    task = ask(make_task(15), kinds=("room_size_estimation", "object_counting"))
    assert Counter(q.kind for q in task.accepted) == {"room_size_estimation": 1, "object_counting": 3}


def test_asking_ends_where_everything_is_refused(make_task: MakeTask) -> None:
    task = ask(make_task(15, judge=refuse))
    assert task.accepted == []
    cells = sum(kind_module(kind).LEVELS for kind in KINDS)
    assert 0 < task.proposed <= TRIES_PER_CELL * cells


def test_a_spent_level_gives_its_place_to_the_nearest_of_its_kind(make_task: MakeTask) -> None:
    # The room has one table, one bed and two chairs: nothing of level 3 (five and more), and level 1 is nearer than level 0.
    task = make_task(1)
    tries_left: dict[Cell, int] = {("object_counting", level): TRIES_PER_CELL for level in (0, 1, 3)}
    fill(task, ("object_counting", 3), tries_left)
    assert [(q.level, q.answer) for q in task.accepted] == [(1, "2")]
    assert set(tries_left) == {("object_counting", 0), ("object_counting", 1)}


def test_where_the_whole_kind_is_spent_nothing_is_asked(make_task: MakeTask) -> None:
    task = make_task(1)
    fill(task, ("room_size_estimation", 0), {("object_counting", 0): 8})
    assert (task.accepted, task.proposed) == ([], 0)


def test_labels_steer_only_with_feedback(make_task: MakeTask) -> None:
    kinds: tuple[Kind, ...] = ("object_existence", "object_visibility", "object_counting")
    shard = {(kind, level): Tally(easy=50) for kind in kinds[:2] for level in range(kind_module(kind).LEVELS)}
    shard |= {("object_counting", level): Tally(frontier=50) for level in range(kind_module("object_counting").LEVELS)}

    def asked(labels: dict[Cell, Tally], *, feedback: bool) -> Counter[str]:
        tasks = [ask(make_task(2, seed=seed, shard=labels), feedback=feedback, kinds=kinds) for seed in range(20)]
        return Counter(q.kind for task in tasks for q in task.accepted)

    steered, static = asked(shard, feedback=True), asked(shard, feedback=False)
    assert steered["object_counting"] > 1.5 * static["object_counting"]
    assert static == asked({}, feedback=True)


MIX: dict[Cell, float] = {("object_counting", 0): 0.5, ("object_counting", 1): 0.3, ("room_size_estimation", 0): 0.2}


def test_draws_are_as_even_as_chance_allows() -> None:
    for seed in range(50):
        drawn = Counter(spread(MIX, 10, random.Random(seed)))
        assert drawn.total() == 10
        assert all(abs(drawn[cell] - 10 * share) <= 1 for cell, share in MIX.items())


def test_a_cell_too_small_for_a_draw_of_its_own_comes_up_by_its_share() -> None:
    kinds = [(kind, 0) for kind in KINDS]
    mix = static_mix(kinds)
    drawn = Counter(cell for seed in range(1300) for cell in spread(mix, 1, random.Random(seed)))
    assert all(60 <= drawn[cell] <= 145 for cell in kinds)  # 100 each on average
