"""Runs that meet no trouble."""

import pytest

ROUND = ("generate", "probe-server", "probe", "train", "evaluate")


def names(rounds: int) -> list[str]:
    return ["x-r0-prepare", "x-r0-evaluate", *(f"x-r{r}-{stage}" for r in range(1, rounds + 1) for stage in ROUND)]


def test_a_run_goes_through_every_stage_of_every_round_in_order(world):
    world.pass_all()
    assert world.made == names(2)
    assert (world.status["phase"], world.status["progress"]) == ("Succeeded", "2/2")
    assert "stage" not in world.status
    assert world.true_conditions() == ["Succeeded"]


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        ({"difficulty": {"signal": "training"}}, ["generate", "train", "evaluate"] * 2),
        ({"evaluation": {"every": 2}}, ["generate", "probe-server", "probe", "train", *ROUND]),
        ({"evaluation": {"every": 3}}, ["generate", "probe-server", "probe", "train", *ROUND]),
        (
            {"generation": {"proposer": {"serving": {}}}, "difficulty": {"signal": "training"}},
            ["generate-server", "generate", "train", "evaluate"] * 2,
        ),
    ],
    ids=["no probe where training labels", "every second round is evaluated", "the last round always is", "a served proposer"],
)
def test_the_spec_decides_which_stages_a_round_has(world_of, changes, made):
    world = world_of(**changes)
    world.pass_all()
    assert [name.split("-", 2)[2] for name in world.made[2:]] == made


def test_what_the_programs_said_stands_in_the_status(world):
    world.pass_all()
    assert world.status["accepted"] == 24
    assert world.status["frontierPercent"] == 50
    assert world.status["score"] == 0.6
    assert world.status["best"] == {
        "metric": "seeing",
        "value": 0.2,
        "round": 2,
        "checkpoint": "rounds/0002/train/checkpoint",
    }
    base, first, second = world.status["rounds"]
    assert {name: figure["mean"] for name, figure in base["figures"].items()} == {"score": 0.4, "seeing": 0.0, "blind": 0.3}
    assert first["figures"]["score"] == {"mean": 0.5, "low": 0.48, "high": 0.52, "questions": 100}
    assert {key: first[key] for key in ("proposed", "executed", "accepted", "rejected", "easy", "frontier", "hard")} == {
        "proposed": 20,
        "executed": 18,
        "accepted": 12,
        "rejected": {"blind": 6, "duplicate": 2},
        "easy": 2,
        "frontier": 6,
        "hard": 4,
    }
    assert (first["meanConfidence"], first["trainLoss"]) == (0.5, 1.5)
    assert (first["checkpoint"], second["trainLoss"]) == ("rounds/0001/train/checkpoint", 0.75)


def test_the_base_model_is_the_best_until_a_round_beats_it(world):
    world.pass_all("x-r1-generate")
    assert world.status["best"] == {"metric": "seeing", "value": 0.0, "round": 0, "checkpoint": "file:///models/tiny"}


def test_a_stage_is_timed_from_its_start_to_its_childs_end(world):
    world.settle()
    world.wait(30)
    world.succeed("x-r0-prepare")
    world.wait(500)
    world.settle()
    assert world.status["rounds"][0]["seconds"] == {"prepare": 30.0}


def test_the_events_tell_the_story(world):
    world.pass_all("x-r1-probe-server")
    world.ready("x-r1-probe-server")
    world.settle()
    assert [(e.reason, e.message) for e in world.events] == [
        ("StageStarted", "prepare of round 0/2"),
        ("StageSucceeded", "prepare of round 0 succeeded"),
        ("StageStarted", "evaluate of round 0/2"),
        ("StageSucceeded", "evaluate of round 0 succeeded: score 0.4, seeing 0.0"),
        ("StageStarted", "generate of round 1/2"),
        ("StageSucceeded", "generate of round 1 succeeded: 12 of 20 proposals accepted"),
        ("StageStarted", "probe of round 1/2"),
    ]


def test_the_run_is_pending_until_its_first_pod_may_run(world_of):
    world = world_of(scheduling={"queueName": "gpus"})
    world.settle()
    assert (world.status["phase"], world.condition("Progressing")["reason"]) == ("Pending", "Queued")
    world.start("x-r0-prepare")
    world.settle()
    assert (world.status["phase"], world.condition("Progressing")["reason"]) == ("Running", "StageRunning")


def test_a_probe_asks_the_address_at_which_its_server_became_ready(world):
    world.pass_all("x-r1-probe-server")
    assert "x-r1-probe" not in world.children
    world.ready("x-r1-probe-server")
    world.settle()
    (main,) = world.children["x-r1-probe"]["spec"]["template"]["spec"]["containers"]
    url = "http://x-r1-probe-server-predictor.lab.svc.cluster.local"
    assert {"name": "EVOLUTION_SOLVER_URL", "value": url} in main["env"]


def test_training_waits_until_the_solvers_pods_are_gone(world):
    world.pass_all("x-r1-probe")
    world.succeed("x-r1-probe")
    before = world.status
    world.step()
    assert "x-r1-probe-server" not in world.children
    assert world.status == before, "nothing has to be written before the accelerators are free"
    assert any("x-r1-probe-server" in name for name in world.pods)
    for _ in range(3):
        world.step()
        assert "x-r1-train" not in world.children
    assert world.condition("Progressing")["reason"] == "WaitingForDeletion"
    world.sweep()
    world.step()
    assert "x-r1-train" in world.children


def test_finished_children_stay_readable_until_the_next_round(world):
    world.pass_all("x-r1-evaluate")
    assert {"x-r1-generate", "x-r1-probe", "x-r1-train"} <= set(world.children)
    assert "x-r0-prepare" not in world.children
    world.pass_all("x-r2-generate")
    assert set(world.children) == {"x-r2-generate"}


def test_a_plan_that_was_carried_out_asks_for_nothing_more(world):
    world.pass_all("x-r1-train")
    status = world.status
    for _ in range(3):
        plan = world.step()
        assert (plan.apply, plan.delete, plan.events) == ((), (), ())
        assert world.status == status


def test_a_transition_time_moves_only_with_its_status(world):
    world.pass_all("x-r1-train")
    began = world.condition("Progressing")["lastTransitionTime"]
    world.pass_all()
    assert began == "2026-01-01T12:00:00Z"
    assert world.condition("Progressing")["lastTransitionTime"] > began
    assert world.condition("Suspended")["lastTransitionTime"] == began
