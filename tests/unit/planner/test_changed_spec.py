"""What may change while a run lives, and what follows."""

import pytest
from tests.summaries import scored


def scores(world, *figures: float) -> None:
    """Let rounds pass; the n-th evaluation (0: the base model) says the n-th figure for both metrics."""
    for round_, figure in enumerate(figures):
        if world.status.get("phase") == "Succeeded":
            return
        world.pass_all(f"x-r{round_}-evaluate")
        world.succeed(f"x-r{round_}-evaluate", scored(score=figure, seeing=figure))
        world.settle()


def test_more_rounds_re_open_a_finished_run(world):
    world.pass_all()
    assert world.status["phase"] == "Succeeded"
    world.edit(rounds=3)
    world.settle()
    assert (world.status["phase"], world.status["progress"]) == ("Running", "3/3")
    assert world.condition("Succeeded")["status"] == "False"
    assert world.made[-1] == "x-r3-generate"
    world.pass_all()
    assert (world.status["phase"], len(world.status["rounds"])) == ("Succeeded", 4)
    assert [e.reason for e in world.events].count("RunSucceeded") == 2


@pytest.mark.parametrize("rounds", [1, 2])
def test_fewer_rounds_end_the_run_with_the_round_under_way(world_of, rounds):
    world = world_of(rounds=4, evaluation={"every": 4})
    world.pass_all("x-r2-generate")
    world.edit(rounds=rounds)
    world.pass_all()
    assert (world.status["phase"], world.status["progress"]) == ("Succeeded", "2/2")
    assert world.made[-1] == "x-r2-evaluate", "the last round is evaluated whatever `every` says"


def test_fewer_rounds_than_are_done_change_nothing(world):
    world.pass_all()
    world.edit(rounds=1)
    world.settle()
    assert world.status["phase"] == "Succeeded"
    assert world.status["progress"] == "2/2"


def test_more_rounds_after_the_last_training_leave_an_evaluation_that_is_under_way(world_of):
    world = world_of(rounds=1, evaluation={"every": 2})
    world.pass_all("x-r1-evaluate")
    world.edit(rounds=2)
    world.pass_all("x-r2-generate")
    assert world.status["rounds"][1]["figures"]["score"]["mean"] == 0.5


@pytest.mark.parametrize(
    ("figures", "patience", "last"),
    [
        ((0.4, 0.5, 0.6, 0.7), 1, 3),
        ((0.4, 0.5, 0.5, 0.9), 1, 2),
        ((0.4, 0.3, 0.2, 0.9), 2, 2),
        ((0.4, 0.3, 0.5, 0.4), 2, 3),
    ],
    ids=["always rising", "an equal figure is no new best", "never above the base model", "a new best starts the count again"],
)
@pytest.mark.parametrize("metric", ["score", "seeing"])
def test_the_run_stops_early_when_its_figure_stops_rising(world_of, metric, figures, patience, last):
    world = world_of(rounds=3, evaluation={"metric": metric, "stop": {"patience": patience}})
    scores(world, *figures)
    assert (world.status["phase"], world.status["round"]) == ("Succeeded", last)
    early = world.condition("Succeeded")["reason"] == "StoppedEarly"
    assert early == (last < 3)


def test_an_early_stop_says_why_and_more_patience_re_opens_the_run(world_of):
    world = world_of(rounds=4, evaluation={"metric": "score", "stop": {"patience": 1}})
    scores(world, 0.4, 0.5, 0.45)
    assert world.condition("Succeeded")["message"] == (
        "score has not risen above round 1's 0.500 for 1 evaluations (evaluation.stop.patience 1); "
        "raise the patience or remove evaluation.stop to go on"
    )
    world.edit(rounds=5)
    world.settle()
    assert world.status["phase"] == "Succeeded", "the rule still holds"
    world.edit(evaluation={"stop": {"patience": 3}})
    world.settle()
    assert (world.status["phase"], world.made[-1]) == ("Running", "x-r3-generate")


def test_the_status_says_which_generation_it_speaks_of(world):
    world.settle()
    assert world.status["observedGeneration"] == 1
    world.edit(rounds=3)
    world.settle()
    assert world.status["observedGeneration"] == 2
    assert {c["observedGeneration"] for c in world.status["conditions"]} == {2}
    assert world.status["progress"] == "0/3"


def test_a_failed_run_notes_a_new_generation_too(world):
    world.settle()
    world.fail("x-r0-prepare", code=2)
    world.settle()
    world.edit(retry={"limit": 9})
    world.settle()
    assert (world.status["phase"], world.status["observedGeneration"]) == ("Failed", 2)


def test_children_keep_the_spec_that_they_started_with(world):
    world.pass_all("x-r1-generate")
    before = world.children["x-r1-generate"]["spec"]
    world.edit(generation={"parallelism": 1})
    assert world.step().apply == ()
    assert world.children["x-r1-generate"]["spec"] is before


def test_another_metric_chooses_the_best_among_what_was_measured(world_of):
    world = world_of(rounds=3, evaluation={"metric": "score"})
    for round_, (score, seeing) in enumerate([(0.6, 0.0), (0.5, 0.2)]):
        world.pass_all(f"x-r{round_}-evaluate")
        world.succeed(f"x-r{round_}-evaluate", scored(score=score, seeing=seeing))
    world.settle()
    assert world.status["best"] == {"metric": "score", "value": 0.6, "round": 0, "checkpoint": "file:///models/tiny"}
    world.edit(evaluation={"metric": "seeing"})
    world.pass_all("x-r2-evaluate")
    best = {"metric": "seeing", "value": 0.2, "round": 1, "checkpoint": "rounds/0001/train/checkpoint"}
    assert world.status["best"] == best
    world.edit(evaluation={"metric": "seeing.object_counting"})
    world.succeed("x-r2-evaluate", scored(**{"score": 0.4, "seeing": 0.1, "seeing.object_counting": 0.05}))
    world.settle()
    assert (world.status["best"]["value"], world.status["best"]["round"]) == (0.05, 2), "no earlier round measured it"
